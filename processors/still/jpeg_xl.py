"""JPEG XL by libjxl, only where the extra `jxl` is installed: pixels, colours and black ink, upright, also of cut files."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.colour.convert import PictureColours, to_srgb
from processors.colour.linear_light import BT709, BT2020, DISPLAY_P3, NO_CHANGE, Matrix, into_gamut, to_bt709, to_codes
from processors.colour.tone_map import tone_map
from processors.limits import LEAST_SHOWN, MAX_PROFILE_BYTES
from processors.orientation import EXIF_TURNS, clockwise, swaps_sides
from processors.output.geometry import ROUGH_GAP, needed_size, scale
from processors.readers import DamagedMediaError
from processors.source_file import SourceFile
from processors.still import libjxl
from processors.still.claims import check_pixels
from processors.still.finish import DAMAGED, WHOLE, blank_share
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_SIGNATURES: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""Of the bare codestream, and of the container."""
_HEAD_BYTES: Final = 65536
"""Has the size, but where long boxes come first: those are read to their end."""
_LINEAR: Final = 8
_CURVES: Final[dict[int, Literal["linear", "pq", "hlg"]]] = {_LINEAR: "linear", 16: "pq", 18: "hlg"}
_GAMUTS: Final = {libjxl.SRGB_PRIMARIES: BT709, 9: BT2020, 11: DISPLAY_P3}
Size = tuple[int, int]


@dataclass(frozen=True)
class _Deep:
    """The meaning of sixteen bits: a curve, which would show bands in eight bits, and a gamut."""

    curve: Literal["linear", "pq", "hlg"]
    matrix: Matrix


@dataclass(frozen=True)
class _Decoded:
    """Height x width x 3 or 4: of 16 bits where they are `deep`, else of 8, in sRGB or as the `profile` says.

    Where there is `black`, height x width, the three colours are inks; in all four 0 is the most of it.
    """

    pixels: NDArray[Any]
    black: NDArray[np.uint8] | None
    orientation: int
    deep: _Deep | None
    profile: bytes | None
    is_whole: bool


def is_jpeg_xl(head: bytes) -> bool:
    """Return whether the file is a JPEG XL picture."""
    return head.startswith(_SIGNATURES)


