"""Photographs' pixels of any kind as one of the few kinds that can be scaled and converted: eight bits, straight alpha."""

from typing import Final

import numpy as np
from PIL import Image

_WITH_ALPHA: Final = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_DEEP: Final = frozenset({"I", "F"})


def plain_mode(image: Image.Image) -> Image.Image:
    """Mode RGB, RGBA, L, CMYK or LAB; the image itself where it is of such a mode already."""
    if image.mode.startswith("I;16") or image.mode in _DEEP:
        return _from_deep(image)
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode == "RGB" and "transparency" in image.info:
        return _keyed(image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("RGB", "L", "CMYK", "LAB") else image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, of 32, or of floats from 0 to 1; numbers beyond what is usual are scaled by the largest one."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    values = np.nan_to_num(np.asarray(image, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(values.max(initial=0.0))
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    top = next((limit for limit in usual if largest <= limit * 1.001), largest)
    return Image.fromarray(np.rint(np.clip(values * np.float32(255 / top), 0, 255)).astype(np.uint8))


def _keyed(image: Image.Image) -> Image.Image:
    """PNG's one transparent colour; of 16-bit pictures it has 16 bits, while Pillow keeps eight of the pixels'."""
    key = image.info["transparency"]
    if isinstance(key, tuple) and any(value > 255 for value in key):
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image.convert("RGBA")
