"""Forty transport streams as cameras, recorders and broadcasts leave them, each beside the same pictures in MP4."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from service.demo.media import scene
from tests.doubles.clips import RATE, clip
from tests.doubles.corpus_shapes import Pixels, remuxed

WIDTH, HEIGHT = 320, 180
BLACK_S: Final = 1.6
_LENGTH_S: Final = 4.4
_QUIET: Final = {"x265-params": "log-level=none:pools=1:frame-threads=1"}
_ENCODERS: Final[dict[str, dict[str, Any]]] = {
    "h264": {"codec": "libx264", "preset": "veryfast"},
    "hevc": {"codec": "libx265", "preset": "ultrafast", **_QUIET},
    "mpeg2": {"codec": "mpeg2video", "b": "3000000", "sc_threshold": "1000000000"},
}
_PACKETS: Final[dict[int, dict[str, str]]] = {188: {}, 192: {"mpegts_m2ts_mode": "1"}}
_ONE_GROUP: Final = "999"


@dataclass(frozen=True)
class Stream:
    """A transport stream, and the same pictures in MP4. `begins_black`: for BLACK_S, in which nothing is to be seen."""

    content: bytes
    mp4: bytes
    begins_black: bool


@cache
def _film(codec: str, group: str, *, begins_black: bool) -> bytes:
    count = round(_LENGTH_S * RATE)
    black = round(BLACK_S * RATE) if begins_black else 0
    pictures: list[Pixels] = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * black
    pictures += [scene(WIDTH, HEIGHT, number / count) for number in range(black, count)]
    options = dict(_ENCODERS[codec])
    if codec == "hevc":
        options["x265-params"] = f"{_QUIET['x265-params']}:keyint={group}:min-keyint={group}:scenecut=0"
    elif codec == "h264":
        options["x264-params"] = "scenecut=0"
    return clip(pictures, g=group, **options)


def _stream(
    codec: str, size: int, group: str = "25", *, begins_black: bool = False, skip: int = 0, shift_s: float = 0.0
) -> Stream:
    mp4 = _film(codec, group, begins_black=begins_black)
    content = remuxed(mp4, "mpegts", skip=skip, shift_s=shift_s, options=_PACKETS[size])
    return Stream(content, mp4, begins_black)


def _begun_late(codec: str, size: int) -> Stream:
    """Of a recording the first quarter is missing, to the byte: it begins within a packet's pictures, at no packet's start."""
    whole = _stream(codec, size)
    at = len(whole.content) // 4 // size * size
    return Stream(whole.content[at:], whole.mp4, begins_black=False)


def bare(codec: str) -> bytes:
    """The pictures of a stream that begins black and has one keyframe, without any container."""
    out, film = io.BytesIO(), _film(codec, _ONE_GROUP, begins_black=True)
    source: Any
    opened: Any
    with av.open(io.BytesIO(film)) as source, av.open(out, "w", format=codec) as opened:
        stream = source.streams.video[0]
        plain = BitStreamFilterContext(f"{codec}_mp4toannexb", stream)
        written = opened.add_stream_from_template(stream)
        for packet in source.demux(stream):
            for unit in plain.filter(packet if packet.dts is not None else None):
                unit.stream = written
                opened.mux(unit)
    return out.getvalue()


def _cut_short(codec: str, size: int) -> Stream:
    whole = _stream(codec, size, begins_black=True)
    return Stream(whole.content[: len(whole.content) * 2 // 3], whole.mp4, begins_black=True)


_KINDS: Final[dict[str, Callable[[str, int], Stream]]] = {
    "with a keyframe a second": _stream,
    "that begins black": lambda codec, size: _stream(codec, size, begins_black=True),
    "that begins black, with one keyframe": lambda codec, size: _stream(codec, size, _ONE_GROUP, begins_black=True),
    "at an hour of the clock, black, with one keyframe": lambda codec, size: _stream(
        codec, size, _ONE_GROUP, begins_black=True, shift_s=3600
    ),
    "without its beginning": _begun_late,
    "that begins black, without its end": _cut_short,
}

STREAMS: Final[dict[str, Callable[[], Stream]]] = (
    {
        f"{codec} in {size} bytes, {name}": lambda codec=codec, size=size, make=make: make(codec, size)
        for codec, size, (name, make) in product(_ENCODERS, _PACKETS, _KINDS.items())
    }
    | {f"{codec} joined between keyframes": lambda codec=codec: _stream(codec, 188, skip=7) for codec in _ENCODERS}
    | {"h264 with intra refresh, black": lambda: _refreshed()}
)


def _refreshed() -> Stream:
    """Keyframes are none; a column of each picture is."""
    count, black = round(_LENGTH_S * RATE), round(BLACK_S * RATE)
    pictures: list[Pixels] = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * black
    pictures += [scene(WIDTH, HEIGHT, number / count) for number in range(black, count)]
    refresh: dict[str, Any] = {"x264-params": "intra-refresh=1:keyint=25:scenecut=0"}
    mp4 = clip(pictures, **refresh)
    return Stream(remuxed(mp4, "mpegts"), mp4, begins_black=True)
