"""JPEG XL by libjxl, only where the extra `jxl` is installed: through the C interface of the library that `imagecodecs` bundles.

The package's own function knows no colours, no premultiplied alpha and no cut files; the library knows all of them. It has no
threads as long as no runner is set. Source of the interface: libjxl's jxl/decode.h, 0.11; its structures are for ever.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
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
from processors.still.claims import check_pixels
from processors.still.finish import DAMAGED, WHOLE, blank_share
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_PACKAGE: Final = "imagecodecs"
_MODULE: Final = "_jpegxl"
"""Of the package: links to libjxl, whose functions are found through it."""
_SIGNATURES: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""Of the bare codestream, and of the container."""
_HEAD_BYTES: Final = 65536
"""Has the size, but where long boxes come first: those are read to their end."""

_SUCCESS, _ERROR, _NEED_MORE_INPUT, _NEED_IMAGE_BUFFER = 0, 1, 2, 5
_BASIC_INFO, _COLOUR_ENCODING, _FULL_IMAGE = 0x40, 0x100, 0x1000
_UINT8, _UINT16 = 2, 3
_NATIVE_ENDIAN: Final = 0
_OF_THE_ORIGINAL, _OF_THE_PIXELS = 0, 1
_RGB: Final = 0
_D65, _RELATIVE = 1, 1
_SRGB_PRIMARIES: Final = 1
_SRGB_CURVE: Final = 13
_LINEAR: Final = 8
_CURVES: Final[dict[int, Literal["linear", "pq", "hlg"]]] = {_LINEAR: "linear", 16: "pq", 18: "hlg"}
_GAMUTS: Final = {_SRGB_PRIMARIES: BT709, 9: BT2020, 11: DISPLAY_P3}
Pointer, Size, UInt = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
_Allocate: Final = ctypes.CFUNCTYPE(Pointer, Pointer, Size)
_Free: Final = ctypes.CFUNCTYPE(None, Pointer, Pointer)


class _BasicInfo(ctypes.Structure):
    _fields_ = (
        *((name, UInt) for name in ("have_container", "width", "height", "bits", "exponent_bits")),
        *(("intensity_target", ctypes.c_float), ("min_nits", ctypes.c_float)),
        *(("relative_to_max_display", UInt), ("linear_below", ctypes.c_float)),
        *((name, UInt) for name in ("uses_original_profile", "have_preview", "have_animation", "orientation")),
        *((name, UInt) for name in ("colour_channels", "extra_channels", "alpha_bits", "alpha_exponent_bits")),
        *(("alpha_premultiplied", UInt), ("preview", UInt * 2), ("animation", UInt * 4), ("intrinsic", UInt * 2)),
        ("pad", ctypes.c_uint8 * 100),
    )


class _ColourEncoding(ctypes.Structure):
    _fields_ = (
        *(("colour_space", UInt), ("white_point", UInt), ("white", ctypes.c_double * 2)),
        *(("primaries", UInt), ("points", ctypes.c_double * 6)),
        *(("curve", UInt), ("gamma", ctypes.c_double), ("intent", UInt)),
    )


class _PixelFormat(ctypes.Structure):
    _fields_ = (("channels", UInt), ("data_type", UInt), ("endianness", UInt), ("align", Size))


class _MemoryManager(ctypes.Structure):
    _fields_ = (("opaque", Pointer), ("allocate", _Allocate), ("free", _Free))


