"""WebP decoded to a smaller size, or as far as it goes, by libwebp itself: Pillow's library can, its interface cannot."""

import ctypes
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL
from numpy.typing import NDArray

_ABI: Final = 0x0209
"""Of <webp/decode.h>; libraries accept what has the same upper byte."""
_MODE_RGB: Final = 0
_MODE_RGBA: Final = 1
_OK: Final = 0
Int, Size, Pointer = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p


class _Features(ctypes.Structure):
    _fields_ = (
        *((name, Int) for name in ("width", "height", "has_alpha", "has_animation", "format")),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Rgba(ctypes.Structure):
    _fields_ = (("pixels", Pointer), ("stride", Int), ("size", Size))


class _Yuva(ctypes.Structure):
    _fields_ = (("planes", Pointer * 4), ("strides", Int * 4), ("sizes", Size * 4))


class _Planes(ctypes.Union):
    _fields_ = (("rgba", _Rgba), ("yuva", _Yuva))


class _Output(ctypes.Structure):
    _fields_ = (
        *((name, Int) for name in ("colour_space", "width", "height", "is_external_memory")),
        ("planes", _Planes),
        ("pad", ctypes.c_uint32 * 4),
        ("private_memory", Pointer),
    )


class _Options(ctypes.Structure):
    _fields_ = (
        *((name, Int) for name in ("bypass_filtering", "no_fancy_upsampling", "use_cropping")),
        ("crop", Int * 4),
        *((name, Int) for name in ("use_scaling", "scaled_width", "scaled_height", "use_threads")),
        *((name, Int) for name in ("dithering_strength", "flip", "alpha_dithering_strength")),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Config(ctypes.Structure):
    _fields_ = (("input", _Features), ("output", _Output), ("options", _Options))


def decode_scaled(data: bytes, width: int, height: int, *, keeps_alpha: bool = False) -> NDArray[np.uint8] | None:
    """Return the still picture in `data` as height x width x 3 values, with `keeps_alpha` 4 where it is transparent.

    None where it is none, has transparency that is not to be kept, or the library is missing.

    Source of the interface: libwebp's src/webp/decode.h, WebPDecoderConfig. The scaler averages areas, as thumbnails need.
    """
    library = _LIBRARY
    config = _Config()
    if library is None or not library.WebPInitDecoderConfigInternal(ctypes.byref(config), _ABI):
        return None
    if library.WebPGetFeaturesInternal(data, len(data), ctypes.byref(config.input), _ABI) != _OK:
        return None
    has_alpha = bool(config.input.has_alpha)
    if (has_alpha and not keeps_alpha) or config.input.has_animation:
        return None
    values = 4 if has_alpha else 3
    pixels = np.empty((height, width, values), dtype=np.uint8)
    config.options.use_scaling, config.options.scaled_width, config.options.scaled_height = 1, width, height
    config.output.colour_space, config.output.is_external_memory = _MODE_RGBA if has_alpha else _MODE_RGB, 1
    config.output.planes.rgba = _Rgba(pixels.ctypes.data, values * width, pixels.nbytes)
    return pixels if library.WebPDecode(data, len(data), ctypes.byref(config)) == _OK else None


def decode_begun(data: bytes, max_pixels: int) -> tuple[NDArray[np.uint8], float] | None:
    """Return the still picture of which `data` is the beginning, as height x width x 4 values, and which part of it is there.

    None where it is none, or the library is missing. Source: WebPIDecoder in libwebp's src/webp/decode.h.
    """
    library = _LIBRARY
    config = _Config()
    if library is None or not library.WebPInitDecoderConfigInternal(ctypes.byref(config), _ABI):
        return None
    if library.WebPGetFeaturesInternal(data, len(data), ctypes.byref(config.input), _ABI) != _OK:
        return None
    width, height = config.input.width, config.input.height
    if config.input.has_animation or not 0 < width * height <= max_pixels:
        return None
    pixels = np.zeros((height, width, 4), dtype=np.uint8)
    decoder = library.WebPINewRGB(_MODE_RGBA, pixels.ctypes.data, pixels.nbytes, 4 * width)
    if not decoder:
        return None
    last_row = Int(0)
    try:
        library.WebPIAppend(decoder, data, len(data))
        library.WebPIDecGetRGB(decoder, ctypes.byref(last_row), None, None, None)
    finally:
        library.WebPIDelete(decoder)
    rows = max(0, min(last_row.value, height))
    pixels[rows:, :, 3] = 0
    return pixels, rows / height


def _load() -> Any:
    """Return the libwebp that Pillow brings along; None where Pillow was built with the system's, whose version is not known."""
    folder = Path(PIL.__file__).parent.parent / "pillow.libs"
    found = sorted(folder.glob("libwebp-*.so*")) if sys.platform == "linux" else []
    if not found:
        return None
    library = ctypes.CDLL(str(found[0]))
    library.WebPGetFeaturesInternal.argtypes = (ctypes.c_char_p, Size, Pointer, Int)
    library.WebPDecode.argtypes = (ctypes.c_char_p, Size, Pointer)
    library.WebPINewRGB.argtypes, library.WebPINewRGB.restype = (Int, Pointer, Size, Int), Pointer
    library.WebPIAppend.argtypes = (Pointer, ctypes.c_char_p, Size)
    library.WebPIDecGetRGB.argtypes, library.WebPIDecGetRGB.restype = (Pointer,) * 5, Pointer
    library.WebPIDelete.argtypes, library.WebPIDelete.restype = (Pointer,), None
    return library


_LIBRARY: Final = _load()
"""Loaded with this module: a locked process could not do it."""
