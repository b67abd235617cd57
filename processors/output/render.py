"""Renditions: one picture in, every size encoded."""

import io
from dataclasses import dataclass, replace
from typing import Any, Final

from PIL import AvifImagePlugin, Image

from processors.limits import MAX_RESULT_BYTES
from processors.output.geometry import fill, fit, scale
from processors.output.lossless import OPTIONS, is_cheap, may_be_cheap, may_be_cheap_by_luma
from processors.output.renditions import main_index
from processors.output.thumbhash import MAX_SIDE as THUMBHASH_SIDE
from processors.planes import YuvPicture
from processors.types import Effort, Kind, PictureFormat, Rendition, RenditionSpec, ThumbnailSpec

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
    """Every rendition, and the pixels of the main one, or fewer: what the placeholder is made of."""

    renditions: tuple[Rendition, ...]
    main: Image.Image


def render(image: Image.Image | YuvPicture, spec: ThumbnailSpec, kind: Kind) -> Rendered:
    """Return every rendition of `spec`, in its order; each is made from `image` itself, without metadata.

    `kind` is the source's: frames of videos, which show their encoder's own losses, stay lossy.
    """
    picture = _as_encoded(image, spec)
    scaled = [_scale(_for_format(picture, wanted, spec), wanted) for wanted in spec.renditions]
    encoded = [_encode_one(found, wanted, spec) for found, wanted in zip(scaled, spec.renditions, strict=True)]
    if kind == "image":
        encoded = _lossless_where_cheap(picture, scaled, encoded, spec)
    renditions = tuple(found.rendition for found in encoded)
    main = scaled[main_index([wanted.name for wanted in spec.renditions])]
    if isinstance(main, YuvPicture):
        main = main.rgb(fit(*main.size, THUMBHASH_SIDE, THUMBHASH_SIDE))
    return Rendered(renditions, main)


def _as_encoded(image: Image.Image | YuvPicture, spec: ThumbnailSpec) -> Image.Image | YuvPicture:
    """Return the picture as its encoders have it inside: opaque, where it is to be for all, and in planes, where a format is WebP's."""
    if isinstance(image, YuvPicture):
        return image
    flat = flatten(image, spec.background) if _is_flat(image, spec) else image
    if flat.mode != "RGB" or not wants_planes(spec):
        return flat
    return YuvPicture.from_rgb(flat, flat.size, lambda: flat)


def wants_planes(spec: ThumbnailSpec) -> bool:
    """Return whether renditions of an opaque picture are made of planes, so that it need not be RGB before.

    A JPEG has no more colours than WebP's planes. AVIF is made of RGB, and so are JPEGs alone, which then are converted once less.
    """
    formats = {spec.format_of(wanted) for wanted in spec.renditions}
    return PictureFormat.WEBP in formats and PictureFormat.AVIF not in formats


def _is_flat(image: Image.Image, spec: ThumbnailSpec) -> bool:
    is_opaque = image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)
    return (
        is_opaque
        or spec.alpha == "flatten"
        or not any(spec.format_of(wanted).keeps_alpha for wanted in spec.renditions)
    )


