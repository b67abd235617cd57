"""libjxl through its C interface: the library that `imagecodecs` bundles, where the extra `jxl` is installed.

The package's own function knows no colours, no premultiplied alpha, no black and no cut files; the library knows all of them. It has
no threads as long as no runner is set. Source of the interface: libjxl's jxl/decode.h, 0.11; its structures are for ever.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_PACKAGE: Final = "imagecodecs"
_MODULE: Final = "_jpegxl"
"""Of the package: links to libjxl, whose functions are found through it."""

_SUCCESS: Final = 0
ERROR, NEED_MORE_INPUT, NEED_IMAGE_BUFFER = 1, 2, 5
BASIC_INFO, COLOUR_ENCODING, FULL_IMAGE = 0x40, 0x100, 0x1000
"""Events, like the three before."""
_UINT8, _UINT16 = 2, 3
_NATIVE_ENDIAN: Final = 0
_OF_THE_ORIGINAL, _OF_THE_PIXELS = 0, 1
RGB, D65, SRGB_PRIMARIES, SRGB_CURVE = 0, 1, 1, 13
"""Of a ColourEncoding: its space, its white point, its primaries, its curve."""
_RELATIVE: Final = 1
BLACK: Final = 4
"""The kind of extra channel that is the fourth ink."""
Pointer, Size, UInt = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
_Allocate: Final = ctypes.CFUNCTYPE(Pointer, Pointer, Size)
_Free: Final = ctypes.CFUNCTYPE(None, Pointer, Pointer)


class BasicInfo(ctypes.Structure):
    """JxlBasicInfo."""

    _fields_ = (
        *((name, UInt) for name in ("have_container", "width", "height", "bits", "exponent_bits")),
        *(("intensity_target", ctypes.c_float), ("min_nits", ctypes.c_float)),
        *(("relative_to_max_display", UInt), ("linear_below", ctypes.c_float)),
        *((name, UInt) for name in ("uses_original_profile", "have_preview", "have_animation", "orientation")),
        *((name, UInt) for name in ("colour_channels", "extra_channels", "alpha_bits", "alpha_exponent_bits")),
        *(("alpha_premultiplied", UInt), ("preview", UInt * 2), ("animation", UInt * 4), ("intrinsic", UInt * 2)),
        ("pad", ctypes.c_uint8 * 100),
    )


class ColourEncoding(ctypes.Structure):
    """JxlColorEncoding."""

    _fields_ = (
        *(("colour_space", UInt), ("white_point", UInt), ("white", ctypes.c_double * 2)),
        *(("primaries", UInt), ("points", ctypes.c_double * 6)),
        *(("curve", UInt), ("gamma", ctypes.c_double), ("intent", UInt)),
    )


class ExtraChannelInfo(ctypes.Structure):
    """JxlExtraChannelInfo."""

    _fields_ = (
        *(
            (name, UInt)
            for name in ("kind", "bits", "exponent_bits", "dim_shift", "name_length", "alpha_premultiplied")
        ),
        *(("spot_colour", ctypes.c_float * 4), ("cfa_channel", UInt)),
    )


class PixelFormat(ctypes.Structure):
    """JxlPixelFormat."""

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


class Decoder:
    """One decoder of libjxl; its methods are the library's functions of nearly the same names."""

    def __init__(self, library: Any, handle: int) -> None:
        self._library: Final = library
        self._handle: Final = handle

    def process(self) -> int:
        """Go on to the next event, and return it. Raises MemoryError."""
        event: int = self._library.JxlDecoderProcessInput(self._handle)
        if event == ERROR and self._library.memory.has_failed:
            raise MemoryError
        return event

    def info(self) -> BasicInfo | None:
        """Return what the header says, after the event BASIC_INFO."""
        info = BasicInfo()
        found = self._library.JxlDecoderGetBasicInfo(self._handle, ctypes.byref(info))
        return info if found == _SUCCESS else None

    def black_channel(self, info: BasicInfo) -> int | None:
        """Return the number of the extra channel that holds the fourth ink."""
        said = ExtraChannelInfo()
        for number in range(info.extra_channels):
            found = self._library.JxlDecoderGetExtraChannelInfo(self._handle, number, ctypes.byref(said))
            if found == _SUCCESS and said.kind == BLACK:
                return number
        return None

    def colours(self) -> ColourEncoding | None:
        """Return how the file names its colours; None where it has a profile instead. After the event COLOUR_ENCODING."""
        said = ColourEncoding()
        found = self._library.JxlDecoderGetColorAsEncodedProfile(self._handle, _OF_THE_ORIGINAL, ctypes.byref(said))
        return said if found == _SUCCESS else None

    def profile(self, most_bytes: int) -> bytes | None:
        """Return the ICC profile of the pixels; None where there is none, or a longer one."""
        length = Size()
        found = self._library.JxlDecoderGetICCProfileSize(self._handle, _OF_THE_PIXELS, ctypes.byref(length))
        if found != _SUCCESS or length.value > most_bytes:
            return None
        profile = ctypes.create_string_buffer(length.value)
        found = self._library.JxlDecoderGetColorAsICCProfile(self._handle, _OF_THE_PIXELS, profile, length)
        return profile.raw if found == _SUCCESS else None

    def want_srgb(self) -> None:
        """Have lossy pixels, which are in libjxl's own space, as sRGB."""
        wanted = ColourEncoding(white_point=D65, primaries=SRGB_PRIMARIES, curve=SRGB_CURVE, intent=_RELATIVE)
        self._library.JxlDecoderSetOutputColorProfile(self._handle, ctypes.byref(wanted), None, 0)

    def fill(self, pixels: NDArray[Any]) -> None:
        """Have the colours, and the alpha where there are four channels, in `pixels`: height x width x 3 or 4, 8 or 16 bits."""
        form = _form_of(pixels, pixels.shape[2])
        self._library.JxlDecoderSetImageOutBuffer(self._handle, ctypes.byref(form), pixels.ctypes.data, pixels.nbytes)

    def fill_extra(self, number: int, values: NDArray[Any]) -> None:
        """Have an extra channel in `values`: height x width, 8 or 16 bits."""
        form = _form_of(values, 1)
        self._library.JxlDecoderSetExtraChannelBuffer(
            self._handle, ctypes.byref(form), values.ctypes.data, values.nbytes, number
        )

    def flush(self) -> bool:
        """Return whether what came of a cut file is in the pixels now."""
        return bool(self._library.JxlDecoderFlushImage(self._handle) == _SUCCESS)