class _Memory:
    """malloc() for libjxl, which calls a picture damaged where there is not enough: this knows better."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        self._malloc: Final = libc.malloc
        self._malloc.restype, self._malloc.argtypes = Pointer, [Size]
        self._libc_free: Final = libc.free
        self._libc_free.restype, self._libc_free.argtypes = None, [Pointer]
        self.has_failed = False
        self.manager: Final = _MemoryManager(None, _Allocate(self._allocate), _Free(self._free))

    def _allocate(self, _: int | None, size: int) -> int | None:
        found: int | None = self._malloc(size)
        if found is None and size:
            self.has_failed = True
        return found

    def _free(self, _: int | None, address: int | None) -> None:
        self._libc_free(address)


@dataclass(frozen=True)
class _Deep:
    """What sixteen bits mean: by a curve, of which eight bits would leave bands, in a gamut."""

    curve: Literal["linear", "pq", "hlg"]
    matrix: Matrix


@dataclass(frozen=True)
class _Decoded:
    """Height x width x 3 or 4: of 16 bits where they are `deep`, else of 8, in sRGB or as the `profile` says."""

    pixels: NDArray[Any]
    orientation: int
    deep: _Deep | None
    profile: bytes | None
    is_whole: bool


def is_jpeg_xl(head: bytes) -> bool:
    """Return whether the file is a JPEG XL picture."""
    return head.startswith(_SIGNATURES)


def is_jpeg_xl_installed() -> bool:
    """Return whether the extra `jxl` is installed; nothing is loaded."""
    return _module_path() is not None


def _module_path() -> str | None:
    package = find_spec(_PACKAGE)  # finds, and does not import: sixty codecs are not for this process
    found = None if package is None else PathFinder.find_spec(_MODULE, package.submodule_search_locations)
    return None if found is None else found.origin


@cache
def load_jpeg_xl() -> Any:
    """Return libjxl; None without the extra. To be called before a process is locked, which could not load it."""
    path = _module_path()
    if path is None:
        return None
    library: Any = ctypes.CDLL(path)
    library.memory = _Memory()
    library.JxlDecoderCreate.argtypes, library.JxlDecoderCreate.restype = (Pointer,), Pointer
    library.JxlDecoderDestroy.argtypes, library.JxlDecoderDestroy.restype = (Pointer,), None
    for name, arguments in (
        ("SubscribeEvents", (ctypes.c_int,)),
        ("SetKeepOrientation", (ctypes.c_int,)),
        ("SetUnpremultiplyAlpha", (ctypes.c_int,)),
        ("SetInput", (ctypes.c_char_p, Size)),
        ("ProcessInput", ()),
        ("GetBasicInfo", (Pointer,)),
        ("GetColorAsEncodedProfile", (ctypes.c_int, Pointer)),
        ("GetICCProfileSize", (ctypes.c_int, Pointer)),
        ("GetColorAsICCProfile", (ctypes.c_int, Pointer, Size)),
        ("SetOutputColorProfile", (Pointer, Pointer, Size)),
        ("SetImageOutBuffer", (Pointer, Pointer, Size)),
        ("FlushImage", ()),
    ):
        getattr(library, f"JxlDecoder{name}").argtypes = (Pointer, *arguments)
    return library


def decode_jpeg_xl(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the picture, of an animation its first frame, reduced and upright; of a cut file what libjxl shows of it, `degraded`.

    Raises PermanentError media.unsupported without the extra, media.corrupt or media.too_many_pixels.
    """
    library = load_jpeg_xl()
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


@contextmanager
def _decoder(library: Any, content: bytes, events: int) -> Iterator[Any]:
    """Yield a decoder of the content, which outlives it."""
    library.memory.has_failed = False
    decoder = library.JxlDecoderCreate(ctypes.byref(library.memory.manager))
    if not decoder:
        raise MemoryError
    try:
        library.JxlDecoderSubscribeEvents(decoder, events)
        library.JxlDecoderSetInput(decoder, content, len(content))
        yield decoder
    finally:
        library.JxlDecoderDestroy(decoder)


def _basic_info(library: Any, head: bytes) -> _BasicInfo | None:
    """Return what the header says; None where it is damaged or not within `head`."""
    with _decoder(library, head, _BASIC_INFO) as decoder:
        info = _BasicInfo()
        if library.JxlDecoderProcessInput(decoder) != _BASIC_INFO:
            return None
        return info if library.JxlDecoderGetBasicInfo(decoder, ctypes.byref(info)) == _SUCCESS else None


def _decode(library: Any, content: bytes, spec: ThumbnailSpec) -> _Decoded:
    with _decoder(library, content, _BASIC_INFO | _COLOUR_ENCODING | _FULL_IMAGE) as decoder:
        library.JxlDecoderSetKeepOrientation(decoder, 1)  # a small picture is turned faster
        library.JxlDecoderSetUnpremultiplyAlpha(decoder, 1)
        info, deep, profile, pixels = _BasicInfo(), None, None, None
        while True:
            event = library.JxlDecoderProcessInput(decoder)
            if event == _BASIC_INFO:
                library.JxlDecoderGetBasicInfo(decoder, ctypes.byref(info))
                check_pixels(info.width, info.height, spec)
            elif event == _COLOUR_ENCODING:
                deep, profile = _colours(library, decoder, info)
            elif event == _NEED_IMAGE_BUFFER and pixels is None:
                channels = 4 if info.alpha_bits else 3
                pixels = np.zeros((info.height, info.width, channels), np.uint8 if deep is None else np.uint16)
                _set_buffer(library, decoder, pixels)
            else:
                break
        if event == _ERROR and library.memory.has_failed:
            raise MemoryError
        if pixels is None:
            raise DamagedMediaError("The picture's beginning is damaged or cut off.")
        if event not in (_FULL_IMAGE, _NEED_MORE_INPUT):
            raise DamagedMediaError("The picture's pixels are damaged.")
        if event == _NEED_MORE_INPUT and library.JxlDecoderFlushImage(decoder) != _SUCCESS:
            raise DamagedMediaError("The picture is cut off before anything of it can be shown.")
        return _Decoded(pixels, info.orientation, deep, profile, is_whole=event == _FULL_IMAGE)


