"""Renditions: one picture in, every size encoded."""

import io
from dataclasses import dataclass
from typing import Final

from PIL import AvifImagePlugin, Image

from processors.limits import MAX_RESULT_BYTES
from processors.output.geometry import fill, fit, scale
from processors.output.renditions import main_index
from processors.types import PictureFormat, Rendition, RenditionSpec, ThumbnailSpec

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # slots are the parallelism; threads would not be caged

_QUALITY_SHARES: Final = (0.75, 0.5)
_WORST_QUALITY: Final = 25
"""Below it, fewer pixels look better than worse ones."""
_SMALLER: Final = 0.75
_FACTS_BYTES: Final = 4096
"""Of a result: what is not pictures, generously."""


@dataclass(frozen=True)
class Rendered:
    """Every rendition, and the pixels of the main one."""

    renditions: tuple[Rendition, ...]
    main: Image.Image


def render(image: Image.Image, spec: ThumbnailSpec) -> Rendered:
    """Return every rendition of `spec`, in its order; each is made from `image` itself, without metadata."""
    flat = flatten(image, spec.background) if _is_flat(image, spec) else image
    scaled = [_scale(flat, wanted) for wanted in spec.renditions]
    renditions = tuple(_encode_one(found, wanted, spec) for found, wanted in zip(scaled, spec.renditions, strict=True))
    return Rendered(renditions, scaled[main_index([wanted.name for wanted in spec.renditions])])


def _is_flat(image: Image.Image, spec: ThumbnailSpec) -> bool:
    is_opaque = image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)
    return is_opaque or spec.alpha == "flatten" or not spec.format.keeps_alpha


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Return the picture on the background colour, RRGGBB; before scaling, so that both mix as they would on a page."""
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, f"#{background}")
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _scale(image: Image.Image, wanted: RenditionSpec) -> Image.Image:
    if wanted.mode == "fit":
        return scale(image, fit(*image.size, wanted.width, wanted.height))
    return scale(image, *fill(*image.size, wanted.width, wanted.height))


def _encode_one(image: Image.Image, wanted: RenditionSpec, spec: ThumbnailSpec) -> Rendition:
    """Return the rendition within its bytes: by less quality first, then by fewer pixels, down to one if it must be."""
    # A result that the worker would not take must not come to be either.
    most_bytes = min(spec.max_rendition_bytes, (MAX_RESULT_BYTES - _FACTS_BYTES) // len(spec.renditions))
    worst = min(spec.quality, _WORST_QUALITY)
    steps = (spec.quality, *(max(worst, int(spec.quality * share)) for share in _QUALITY_SHARES), worst)
    content = b""
    for quality in dict.fromkeys(steps):
        content = encode(image, spec.format, quality)
        if len(content) <= most_bytes:
            break
    while len(content) > most_bytes and image.size != (1, 1):
        image = scale(image, (max(1, int(image.width * _SMALLER)), max(1, int(image.height * _SMALLER))))
        content = encode(image, spec.format, worst)
    return Rendition(wanted.name, image.width, image.height, spec.format, content)


def encode(image: Image.Image, picture_format: PictureFormat, quality: int) -> bytes:
    """Return the picture in one format, without metadata. Its mode is RGB, or RGBA where the format keeps alpha."""
    # A new image: Pillow writes the EXIF and ICC data of the old one into some formats.
    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    out = io.BytesIO()
    bare.save(out, picture_format.name, quality=quality, **picture_format.encoder_options)
    return out.getvalue()