def _form_of(values: NDArray[Any], channels: int) -> PixelFormat:
    return PixelFormat(channels, _UINT16 if values.dtype == np.uint16 else _UINT8, _NATIVE_ENDIAN, 0)


def is_libjxl_installed() -> bool:
    """Return whether the extra `jxl` is installed; nothing is loaded."""
    return _module_path() is not None


def _module_path() -> str | None:
    package = find_spec(_PACKAGE)  # finds, and does not import: sixty codecs are not for this process
    found = None if package is None else PathFinder.find_spec(_MODULE, package.submodule_search_locations)
    return None if found is None else found.origin


@cache
def load_libjxl() -> Any:
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
        ("GetExtraChannelInfo", (Size, Pointer)),
        ("GetColorAsEncodedProfile", (ctypes.c_int, Pointer)),
        ("GetICCProfileSize", (ctypes.c_int, Pointer)),
        ("GetColorAsICCProfile", (ctypes.c_int, Pointer, Size)),
        ("SetOutputColorProfile", (Pointer, Pointer, Size)),
        ("SetImageOutBuffer", (Pointer, Pointer, Size)),
        ("SetExtraChannelBuffer", (Pointer, Pointer, Size, UInt)),
        ("FlushImage", ()),
    ):
        getattr(library, f"JxlDecoder{name}").argtypes = (Pointer, *arguments)
    return library


@contextmanager
def decoding(library: Any, content: bytes, events: int) -> Iterator[Decoder]:
    """Yield a decoder of the content, which outlives it. Pixels come as they are stored, with straight alpha. Raises MemoryError."""
    library.memory.has_failed = False
    handle = library.JxlDecoderCreate(ctypes.byref(library.memory.manager))
    if not handle:
        raise MemoryError
    try:
        library.JxlDecoderSubscribeEvents(handle, events)
        library.JxlDecoderSetKeepOrientation(handle, 1)  # a small picture is turned faster
        library.JxlDecoderSetUnpremultiplyAlpha(handle, 1)
        library.JxlDecoderSetInput(handle, content, len(content))
        yield Decoder(library, handle)
    finally:
        library.JxlDecoderDestroy(handle)
