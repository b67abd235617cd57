"""Pictures of more pixels than are held at a time: decoded straight to a smaller size, or in parts, each of which is averaged down.

A picture that would need more memory, or longer, is refused by its headers, before a decoder sees it.
"""

from typing import Any, Final

from PIL import Image, ImageFile

from processors.limits import LEAST_SHOWN
from processors.orientation import EXIF_TURNS, swaps_sides
from processors.output.geometry import ROUGH_GAP, scale
from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile
from processors.still import tiff_tags as tags
from processors.still.bands import BandPlan, Bands, as_opened, averaged
from processors.still.claims import check_held, check_unpacked, too_large
from processors.still.decode import plain_mode
from processors.still.finish import blank_share, without_rows
from processors.still.iso_grid import IsoPicture
from processors.still.iso_items import IsoItem, IsoItems
from processors.still.jpeg_2000 import reduce_jpeg_2000
from processors.still.jpeg_end import has_end, is_one_scan
from processors.still.png_bands import PngRows
from processors.still.png_passes import BLOCK_BYTES, PngPasses
from processors.still.tiff_bands import TiffParts, overview
from processors.still.tiff_planes import is_misread
from processors.types import ThumbnailSpec

_DEEP: Final = frozenset({"I", "F"})
"""Brought to eight bits by the largest number in the whole picture."""
_RAW_BITS: Final = {
    **dict.fromkeys(("1", "1;I"), 1),
    **dict.fromkeys(("L", "P"), 8),
    **dict.fromkeys(("LA", "I;16", "I;16B", "BGR;15", "BGRA;15", "BGR;16"), 16),
    **dict.fromkeys(("RGB", "BGR"), 24),
    **dict.fromkeys(("RGBA", "BGRA", "RGBX", "BGRX", "CMYK"), 32),
}
"""Of a pixel, by Pillow's names for how it lies in a file."""
_TIMES_LONGER: Final = 1.5
"""That the rows of an interlaced PNG take."""
_PIXEL_BYTES: Final = 4
_COEFFICIENT_BYTES: Final = 2
_WAVELET_BYTES: Final = 12
"""Of a JPEG 2000 picture, for each value: numbers of four bytes, twice, and what becomes of them."""
Size = tuple[int, int]


def decode_large(opened: Image.Image, file: SourceFile, target: Size, spec: ThumbnailSpec) -> Image.Image:
    """Return the picture that Pillow has opened, in its own colours, as large as `target`; turned where it is a TIFF.

    Raises PermanentError media.too_many_pixels, or media.corrupt.
    """
    if opened.format in ("JPEG", "MPO"):
        return _jpeg(opened, file, target, spec)
    if opened.format == "PNG":
        return _png(opened, file, target, spec)
    if opened.format == "TIFF":
        return _tiff(opened, file, target, spec)
    if opened.format == "JPEG2000":
        return _jpeg_2000(opened, file, target, spec)
    if opened.format in ("AVIF", "HEIF"):
        return _iso(opened, file, target, spec)
    return _plain_rows(opened, file, target, spec)


