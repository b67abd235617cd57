"""TIFFs of depths and colours that Pillow does not decode, by OpenCV's libtiff; and damaged ones, strip by strip."""

import io
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.colour.convert import PictureColours
from processors.limits import LEAST_SHOWN
from processors.orientation import EXIF_TURNS
from processors.readers import DamagedMediaError, reading
from processors.still import tiff_tags as tags
from processors.still.decode import plain_mode
from processors.still.ffmpeg import decode_by_ffmpeg, light_to_srgb
from processors.still.finish import DAMAGED, WHOLE, StoredPicture, blank_share
from processors.still.floats import USUAL_OF_NUMBERS, codes_of_floats
from processors.still.tiff_planes import in_pixels
from processors.still.tiff_samples import decode_pictures, decode_samples, is_of_halves, is_of_pictures, profile_of
from schemas.errors import PermanentError

_MOST_ATTEMPTS: Final = 256
"""To decode a run of strips; a run that fails is tried in halves."""
_COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34676, 34677, 34925, 50000})
"""That some libtiff decodes; with others OpenCV leaves every tile black, and says nothing. JPEG XR and LERC are not in it."""
_CHUNKY: Final = 1
_OLD_JPEG: Final = 6


def decode_tiff(content: bytes, max_pixels: int) -> StoredPicture | None:
    """Return the first picture of a TIFF that Pillow refuses; None where nothing of it can be read, or it is too large."""
    found = next(tags.read_directories(content), None)
    size = _size_of(found or {})
    if found is None or not 0 < size[0] * size[1] <= max_pixels:
        return None
    for is_such, decode in ((_has_tiles_called_strips, _of_tiles_called_strips), (is_of_pictures, _of_pictures)):
        if is_such(found):
            return decode(content, found)
    if tags.one(found, tags.COMPRESSION, 1) not in _COMPRESSIONS:
        return None
    inner = _jpeg_inside(content, found)
    if inner is not None:
        return _stored(inner, found, WHOLE)
    planes = in_pixels(content, found)
    if planes is not None:
        return _of_planes(content, found, planes)
    if not _is_known(content):  # by Pillow: nothing is damaged then, as far as it says
        is_noise = _is_noise_to_others(found)
        whole = None if is_noise else _by_opencv(content, size)
        whole = whole or decode_samples(content, found, max_pixels)
        if whole is not None or is_noise:
            return None if whole is None else _stored(whole, found, WHOLE if is_whole(content) else DAMAGED)
    return _of_pieces(content, found, max_pixels)


def _size_of(found: tags.Tags) -> tuple[int, int]:
    return tags.one(found, tags.WIDTH), tags.one(found, tags.HEIGHT)


def _of_pieces(content: bytes, found: tags.Tags, max_pixels: int) -> StoredPicture | None:
    """Return what there is of a damaged picture; None where that is nearly nothing."""
    pieces = _by_strips(content, found) or _by_opencv(content, _size_of(found))
    if pieces is None:
        decoded = decode_by_ffmpeg(content, max_pixels)
        pieces = None if decoded is None else decoded[0]
    if pieces is None or blank_share(pieces) > 1 - LEAST_SHOWN:
        return None
    return _stored(pieces, found, DAMAGED)


def _has_tiles_called_strips(found: tags.Tags) -> bool:
    return tags.TILE_WIDTH in found and tags.TILE_OFFSETS not in found


def _of_tiles_called_strips(content: bytes, found: tags.Tags) -> StoredPicture | None:
    """Old writers of tiles give their places as those of strips, and libtiff takes them so; Pillow draws them as strips."""
    offsets, lengths = found.get(tags.STRIP_OFFSETS, ()), found.get(tags.STRIP_BYTES, ())
    tiles = {tags.TILE_OFFSETS: offsets, tags.TILE_BYTES: lengths}
    strips = dict.fromkeys((tags.STRIP_OFFSETS, tags.STRIP_BYTES, tags.ROWS_PER_STRIP), ())
    if not offsets or not lengths or content[2:4] not in (b"*\0", b"\0*"):
        return None
    whole = _whole(tags.with_tags(content, tiles | strips), _size_of(found))
    return None if whole is None else _stored(whole, found, WHOLE)


def _of_planes(content: bytes, found: tags.Tags, planes: tuple[bytes, tags.Tags]) -> StoredPicture | None:
    whole = _whole(tags.with_tags(content + planes[0], planes[1]), _size_of(found))
    return None if whole is None else _stored(whole, found, WHOLE)


def _of_pictures(content: bytes, found: tags.Tags) -> StoredPicture | None:
    pictures = decode_pictures(content, found)
    if pictures is None or pictures[1] < LEAST_SHOWN:
        return None
    return _stored(pictures[0], found, WHOLE if pictures[1] == 1 else DAMAGED)


def _is_noise_to_others(found: tags.Tags) -> bool:
    """Return whether OpenCV and FFmpeg take the samples for others: planes of odd bits for none, halves for whole numbers."""
    is_planar = tags.one(found, tags.PLANAR, _CHUNKY) != _CHUNKY
    return (is_planar and tags.one(found, tags.BITS, 8) % 8 > 0) or is_of_halves(found)