def decode_jpeg_xl(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the picture, of an animation its first frame, reduced and upright; of a cut file what libjxl shows of it, `degraded`.

    Raises PermanentError media.unsupported without the extra, media.corrupt or media.too_many_pixels.
    """
    library = libjxl.load_libjxl()
    if library is None:
        raise PermanentError(
            ErrorCode.MEDIA_UNSUPPORTED,
            "JPEG XL pictures are read only where the extra is installed: pip install 'thumbnail-pipeline[jxl]'.",
        )
    file.seek(0)
    info = _basic_info(library, file.read(_HEAD_BYTES))
    if info is not None:
        check_pixels(info.width, info.height, spec)  # before the rest of a large file is read
    file.seek(0)
    file.expect_whole()
    found = _decode(library, file.read(), spec)
    return _finish(found, spec)


def _basic_info(library: Any, head: bytes) -> libjxl.BasicInfo | None:
    """Return what the header says; None where it is damaged or not within `head`."""
    with libjxl.decoding(library, head, libjxl.BASIC_INFO) as decoder:
        return decoder.info() if decoder.process() == libjxl.BASIC_INFO else None


def _decode(library: Any, content: bytes, spec: ThumbnailSpec) -> _Decoded:
    events = libjxl.BASIC_INFO | libjxl.COLOUR_ENCODING | libjxl.FULL_IMAGE
    with libjxl.decoding(library, content, events) as decoder:
        info, deep, profile, pixels, black = libjxl.BasicInfo(), None, None, None, None
        while True:
            event = decoder.process()
            if event == libjxl.BASIC_INFO:
                info = decoder.info() or info
                check_pixels(info.width, info.height, spec)
            elif event == libjxl.COLOUR_ENCODING:
                deep, profile = _colours(decoder, info)
            elif event == libjxl.NEED_IMAGE_BUFFER and pixels is None:
                channels = 4 if info.alpha_bits else 3
                pixels = np.zeros((info.height, info.width, channels), np.uint8 if deep is None else np.uint16)
                decoder.fill(pixels)
                black = _fill_black(decoder, info)
            else:
                break
        if pixels is None:
            raise DamagedMediaError("The picture's beginning is damaged or cut off.")
        if event not in (libjxl.FULL_IMAGE, libjxl.NEED_MORE_INPUT):
            raise DamagedMediaError("The picture's pixels are damaged.")
        if event == libjxl.NEED_MORE_INPUT and not decoder.flush():
            raise DamagedMediaError("The picture is cut off before anything of it can be shown.")
        return _Decoded(pixels, black, info.orientation, deep, profile, is_whole=event == libjxl.FULL_IMAGE)


def _fill_black(decoder: libjxl.Decoder, info: libjxl.BasicInfo) -> NDArray[np.uint8] | None:
    """Return where black ink will stand, of pictures that are stored as inks."""
    number = decoder.black_channel(info) if info.uses_original_profile else None
    if number is None:
        return None
    black = np.zeros((info.height, info.width), np.uint8)
    decoder.fill_extra(number, black)
    return black


def _colours(decoder: libjxl.Decoder, info: libjxl.BasicInfo) -> tuple[_Deep | None, bytes | None]:
    """Return what the decoded numbers mean; None and None: sRGB, to which libjxl brings XYB itself, but for HDR.

    libjxl's colour management is not set: of 0.11.2 it leaves files without loss as they are, and with grey ones it writes
    behind its buffer.
    """
    said = decoder.colours()
    if said is not None and said.white_point == libjxl.D65 and said.curve in _CURVES:
        is_rgb = said.colour_space == libjxl.RGB
        is_plain = not is_rgb or said.primaries in _GAMUTS
        if is_plain and (info.uses_original_profile or said.curve != _LINEAR):
            is_srgb_gamut = not is_rgb or said.primaries == libjxl.SRGB_PRIMARIES
            return _Deep(_CURVES[said.curve], NO_CHANGE if is_srgb_gamut else to_bt709(_GAMUTS[said.primaries])), None
    if info.uses_original_profile:
        return None, decoder.profile(MAX_PROFILE_BYTES)
    decoder.want_srgb()
    return None, None


def _finish(found: _Decoded, spec: ThumbnailSpec) -> DecodedFrame:
    height, width = found.pixels.shape[:2]
    turn = EXIF_TURNS.get(found.orientation)
    target = needed_size(width, height, spec.renditions, is_turned=swaps_sides(turn))
    if found.deep is not None:
        image = _from_deep(found.pixels, found.deep, target)
    elif found.black is not None:
        image = _from_inks(found.pixels, found.black, target, found.profile)
    else:
        image = to_srgb(scale(Image.fromarray(found.pixels), target, gap=ROUGH_GAP), PictureColours(found.profile))
    if not found.is_whole and blank_share(image) > 1 - LEAST_SHOWN:
        raise DamagedMediaError("Of the picture nothing can be decoded.")
    if turn is not None:
        image = image.transpose(turn)
    facts = SourceFacts("image", width, height, None, "jxl", "jxl", clockwise(turn))
    frame = Frame(None, WHOLE if found.is_whole else DAMAGED)
    return DecodedFrame(image, frame, facts, degraded=not found.is_whole)


def _from_deep(pixels: NDArray[np.uint16], deep: _Deep, target: Size) -> Image.Image:
    smaller = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA).astype(np.uint16)
    coded = np.ascontiguousarray(smaller[..., :3])
    if deep.curve == "linear":
        image = Image.fromarray(to_codes(into_gamut(coded.astype(np.float32) / np.float32(65535), deep.matrix)))
    else:
        image = Image.fromarray(tone_map(coded, deep.curve, deep.matrix))
    if smaller.shape[2] == 4:
        image.putalpha(Image.fromarray((smaller[..., 3] >> 8).astype(np.uint8)))
    return image


def _from_inks(pixels: NDArray[np.uint8], black: NDArray[np.uint8], target: Size, profile: bytes | None) -> Image.Image:
    """By the profile, or by plain subtraction without one."""
    inks = Image.merge("CMYK", [Image.fromarray(255 - ink) for ink in (*np.moveaxis(pixels[..., :3], 2, 0), black)])
    image = to_srgb(scale(inks, target, gap=ROUGH_GAP), PictureColours(profile))
    if pixels.shape[2] == 4:
        image.putalpha(scale(Image.fromarray(np.ascontiguousarray(pixels[..., 3])), target, gap=ROUGH_GAP))
    return image
