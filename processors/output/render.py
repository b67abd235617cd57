"""Renditions: one picture in, every size encoded."""

import io
from dataclasses import dataclass, replace
from typing import Any, Final

from PIL import AvifImagePlugin, Image

from processors.limits import MAX_RESULT_BYTES
from processors.output.geometry import fill, fit, scale
from processors.output.lossless import OPTIONS, is_cheap, may_be_cheap
from processors.output.renditions import main_index
from processors.types import Kind, PictureFormat, Rendition, RenditionSpec, ThumbnailSpec

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # slots are the parallelism; threads would not be caged

_QUALITY_SHARES: Final = (0.75, 0.5)
_WORST_QUALITY: Final = 25
"""Below it, fewer pixels look better than worse ones."""
_SMALLER: Final = 0.75
_FACTS_BYTES: Final = 4096
"""Of a result: what is not pictures, generously."""


@dataclass(frozen=True)
class _Encoded:
    """A rendition, and how many bytes it has at the wanted quality and size."""

    rendition: Rendition
    wanted_bytes: int


@dataclass(frozen=True)
class Rendered:
    """Every rendition, and the pixels of the main one."""

    renditions: tuple[Rendition, ...]
    main: Image.Image


def render(image: Image.Image, spec: ThumbnailSpec, kind: Kind) -> Rendered:
    """Return every rendition of `spec`, in its order; each is made from `image` itself, without metadata.

    `kind` is the source's: frames of videos, which show their encoder's own losses, stay lossy.
    """
    flat = flatten(image, spec.background) if _is_flat(image, spec) else image
    scaled = [_scale(flat, wanted) for wanted in spec.renditions]
    encoded = [_encode_one(found, wanted, spec) for found, wanted in zip(scaled, spec.renditions, strict=True)]
    if kind == "image":
        encoded = _lossless_where_cheap(scaled, encoded, spec)
    renditions = tuple(found.rendition for found in encoded)
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


def _encode_one(image: Image.Image, wanted: RenditionSpec, spec: ThumbnailSpec) -> _Encoded:
    """Return the rendition within its bytes: by less quality first, then by fewer pixels, down to one if it must be."""
    most_bytes = _most_bytes(spec)
    worst = min(spec.quality, _WORST_QUALITY)
    steps = (*(max(worst, int(spec.quality * share)) for share in _QUALITY_SHARES), worst)
    content = encode(image, spec.format, spec.quality)
    wanted_bytes = len(content)
    for quality in dict.fromkeys(steps):
        if len(content) <= most_bytes:
            break
        content = encode(image, spec.format, quality)
    while len(content) > most_bytes and image.size != (1, 1):
        image = scale(image, (max(1, int(image.width * _SMALLER)), max(1, int(image.height * _SMALLER))))
        content = encode(image, spec.format, worst)
    return _Encoded(Rendition(wanted.name, image.width, image.height, spec.format, content), wanted_bytes)


def _most_bytes(spec: ThumbnailSpec) -> int:
    """Return the bytes of a rendition: one that the worker would not take must not come to be either."""
    return min(spec.max_rendition_bytes, (MAX_RESULT_BYTES - _FACTS_BYTES) // len(spec.renditions))


def _lossless_where_cheap(scaled: list[Image.Image], encoded: list[_Encoded], spec: ThumbnailSpec) -> list[_Encoded]:
    """Return the renditions, those with every pixel kept of which the file is smaller so, or hardly larger."""
    options = OPTIONS.get(spec.format)
    # Scaling mixes colours: where the largest does not pay, the smaller ones do so even less.
    largest = max(range(len(scaled)), key=lambda index: scaled[index].width * scaled[index].height)
    if options is None or not may_be_cheap(scaled[largest], encoded[largest].wanted_bytes):
        return encoded
    return [_lossless_if_cheap(image, found, options, spec) for image, found in zip(scaled, encoded, strict=True)]


def _lossless_if_cheap(image: Image.Image, lossy: _Encoded, options: dict[str, Any], spec: ThumbnailSpec) -> _Encoded:
    if not may_be_cheap(image, lossy.wanted_bytes):
        return lossy
    content = _encode(image, spec.format, options)
    if len(content) > _most_bytes(spec) or not is_cheap(len(content), lossy.wanted_bytes):
        return lossy
    return replace(lossy, rendition=Rendition(lossy.rendition.name, image.width, image.height, spec.format, content))


def encode(image: Image.Image, picture_format: PictureFormat, quality: int) -> bytes:
    """Return the picture in one format, without metadata. Its mode is RGB, or RGBA where the format keeps alpha."""
    return _encode(image, picture_format, {"quality": quality, **picture_format.encoder_options})


def _encode(image: Image.Image, picture_format: PictureFormat, options: dict[str, Any]) -> bytes:
    # A new image: Pillow writes the EXIF and ICC data of the old one into some formats.
    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    out = io.BytesIO()
    bare.save(out, picture_format.name, **options)
    return out.getvalue()