def _for_format(
    picture: Image.Image | YuvPicture, wanted: RenditionSpec, spec: ThumbnailSpec
) -> Image.Image | YuvPicture:
    """Return the picture without its transparency, where the rendition's format has none."""
    if isinstance(picture, YuvPicture) or spec.format_of(wanted).keeps_alpha:
        return picture
    return flatten(picture, spec.background)


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Return the picture on the background colour, RRGGBB; before scaling, so that both mix as they would on a page."""
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, f"#{background}")
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _scale(image: Image.Image | YuvPicture, wanted: RenditionSpec) -> Image.Image | YuvPicture:
    if wanted.mode == "fit":
        return _scale_to(image, fit(*image.size, wanted.width, wanted.height))
    size, box = fill(*image.size, wanted.width, wanted.height)
    if isinstance(image, YuvPicture):  # whose colours cannot be cut between two pixels
        return YuvPicture.from_rgb(scale(image.exact_rgb(), size, box), size)
    return scale(image, size, box)


def _scale_to(image: Image.Image | YuvPicture, size: tuple[int, int]) -> Image.Image | YuvPicture:
    return image.scaled(size) if isinstance(image, YuvPicture) else scale(image, size)


def _encode_one(image: Image.Image | YuvPicture, wanted: RenditionSpec, spec: ThumbnailSpec) -> _Encoded:
    """Return the rendition within its bytes: by less quality first, then by fewer pixels, down to one if it must be."""
    most_bytes, picture_format, wanted_quality = _most_bytes(spec), spec.format_of(wanted), spec.quality_of(wanted)
    worst = min(wanted_quality, _WORST_QUALITY)
    steps = (*(max(worst, int(wanted_quality * share)) for share in _QUALITY_SHARES), worst)
    content = encode(image, picture_format, wanted_quality, spec.effort)
    wanted_bytes = len(content)
    for quality in dict.fromkeys(steps):
        if len(content) <= most_bytes:
            break
        content = encode(image, picture_format, quality, spec.effort)
    while len(content) > most_bytes and image.size != (1, 1):
        image = _scale_to(image, (max(1, int(image.width * _SMALLER)), max(1, int(image.height * _SMALLER))))
        content = encode(image, picture_format, worst, spec.effort)
    return _Encoded(Rendition(wanted.name, image.width, image.height, picture_format, content), wanted_bytes)


def _most_bytes(spec: ThumbnailSpec) -> int:
    """Return the bytes of a rendition: one that the worker would not take must not come to be either."""
    return min(spec.max_rendition_bytes, (MAX_RESULT_BYTES - _FACTS_BYTES) // len(spec.renditions))


def _lossless_where_cheap(
    picture: Image.Image | YuvPicture,
    scaled: list[Image.Image | YuvPicture],
    encoded: list[_Encoded],
    spec: ThumbnailSpec,
) -> list[_Encoded]:
    """Return the renditions, those with every pixel kept of which the file is smaller so, or hardly larger.

    Planes are asked first, as far as their luma can tell; where they do not rule it out, what counts are the pixels in RGB.
    """
    able = [index for index, wanted in enumerate(spec.renditions) if spec.format_of(wanted) in OPTIONS]
    # Scaling mixes colours: where the largest does not pay, the smaller ones do so even less.
    largest = max(able, key=lambda index: scaled[index].width * scaled[index].height, default=None)
    if largest is None or not _may_be_cheap(scaled[largest], encoded[largest].wanted_bytes):
        return encoded
    images = {index: image for index in able if isinstance(image := scaled[index], Image.Image)}
    if isinstance(picture, YuvPicture):
        exact = picture.exact_rgb()
        drawn = {index: _scale(exact, spec.renditions[index]) for index in able}
        images = {index: image for index, image in drawn.items() if isinstance(image, Image.Image)}
        if not may_be_cheap(images[largest], encoded[largest].wanted_bytes):
            return encoded
    return [
        _lossless_if_cheap(images[index], found, spec) if index in images else found
        for index, found in enumerate(encoded)
    ]


def _may_be_cheap(image: Image.Image | YuvPicture, lossy_bytes: int) -> bool:
    if isinstance(image, YuvPicture):
        return may_be_cheap_by_luma(image.luma, lossy_bytes)
    return may_be_cheap(image, lossy_bytes)


def _lossless_if_cheap(image: Image.Image, lossy: _Encoded, spec: ThumbnailSpec) -> _Encoded:
    if not may_be_cheap(image, lossy.wanted_bytes):
        return lossy
    picture_format = lossy.rendition.format
    content = _encode(image, picture_format, OPTIONS[picture_format])
    if len(content) > _most_bytes(spec) or not is_cheap(len(content), lossy.wanted_bytes):
        return lossy
    return replace(lossy, rendition=Rendition(lossy.rendition.name, image.width, image.height, picture_format, content))


def encode(
    image: Image.Image | YuvPicture, picture_format: PictureFormat, quality: int, effort: Effort = "low"
) -> bytes:
    """Return the picture in one format, without metadata. Its mode is RGB, or RGBA where the format keeps alpha."""
    options = picture_format.options_by_effort[effort]
    if isinstance(image, YuvPicture):
        if picture_format is PictureFormat.WEBP:
            return image.webp(quality, options["method"])
        image = image.rgb()
    return _encode(image, picture_format, {"quality": quality, **options})


def _encode(image: Image.Image, picture_format: PictureFormat, options: dict[str, Any]) -> bytes:
    # A new image: Pillow writes the EXIF and ICC data of the old one into some formats.
    bare = Image.new(image.mode, image.size)
    bare.paste(image)
    out = io.BytesIO()
    bare.save(out, picture_format.name, **options)
    return out.getvalue()
