"""Clips with damage at known places: what transfers, disks and careless tools leave behind."""

import io
from collections.abc import Callable
from typing import Any

import av
import numpy as np

from tests.doubles.clips import clip
from tests.doubles.corpus_shapes import Pixels

_PPS, _FILLER = 0x68, 0x6C
"""First bytes of two kinds of H.264 units: a picture parameter set, and data that decoders pass by."""


def with_damage(content: bytes, spoils: Callable[[int, bool], bool]) -> bytes:
    """The clip with noise in the latter half of some packets: `spoils` is asked with their numbers, and whether they are keyframes."""
    damaged = bytearray(content)
    noise = np.random.default_rng(11).integers(0, 256, 1 << 20, np.uint8).tobytes()
    for number, (at, size, is_keyframe) in enumerate(_packets(content)):
        if spoils(number, is_keyframe):
            half = size // 2
            damaged[at + half : at + size] = noise[: size - half]
    return bytes(damaged)


def with_parameters_in_the_first_packet_only(pictures: list[Pixels], **options: Any) -> bytes:
    """An MP4 of H.264 whose header and later keyframes lack the parameters of pictures, without which none is decoded."""
    content = bytearray(clip(pictures, **{"x264-params": "repeat-headers=1", **options}))
    header = content.index(b"avcC")
    places = [header + content[header:].index(bytes([_PPS]))]
    for number, (at, size, is_keyframe) in enumerate(_packets(bytes(content))):
        if is_keyframe and number:
            places += _units(content, at, at + size)
    for place in places:
        assert content[place] == _PPS
        content[place] = _FILLER
    return bytes(content)


def _units(content: bytearray, start: int, end: int) -> list[int]:
    """Where the units with parameters of pictures begin, behind their lengths."""
    found = []
    while start < end:
        if content[start + 4] == _PPS:
            found.append(start + 4)
        start += 4 + int.from_bytes(content[start : start + 4])
    return found


def _packets(content: bytes) -> list[tuple[int, int, bool]]:
    """Place, size, and whether it is a keyframe, of every packet of the video, in order."""
    opened: Any
    with av.open(io.BytesIO(content)) as opened:
        return [(p.pos, p.size, p.is_keyframe) for p in opened.demux(opened.streams.video[0]) if p.size]
