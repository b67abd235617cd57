"""Photoshop documents that were saved without their composite, "for less space": what shows them is the small JPEG beside the layers.

Source: Adobe Photoshop File Formats Specification, image resources 0x0421 (version) and 0x040C (thumbnail).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image

from processors.output.geometry import needed_size
from processors.planes import as_image
from processors.source_file import BytesInMemory, SourceFile
from processors.still import tiff_tags as tags
from processors.still.finish import PREVIEW
from processors.still.pillow import DeepDecoder, take, unsupported
from processors.types import DecodedFrame, ThumbnailSpec
from schemas.degraded import DegradedReason

_COLOUR_TABLE_AT: Final = 26
_MOST_RESOURCES: Final = 1000
_VERSION, _THUMBNAIL = 0x0421, 0x040C
_HAS_COMPOSITE_AT: Final = 4
_JPEG_AT: Final = 28
_MAX_JPEG_BYTES: Final = 1 << 20
_LARGE: Final = b"\0\2"
_ICON: Final = (32, 32)
_ALIKE: Final = 4.0
"""Mean difference of the values, up to which a preview shows the same."""


def composite_or_preview(taken: DecodedFrame, file: SourceFile, spec: ThumbnailSpec, deep: DeepDecoder) -> DecodedFrame:
    """Return `taken`, which was made of the file's composite; its preview where the document says that the composite is none.

    Photoshop puts white in its place, or a text that it is missing. One that shows what the preview shows is believed all the same.
    Raises PermanentError media.unsupported where there is no preview either.
    """
    content = tags.FileBytes(file)
    found = {number: (at, size) for number, at, size in _resources(content)}
    at, size = found.get(_VERSION, (0, 0))
    is_said_to_lack = size > _HAS_COMPOSITE_AT and content[at + _HAS_COMPOSITE_AT : at + _HAS_COMPOSITE_AT + 1] == b"\0"
    if not is_said_to_lack or not _has_layers(content):  # without layers there is nothing else
        return taken
    at, size = found.get(_THUMBNAIL, (0, 0))
    if size <= _JPEG_AT:
        raise unsupported("a Photoshop document that was saved without its composite picture")
    preview = take(SourceFile(BytesInMemory(content[at + _JPEG_AT : at + min(size, _MAX_JPEG_BYTES)])), spec, deep)
    if _is_alike(as_image(taken.image), as_image(preview.image)):
        return taken
    needed = needed_size(taken.facts.width, taken.facts.height, spec.renditions)
    is_small = preview.facts.width < needed[0] or preview.facts.height < needed[1]
    frame = replace(preview.frame, method=PREVIEW)
    return replace(preview, frame=frame, facts=taken.facts, degraded=is_small, reason=DegradedReason.PREVIEW)


def _is_alike(one: Image.Image, other: Image.Image) -> bool:
    """Return whether two pictures show the same, as small as an icon and on white."""
    shown = []
    for picture in (one, other):
        clear = picture.convert("RGBA").resize(_ICON, Image.Resampling.BOX)
        shown.append(np.asarray(Image.alpha_composite(Image.new("RGBA", _ICON, "white"), clear), np.int16))
    return float(np.abs(shown[0] - shown[1]).mean()) < _ALIKE


def _resources_at(content: tags.FileBytes) -> int:
    return _COLOUR_TABLE_AT + 4 + int.from_bytes(content[_COLOUR_TABLE_AT : _COLOUR_TABLE_AT + 4])


def _has_layers(content: tags.FileBytes) -> bool:
    at = _resources_at(content)
    at += 4 + int.from_bytes(content[at : at + 4])
    return any(content[at : at + (8 if content[4:6] == _LARGE else 4)])


def _resources(content: tags.FileBytes) -> Iterator[tuple[int, int, int]]:
    """Yield number, place and length of the document's resources, as far as they are in order."""
    at = _resources_at(content)
    end = at + 4 + int.from_bytes(content[at : at + 4])
    at += 4
    for _ in range(_MOST_RESOURCES):
        head = content[at : at + 7]
        if at >= end or len(head) < 7:
            return
        at += 6 + (head[6] + 2) // 2 * 2  # the name, with the byte of its length, fills up to an even number
        size = int.from_bytes(content[at : at + 4])
        yield int.from_bytes(head[4:6]), at + 4, size
        at += 4 + (size + 1) // 2 * 2