def _jpeg(opened: Image.Image, file: SourceFile, target: Size, spec: ThumbnailSpec) -> Image.Image:
    """By libjpeg's own scaling, as the file comes; where it has several scans, libjpeg holds all of their numbers."""
    size = opened.size
    layers = getattr(opened, "layer", ())
    is_one = "progressive" not in opened.info and is_one_scan(file, len(layers))
    with reading("picture"):
        opened.draft("RGB", (target[0] * 5 // 4, target[1] * 5 // 4))
    held = 2 * _PIXEL_BYTES * opened.width * opened.height
    if not is_one:
        most = max((layer[1] * layer[2] for layer in layers), default=1)
        held += sum(_COEFFICIENT_BYTES * size[0] * size[1] * layer[1] * layer[2] // most for layer in layers)
    check_held(size, held, spec, "a JPEG" if is_one else "a progressive JPEG")
    file.expect_whole()
    with reading("picture"):
        opened.load()
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        if blank_share(opened) > 1 - LEAST_SHOWN:
            raise DamagedMediaError("Of the picture nothing can be decoded.")
    elif not has_end(file, file.tell()):
        raise DamagedMediaError("The picture is cut off: its end is missing.")
    return scale(opened, target, gap=ROUGH_GAP)


def _jpeg_2000(opened: Image.Image, file: SourceFile, target: Size, spec: ThumbnailSpec) -> Image.Image:
    """By its own smaller resolutions, each half as large as the one before, as far as the file has them."""
    size = opened.size
    smaller = reduce_jpeg_2000(opened, file, target)
    held = _WAVELET_BYTES * len(opened.getbands()) * smaller[0] * smaller[1] + file.size
    check_held(size, held, spec, "a JPEG 2000 picture with so few smaller resolutions")
    file.seek(0)
    file.expect_whole()
    with reading("picture"):
        opened.load()
        return scale(plain_mode(opened), target, gap=ROUGH_GAP)


def _png(opened: Image.Image, file: SourceFile, target: Size, spec: ThumbnailSpec) -> Image.Image:
    rows = PngRows(file)
    if rows.is_interlaced:
        longer = round(_TIMES_LONGER * rows.unpacked_bytes)
        check_unpacked(opened.size, longer, spec, "an interlaced PNG, whose rows take half as long again,")
    check_unpacked(opened.size, rows.unpacked_bytes, spec, "a PNG")
    plan = BandPlan(opened.size, spec.max_pixels, target, rows.row_bytes)
    if rows.is_interlaced:
        blocks_bytes = BLOCK_BYTES * plan.smaller[0] * plan.smaller[1]
        check_held(opened.size, plan.held_bytes + blocks_bytes, spec, "an interlaced PNG")
        return scale(PngPasses(rows, opened, plan).averaged(), target, plan.box, ROUGH_GAP)
    check_held(opened.size, plan.held_bytes, spec, "a PNG")
    return _from_bands(rows.bands(opened, plan), plan, target)


def _tiff(opened: Image.Image, file: SourceFile, target: Size, spec: ThumbnailSpec) -> Image.Image:
    content = tags.FileBytes(file)
    first = next(tags.read_directories(content), {})
    turn = EXIF_TURNS.get(tags.one(first, tags.ORIENTATION))
    as_stored = (opened.height, opened.width) if swaps_sides(turn) else opened.size
    stored_target = (target[1], target[0]) if swaps_sides(turn) else target
    parts = TiffParts(content, overview(content, as_stored, stored_target))
    if opened.mode in _DEEP:
        raise too_large(opened.size, spec, "a TIFF of 32 bits")
    if is_misread(opened):
        raise too_large(opened.size, spec, "a TIFF in planes of 16 bits")
    check_unpacked(parts.size, parts.unpacked_bytes, spec, "a TIFF")
    plan = BandPlan(parts.size, spec.max_pixels, stored_target, parts.row_bytes, parts.rows_at_once)
    check_held(parts.size, plan.held_bytes, spec, "a TIFF, in its strips or tiles,")
    found = _from_bands(parts.bands(plan), plan, stored_target)
    return found if turn is None else found.transpose(turn)


def _iso(opened: Image.Image, file: SourceFile, target: Size, spec: ThumbnailSpec) -> Image.Image:
    """Tile by tile, or the only frame straight to a smaller size; libheif counts a HEIC as it lies when it is turned."""
    kind = "an AVIF" if opened.format == "AVIF" else "a HEIC"
    file.expect_whole()
    try:
        items = IsoItems(file)
        picture = IsoPicture(items, items.by_number.get(items.primary, IsoItem()))
        turn = picture.turn if opened.format == "HEIF" else None
        alpha = items.alpha()
        mask = None if alpha is None else IsoPicture(items, alpha)
    except NotImplementedError as exc:
        raise too_large(opened.size, spec, f"{kind} of this kind") from exc
    as_stored = (opened.height, opened.width) if swaps_sides(turn) else opened.size
    if picture.size != as_stored or (mask is not None and mask.size != as_stored):
        raise too_large(opened.size, spec, f"{kind} of this kind")
    stored_target = (target[1], target[0]) if swaps_sides(turn) else target
    found = _iso_pixels(picture, stored_target, spec, kind)
    if mask is not None:
        found.putalpha(_iso_pixels(mask, stored_target, spec, kind).convert("L"))
    return found if turn is None else found.transpose(turn)


def _iso_pixels(picture: IsoPicture, target: Size, spec: ThumbnailSpec, kind: str) -> Image.Image:
    if picture.is_one_frame:
        check_held(picture.size, picture.frame_bytes, spec, f"{kind} of one frame")
        twice = (min(2 * target[0], picture.size[0]), min(2 * target[1], picture.size[1]))
        return scale(picture.scaled(twice), target, gap=ROUGH_GAP)
    plan = BandPlan(picture.size, spec.max_pixels, target, 3 * picture.size[0], picture.tile[1])
    check_held(picture.size, plan.held_bytes + picture.frame_bytes, spec, f"{kind}, in rows of its tiles,")
    return _from_bands(picture.bands(), plan, target)


def _plain_rows(opened: Image.Image, file: SourceFile, target: Size, spec: ThumbnailSpec) -> Image.Image:
    """Return the rows of a file with plain pixels, row after row: BMP, PPM, Targa and others."""
    kind = f"a {opened.format} picture"
    tiles: list[Any] = getattr(opened, "tile", [])
    if (
        len(tiles) != 1
        or tiles[0].codec_name != "raw"
        or tiles[0].extents != (0, 0, *opened.size)
        or opened.mode in _DEEP
    ):
        raise too_large(opened.size, spec, kind)
    given = tiles[0].args
    raw_mode, stride, direction = (*given, 0, 1)[:3] if isinstance(given, tuple) else (given, 0, 1)
    row_bytes = stride or -(-opened.width * _RAW_BITS.get(raw_mode, 0) // 8)
    if not row_bytes:
        raise too_large(opened.size, spec, kind)
    plan = BandPlan(opened.size, spec.max_pixels, target, row_bytes)
    check_held(opened.size, plan.held_bytes, spec, kind)

    def bands() -> Bands:
        file.seek(0)
        file.expect_whole()
        for top, rows in plan.row_counts():
            first = top if direction > 0 else plan.height - top - rows
            file.seek(tiles[0].offset + first * row_bytes)
            data = file.read(rows * row_bytes)
            if len(data) < rows * row_bytes:
                raise DamagedMediaError("The picture is cut off: its end is missing.")
            with reading("picture"):
                band = Image.frombuffer(opened.mode, (plan.width, rows), data, "raw", raw_mode, row_bytes, direction)
                as_opened(band, opened)
            yield band

    return _from_bands(bands(), plan, target)


def _from_bands(bands: Bands, plan: BandPlan, target: Size) -> Image.Image:
    """Return the picture; with the rows that are there alone where Pillow, too, is told to go on behind damage."""
    found, shown = averaged(bands, plan, is_tolerant=ImageFile.LOAD_TRUNCATED_IMAGES)
    if shown < LEAST_SHOWN:
        raise DamagedMediaError("Of the picture nothing can be decoded.")
    smaller = scale(found, target, plan.box, ROUGH_GAP)
    return smaller if shown == 1 else without_rows(smaller, shown)
