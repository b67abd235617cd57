"""The part of a video's frame that is meant to be seen: MP4's `clap` box and Matroska's PixelCrop.

FFmpeg applies the crops that a codec writes into its stream; those of the container it only notes as a stream's side data,
which PyAV does not hand out, so they are read here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from processors.source_file import SourceFile
from processors.video.sample_entry import entry_boxes, is_mp4

_SMALLEST_SHARE: Final = 8
"""A crop that leaves less than an eighth of a side is a mistake, or somebody's joke."""
_MAX_ELEMENTS: Final = 500
_SEGMENT, _TRACKS, _TRACK, _TYPE, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0xE0
_CLUSTER: Final = 0x1F43B675
_CROP_BOTTOM, _CROP_TOP, _CROP_LEFT, _CROP_RIGHT = 0x54AA, 0x54BB, 0x54CC, 0x54DD


@dataclass(frozen=True)
class Crop:
    """Pixels of the coded frame to be left out on each side."""

    left: int
    top: int
    right: int
    bottom: int

    def is_sane(self, width: int, height: int) -> bool:
        """Return whether it cuts something off, lies in the frame, and leaves enough of it."""
        left_over = (width - self.left - self.right, height - self.top - self.bottom)
        sides = (self.left, self.top, self.right, self.bottom)
        return (
            any(sides)
            and min(sides) >= 0
            and left_over[0] * _SMALLEST_SHARE >= width
            and left_over[1] * _SMALLEST_SHARE >= height
        )


def find_crop(file: SourceFile, film: int, width: int, height: int) -> Crop | None:
    """Return the container's crop of the film with this index among the file's films, of a frame of width x height pixels."""
    file.seek(0)
    head = file.read(8)
    if is_mp4(head):
        crop = _of_mp4(file, film, width, height)
    elif head[:4] == b"\x1aE\xdf\xa3":
        crop = _of_matroska(file, film)
    else:
        crop = None
    return crop if crop is not None and crop.is_sane(width, height) else None


def _of_mp4(file: SourceFile, film: int, width: int, height: int) -> Crop | None:
    aperture = next((box for box in entry_boxes(file, film) if box.kind == b"clap"), None)
    return None if aperture is None else _of_clap(aperture.read(file, 32), width, height)


def _of_clap(content: bytes, width: int, height: int) -> Crop | None:
    """ISO 14496-12, 12.1.4: the size of the aperture, and how far its centre lies from the frame's."""
    numbers = [int.from_bytes(content[at : at + 4], signed=True) for at in range(0, 32, 4)]
    if len(content) < 32 or any(under <= 0 for under in numbers[1::2]):
        return None
    seen_width, seen_height, right, down = (Fraction(*numbers[at : at + 2]) for at in (0, 2, 4, 6))
    left, top = (width - seen_width) / 2 + right, (height - seen_height) / 2 + down
    return Crop(round(left), round(top), round(width - seen_width - left), round(height - seen_height - top))


def _of_matroska(file: SourceFile, film: int) -> Crop | None:
    films = 0
    for kind, start, end in _elements(file, 0, file.size, inside=frozenset({_SEGMENT, _TRACKS})):
        if kind == _CLUSTER:
            return None
        if kind != _TRACK:
            continue
        fields = {number: (first, stop) for number, first, stop in _elements(file, start, end)}
        if _TYPE not in fields or _VIDEO not in fields or _number(file, *fields[_TYPE]) != 1:
            continue
        if films == film:
            cuts = {number: _number(file, first, stop) for number, first, stop in _elements(file, *fields[_VIDEO])}
            return Crop(*(cuts.get(side, 0) for side in (_CROP_LEFT, _CROP_TOP, _CROP_RIGHT, _CROP_BOTTOM)))
        films += 1
    return None


def _elements(
    file: SourceFile, start: int, end: int, *, inside: frozenset[int] = frozenset()
) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each EBML element; of those `inside`, the elements they hold instead."""
    for _ in range(_MAX_ELEMENTS):
        file.seek(start)
        head = file.read(min(12, max(0, end - start)))
        number, used = _vint(head, keeps_marker=True)
        size, more = _vint(head[used:], keeps_marker=False)
        if not used or not more:
            return
        content = start + used + more
        is_unknown = size == (1 << 7 * more) - 1
        stop = end if is_unknown else content + size
        if stop > end:
            stop = end
        if number in inside:
            start = content
            continue
        yield number, content, stop
        start = stop


def _vint(data: bytes, *, keeps_marker: bool) -> tuple[int, int]:
    """Return a number of variable length, and how many bytes it takes; 0 bytes where there is none."""
    length = 9 - data[0].bit_length() if data and data[0] else 0
    if not length or len(data) < length:
        return 0, 0
    number = int.from_bytes(data[:length])
    return (number if keeps_marker else number & ~(1 << 7 * length)), length


def _number(file: SourceFile, start: int, end: int) -> int:
    file.seek(start)
    return int.from_bytes(file.read(min(8, end - start)))
