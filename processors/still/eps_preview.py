"""EPS drawings by the TIFF that many programs put into them, since nothing here draws PostScript.

Source: Adobe's Encapsulated PostScript File Format Specification, 5.2 (Windows).
"""

import struct
from dataclasses import replace
from typing import Final

from processors.limits import MIB
from processors.source_file import BytesInMemory, SourceFile
from processors.still.finish import PREVIEW
from processors.still.ladder import decode_still
from processors.still.pillow import DeepDecoder, unsupported
from processors.types import DecodedFrame, ThumbnailSpec
from schemas.degraded import DegradedReason

_MAGIC: Final = b"\xc5\xd0\xd3\xc6"
_HEADER: Final = struct.Struct("<4s6I")
_MOST_BYTES: Final = 64 * MIB


def is_eps_in_parts(head: bytes) -> bool:
    """Return whether the file is an EPS drawing with a preview before or behind it."""
    return head.startswith(_MAGIC)


def decode_eps_preview(file: SourceFile, spec: ThumbnailSpec, take_deep: DeepDecoder) -> DecodedFrame:
    """Return the preview, which is coarser than the drawing: degraded. Raises PermanentError media.unsupported without a TIFF."""
    file.seek(0)
    head = file.read(_HEADER.size)
    start, length = _HEADER.unpack(head)[5:] if len(head) == _HEADER.size else (0, 0)
    if not 0 < length <= _MOST_BYTES or start + length > file.size:
        raise unsupported("an EPS drawing without a preview")
    file.seek(start)
    taken = decode_still(SourceFile(BytesInMemory(file.read(length))), spec, take_deep)
    return replace(
        taken,
        frame=replace(taken.frame, method=PREVIEW),
        facts=replace(taken.facts, format="eps"),
        degraded=True,
        reason=DegradedReason.PREVIEW,
    )
