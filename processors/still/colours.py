"""The meaning of a photograph's numbers: by its ICC profile, its PNG chunks, its AVIF boxes or its EXIF."""

from typing import Final

import numpy as np
from PIL import Image

from processors.colour.convert import Curve, PictureColours
from processors.colour.linear_light import ADOBE_RGB, BT709, BT2020, DISPLAY_P3, Chromaticities, to_bt709
from processors.iso_boxes import walk_boxes
from processors.limits import MAX_PROFILE_BYTES
from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile
from processors.still.bmp import profile_of

_MAX_CHUNKS: Final = 100
_LOOKED_INTO: Final = frozenset({b"meta", b"iprp", b"ipco"})
_EXIF_IFD, _INTEROP_IFD, _COLOUR_SPACE, _INTEROP_INDEX = 0x8769, 0xA005, 0xA001, 1
_ADOBE_SPACE: Final = 2
_ADOBE_GAMMA: Final = 563 / 256

# ITU-T H.273, as in PNG's cICP and AVIF's nclx.
_GAMUTS: Final[dict[int, Chromaticities]] = {9: BT2020, 11: DISPLAY_P3, 12: DISPLAY_P3}
_CURVES: Final[dict[int, Curve]] = {4: 2.2, 5: 2.8, 8: 1.0, 16: "pq", 18: "hlg"}


_SRGB: Final = PictureColours()


def colours_of(opened: Image.Image, exif: Image.Exif, file: SourceFile) -> PictureColours:
    """Return the colours of a picture that is opened and not yet loaded; `file` keeps its position."""
    position = file.tell()
    try:
        code_points = _code_points(opened.format or "", file)
    finally:
        file.seek(position)
    profile = opened.info.get("icc_profile") if opened.format != "BMP" else profile_of(file)
    has_profile = isinstance(profile, bytes) and 0 < len(profile) <= MAX_PROFILE_BYTES
    # PNG says that cICP goes first; of AVIF's it is enough that no profile describes PQ and HLG as they are meant.
    if code_points is not None and (opened.format == "PNG" or not has_profile or code_points[1] in (16, 18)):
        gamut = _GAMUTS.get(code_points[0])
        return PictureColours(None, _CURVES.get(code_points[1], "srgb"), None if gamut is None else to_bt709(gamut))
    if has_profile:
        return PictureColours(profile)
    if opened.format == "PNG":
        return _by_gamma(opened)
    if _is_adobe_rgb(exif):
        return PictureColours(None, _ADOBE_GAMMA, to_bt709(ADOBE_RGB))
    return _SRGB


def _by_gamma(opened: Image.Image) -> PictureColours:
    gamma = opened.info.get("gamma")
    if "srgb" in opened.info or not isinstance(gamma, float) or not 0.1 < gamma < 10:
        return _SRGB
    curve: Curve = "srgb" if abs(gamma * 2.2 - 1) < 0.05 else 1 / gamma
    points = opened.info.get("chromaticity")
    if points is None or np.allclose(points, BT709, atol=0.01):
        return PictureColours(None, curve)
    try:
        return PictureColours(None, curve, to_bt709(points))
    except ValueError:
        return PictureColours(None, curve)


def _is_adobe_rgb(exif: Image.Exif) -> bool:
    """Return True for the marks of cameras (DCF 2.0): the old space 2, or an index "R03" beside "uncalibrated"."""
    try:
        with reading("picture"):
            if exif.get_ifd(_EXIF_IFD).get(_COLOUR_SPACE) == _ADOBE_SPACE:
                return True
            index = exif.get_ifd(_INTEROP_IFD).get(_INTEROP_INDEX)
    except DamagedMediaError:
        return False  # damaged EXIF; the picture itself may be whole
    return index in ("R03", "R03\0", b"R03", b"R03\0")


def _code_points(picture_format: str, file: SourceFile) -> tuple[int, int] | None:
    """Primaries and transfer by H.273; None where the file does not say."""
    if picture_format == "PNG":
        return _of_png(file)
    return _of_iso(file) if picture_format in ("AVIF", "HEIF") else None


def _of_png(file: SourceFile) -> tuple[int, int] | None:
    place = 8
    for _ in range(_MAX_CHUNKS):
        file.seek(place)
        head = file.read(12)
        length, kind = int.from_bytes(head[:4]), head[4:8]
        if len(head) < 12 or kind in (b"IDAT", b"IEND"):
            return None
        if kind == b"cICP":
            return (head[8], head[9]) if length == 4 else None
        place += 12 + length
    return None


def _of_iso(file: SourceFile) -> tuple[int, int] | None:
    for box in walk_boxes(file, _LOOKED_INTO):
        content = box.read(file, 8) if box.kind == b"colr" else b""
        if len(content) == 8 and content[:4] == b"nclx":
            return int.from_bytes(content[4:6]), int.from_bytes(content[6:8])
    return None