def _jpeg_inside(content: bytes, found: tags.Tags) -> Image.Image | None:
    """Return the JPEG that is all of an old TIFF (compression 6), whatever the tags say of its tables, in which libtiff gets lost."""
    start, length = tags.one(found, tags.JPEG_OFFSET), tags.one(found, tags.JPEG_BYTES)
    inner = content[start : start + (length or len(content))]
    if tags.one(found, tags.COMPRESSION) != _OLD_JPEG or not inner.startswith(b"\xff\xd8\xff"):
        return None
    try:
        with reading("picture"), Image.open(io.BytesIO(inner), formats=("JPEG",)) as opened:
            is_same = opened.size == (tags.one(found, tags.WIDTH), tags.one(found, tags.HEIGHT))
            return opened.copy() if is_same else None
    except DamagedMediaError:
        return None


def _whole(content: bytes, size: tuple[int, int]) -> Image.Image | None:
    """Return a sound picture, without turning it."""
    if not _is_known(content):
        return _by_opencv(content, size)
    try:
        with reading("picture"), Image.open(io.BytesIO(content)) as opened:
            return plain_mode(opened.copy())
    except DamagedMediaError:
        return None


def _is_known(content: bytes) -> bool:
    try:
        with reading("picture"), Image.open(io.BytesIO(content), formats=("TIFF",)):
            return True
    except PermanentError:
        return False


def is_whole(content: bytes) -> bool:
    """Return whether all that the first directory names lies in the file: the kind is unknown then, and nothing is damaged."""
    found = next(tags.read_directories(content), None)
    if found is None or not {tags.WIDTH, tags.HEIGHT} <= found.keys():
        return False
    kinds = ((tags.STRIP_OFFSETS, tags.STRIP_BYTES), (tags.TILE_OFFSETS, tags.TILE_BYTES))
    places = [place for at, length in kinds for place in zip(found.get(at, ()), found.get(length, ()), strict=False)]
    return bool(places) and all(at + length <= len(content) for at, length in places)


def _stored(image: Image.Image, found: tags.Tags, method: str) -> StoredPicture:
    profile = profile_of(found)
    is_rgb = image.mode in ("RGB", "RGBA") and tags.one(found, tags.PHOTOMETRIC) == 2
    colours = PictureColours(profile) if profile and is_rgb else PictureColours()
    return StoredPicture(image, "tiff", method, colours, EXIF_TURNS.get(tags.one(found, tags.ORIENTATION)))


def _by_opencv(content: bytes, size: tuple[int, int]) -> Image.Image | None:
    """Lab, floats, and numbers of 10 to 64 bits. It passes over damage without a word where pixels have eight."""
    try:
        with reading("picture"):
            found: Any = cv2.imdecode(
                np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
            )
    except DamagedMediaError:
        return None
    if found is None or found.shape[:2] != size[::-1]:
        return None
    pixels: NDArray[Any] = found
    if pixels.ndim == 2:
        return Image.fromarray(_eight_bits(pixels))
    if pixels.shape[2] not in (3, 4):
        return None
    rgb = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    if rgb.dtype in (np.float32, np.float64) and np.nanmedian(rgb[..., :3]) <= 1:
        return Image.fromarray(light_to_srgb(rgb))  # as scRGB has it, and libvips takes it
    return Image.fromarray(_eight_bits(rgb))


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    if np.issubdtype(values.dtype, np.floating):
        return codes_of_floats(values)
    return codes_of_floats(values, USUAL_OF_NUMBERS)


def _by_strips(content: bytes, found: tags.Tags) -> Image.Image | None:
    """Return the strips that can be decoded, in their places; what is missing is transparent. None where there is none."""
    offsets, lengths = found.get(tags.STRIP_OFFSETS, ()), found.get(tags.STRIP_BYTES, ())
    height, width = tags.one(found, tags.HEIGHT), tags.one(found, tags.WIDTH)
    rows = tags.one(found, tags.ROWS_PER_STRIP, height)
    is_plain = tags.one(found, tags.PLANAR, _CHUNKY) == _CHUNKY or tags.one(found, tags.SAMPLES, 1) == 1
    if (
        not is_plain
        or rows < 1
        or len(offsets) != len(lengths)
        or len(offsets) < 2
        or content[2:4] not in (b"*\0", b"\0*")
    ):
        return None
    canvas = Image.new("RGBA", (width, height))
    waiting, is_any = [(0, len(offsets))], False
    for _ in range(_MOST_ATTEMPTS):
        if not waiting:
            break
        first, last = waiting.pop(0)
        top = first * rows
        if top >= height:
            continue
        size = {tags.HEIGHT: (min(rows * (last - first), height - top),)}
        part = {
            tags.STRIP_OFFSETS: offsets[first:last],
            tags.STRIP_BYTES: lengths[first:last],
            tags.ROWS_PER_STRIP: (rows,),
        }
        try:
            with reading("picture"), Image.open(io.BytesIO(tags.with_tags(content, {**size, **part}))) as opened:
                # libtiff's tags for which way up would turn the piece
                piece = plain_mode(opened).convert("RGBA")
        except DamagedMediaError:
            middle = (first + last) // 2
            waiting += [half for half in ((first, middle), (middle, last)) if first < middle < last]
            continue
        canvas.paste(piece, (0, top))
        is_any = True
    return canvas if is_any else None
