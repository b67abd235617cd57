"""Camera raw files, by the JPEG that the camera put beside the sensor's numbers: the largest one."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from processors.limits import MIB
from processors.orientation import EXIF_TURNS, Turn, clockwise
from processors.output.geometry import needed_size
from processors.planes import turned
from processors.readers import DamagedMediaError
from processors.source_file import BytesInMemory, SourceFile
from processors.still import tiff_tags as tags
from processors.still.finish import PREVIEW
from processors.still.pillow import DeepDecoder, take
from processors.types import DecodedFrame, ThumbnailSpec
from schemas.degraded import DegradedReason
from schemas.errors import ErrorCode, PermanentError

_TIFF_HEADS: Final = (b"II*\0", b"MM\0*")
_RAW_HEADS: Final = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb", b"\0MRM")
_SENSOR: Final = frozenset({32803, 34892})
"""Photometric interpretations: colour filter array, linear raw."""
_CAMERA_COMPRESSIONS: Final = frozenset({32767, 34713, 65535})
"""Sony's, Nikon's, Pentax's."""
_OLD_JPEG, _JPEG = 6, 7
_SEARCHED_BYTES: Final = 32 * MIB
"""How far from the beginning of a file whose directories name no JPEG one is looked for."""
_MAX_JPEG_BYTES: Final = 64 * MIB
_MOST_FOUND: Final = 64
_STAMP_SIDE: Final = 320
"""Previews up to this are stamps for a camera's own list, and not shown as the photograph."""
_FRAME_HEADERS: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Of JPEGs that are pictures; sensors' numbers are stored as lossless ones."""
_MAX_SEGMENTS: Final = 200


def is_raw(file: SourceFile, head: bytes) -> bool:
    """Return whether the file is a camera's raw one: by its first bytes, or, of TIFFs, by what their directories say of the pixels."""
    if head.startswith(_RAW_HEADS) or head[4:12] == b"ftypcrx " or head[6:14] == b"HEAPCCDR":
        return True
    if not head.startswith(_TIFF_HEADS):
        return False
    return head[8:10] == b"CR" or any(
        tags.DNG_VERSION in found
        or tags.one(found, tags.PHOTOMETRIC) in _SENSOR
        or tags.one(found, tags.COMPRESSION) in _CAMERA_COMPRESSIONS
        for found in tags.read_directories(tags.FileBytes(file))
    )


def decode_preview(file: SourceFile, spec: ThumbnailSpec, take_deep: DeepDecoder) -> DecodedFrame:
    """Return the largest preview; degraded where it is smaller than the renditions. Raises PermanentError media.unsupported."""
    whole = tags.FileBytes(file)
    directories = list(tags.read_directories(whole))
    found = list(_named(whole, directories))
    if max((_pixels(size) for _, _, size in found), default=0) <= _STAMP_SIDE**2:
        found += _searched(whole)
    for start, length, size in sorted(found, key=lambda one: _pixels(one[2]), reverse=True):
        if max(size) <= _STAMP_SIDE:
            break
        jpeg = whole[start : start + min(length, _MAX_JPEG_BYTES)]
        try:
            taken = take(SourceFile(BytesInMemory(jpeg)), spec, take_deep)
        except DamagedMediaError:
            continue
        turn = EXIF_TURNS.get(_orientation(whole, directories))
        return _as_preview(taken, size, None if taken.facts.rotation else turn, spec)
    raise PermanentError(
        ErrorCode.MEDIA_UNSUPPORTED,
        f"The file is a raw camera file without a preview larger than {_STAMP_SIDE} pixels, which is not read.",
    )


def _as_preview(taken: DecodedFrame, size: tuple[int, int], turn: Turn, spec: ThumbnailSpec) -> DecodedFrame:
    if turn is not None:
        taken = replace(taken, image=turned(taken.image, turn))
    is_small = needed_size(*size, spec.renditions) == size
    facts = replace(taken.facts, format="raw", rotation=taken.facts.rotation or clockwise(turn))
    return replace(
        taken, frame=replace(taken.frame, method=PREVIEW), facts=facts, degraded=is_small, reason=DegradedReason.PREVIEW
    )


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _named(content: tags.FileBytes, directories: list[tags.Tags]) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield place, length and size of every JPEG that the directories name, and Fujifilm's header."""
    places: list[tuple[int, int]] = []
    for found in directories:
        places += zip(found.get(tags.JPEG_OFFSET, ()), found.get(tags.JPEG_BYTES, ()), strict=False)
        if tags.one(found, tags.COMPRESSION) in (_OLD_JPEG, _JPEG) and len(found.get(tags.STRIP_OFFSETS, ())) == 1:
            places += zip(found[tags.STRIP_OFFSETS], found.get(tags.STRIP_BYTES, ()), strict=False)
    if content[:15] == b"FUJIFILMCCD-RAW":
        places.append((int.from_bytes(content[84:88]), int.from_bytes(content[88:92])))
    for start, length in places:
        size = jpeg_size(content, start)
        if size is not None:
            yield start, length, size


def _searched(content: tags.FileBytes) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield the same of JPEGs that only their first bytes show."""
    data = content[:_SEARCHED_BYTES]
    at = data.find(b"\xff\xd8\xff")
    for _ in range(_MOST_FOUND):
        if at < 0:
            return
        size = jpeg_size(data, at)
        if size is not None:
            yield at, len(content) - at, size
        at = data.find(b"\xff\xd8\xff", at + 3)


def jpeg_size(content: tags.Content, at: int) -> tuple[int, int] | None:
    """Return width and height of the JPEG at `at`; None where there is none that is a picture."""
    if content[at : at + 3] != b"\xff\xd8\xff":
        return None
    at += 2
    for _ in range(_MAX_SEGMENTS):
        head = content[at : at + 9]
        if len(head) < 9 or head[0] != 0xFF:
            return None
        if head[1] in _FRAME_HEADERS:
            return int.from_bytes(head[7:9]), int.from_bytes(head[5:7])
        if head[1] in (0xC3, 0xDA, 0xD9):
            return None
        at += 2 + int.from_bytes(head[2:4])
    return None


def _orientation(content: tags.FileBytes, directories: list[tags.Tags]) -> int:
    """Return the file's own, as of its first directory; of Canon's newer ones, in the box that holds it."""
    if not directories:
        head = content[:65536]
        at = head.find(b"CMT1")
        directories = list(tags.read_directories(head[at + 4 :])) if at >= 0 else []
    return tags.one(directories[0], tags.ORIENTATION) if directories else 0