def _set_buffer(library: Any, decoder: Any, pixels: NDArray[Any]) -> None:
    data_type = _UINT16 if pixels.dtype == np.uint16 else _UINT8
    pixel_format = _PixelFormat(pixels.shape[2], data_type, _NATIVE_ENDIAN, 0)
    library.JxlDecoderSetImageOutBuffer(decoder, ctypes.byref(pixel_format), pixels.ctypes.data, pixels.nbytes)


def _colours(library: Any, decoder: Any, info: _BasicInfo) -> tuple[_Deep | None, bytes | None]:
    """Return what the decoded numbers mean; None and None: sRGB, to which libjxl brings XYB itself, but for HDR.

    libjxl's colour management is not set: of 0.11.2 it leaves files without loss as they are, and with grey ones it writes
    behind its buffer.
    """
    said = _ColourEncoding()
    of_file = library.JxlDecoderGetColorAsEncodedProfile(decoder, _OF_THE_ORIGINAL, ctypes.byref(said)) == _SUCCESS
    is_plain = of_file and said.white_point == _D65 and (said.colour_space != _RGB or said.primaries in _GAMUTS)
    if is_plain and said.curve in _CURVES and (info.uses_original_profile or said.curve != _LINEAR):
        is_srgb_gamut = said.colour_space != _RGB or said.primaries == _SRGB_PRIMARIES
        return _Deep(_CURVES[said.curve], NO_CHANGE if is_srgb_gamut else to_bt709(_GAMUTS[said.primaries])), None
    if info.uses_original_profile:
        return None, _profile(library, decoder)
    wanted = _ColourEncoding(white_point=_D65, primaries=_SRGB_PRIMARIES, curve=_SRGB_CURVE, intent=_RELATIVE)
    library.JxlDecoderSetOutputColorProfile(decoder, ctypes.byref(wanted), None, 0)
    return None, None


def _profile(library: Any, decoder: Any) -> bytes | None:
    """Return the ICC profile of the pixels."""
    length = Size()
    if library.JxlDecoderGetICCProfileSize(decoder, _OF_THE_PIXELS, ctypes.byref(length)) != _SUCCESS:
        return None
    if length.value > MAX_PROFILE_BYTES:
        return None
    profile = ctypes.create_string_buffer(length.value)
    found = library.JxlDecoderGetColorAsICCProfile(decoder, _OF_THE_PIXELS, profile, length)
    return profile.raw if found == _SUCCESS else None


def _finish(found: _Decoded, spec: ThumbnailSpec) -> DecodedFrame:
    height, width = found.pixels.shape[:2]
    turn = EXIF_TURNS.get(found.orientation)
    target = needed_size(width, height, spec.renditions, is_turned=swaps_sides(turn))
    if found.deep is None:
        image = to_srgb(scale(Image.fromarray(found.pixels), target, gap=ROUGH_GAP), PictureColours(found.profile))
    else:
        image = _from_deep(found.pixels, found.deep, target)
    if not found.is_whole and blank_share(image) > 1 - LEAST_SHOWN:
        raise DamagedMediaError("Of the picture nothing can be decoded.")
    if turn is not None:
        image = image.transpose(turn)
    facts = SourceFacts("image", width, height, None, "jxl", "jxl", clockwise(turn))
    frame = Frame(None, WHOLE if found.is_whole else DAMAGED)
    return DecodedFrame(image, frame, facts, degraded=not found.is_whole)


def _from_deep(pixels: NDArray[np.uint16], deep: _Deep, target: tuple[int, int]) -> Image.Image:
    smaller = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA).astype(np.uint16)
    coded = np.ascontiguousarray(smaller[..., :3])
    if deep.curve == "linear":
        image = Image.fromarray(to_codes(into_gamut(coded.astype(np.float32) / np.float32(65535), deep.matrix)))
    else:
        image = Image.fromarray(tone_map(coded, deep.curve, deep.matrix))
    if smaller.shape[2] == 4:
        image.putalpha(Image.fromarray((smaller[..., 3] >> 8).astype(np.uint8)))
    return image
