"""Videos of every container, and of every shape that cameras, recorders, editors and broken transfers leave behind."""

import io
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.packet import Packet
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from service.demo.media import scene
from tests.doubles.clips import clip

Pixels = NDArray[np.uint8]
THEORA: Final = Path(__file__).parent.parent / "media" / "scene.ogv"
"""Two seconds of the demo's scene; the wheels have no Theora encoder."""

WIDTH, HEIGHT = 320, 180
COUNT: Final = 100


def scenes(count: int = COUNT, width: int = WIDTH, height: int = HEIGHT) -> list[Pixels]:
    """The demo's scene, its sun moving."""
    return [scene(width, height, number / count) for number in range(count)]


def remuxed(
    content: bytes, container: str, *, skip: int = 0, shift_s: float = 0.0, options: dict[str, str] | None = None
) -> bytes:
    """The video stream's packets in another file: less the first `skip`, and `shift_s` later."""
    out = io.BytesIO()
    opened: Any
    with av.open(io.BytesIO(content)) as source, av.open(out, "w", format=container, options=options or {}) as opened:
        template = source.streams.video[0]
        stream = opened.add_stream_from_template(template)
        for packet in _packets(source, skip):
            shift = int(Fraction(shift_s).limit_denominator() / (packet.time_base or 1))
            packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
            packet.stream = stream
            opened.mux(packet)
    return out.getvalue()


def _packets(source: Any, skip: int) -> "Iterator[Packet[Any]]":
    number = 0
    for packet in source.demux(source.streams.video[0]):
        if packet.dts is None:
            continue
        number += 1
        if number > skip:
            yield packet


def index_first(content: bytes) -> bytes:
    """An MP4 with its index before the media; FFmpeg moves it in a file on disk only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.mp4")
        opened: Any
        with (
            av.open(io.BytesIO(content)) as source,
            av.open(str(path), "w", options={"movflags": "faststart"}) as opened,
        ):
            stream = opened.add_stream_from_template(source.streams.video[0])
            for packet in _packets(source, 0):
                packet.stream = stream
                opened.mux(packet)
        return path.read_bytes()


def song_with_cover(container: str = "mp4", codec: str = "aac") -> bytes:
    """Sound whose cover is the scene, 200 x 200."""
    cover, out = io.BytesIO(), io.BytesIO()
    Image.fromarray(scene(200, 200, 0.5)).save(cover, "JPEG", quality=95)
    opened: Any
    with av.open(out, "w", format=container) as opened, av.open(io.BytesIO(cover.getvalue()), "r") as picture:
        sound = opened.add_stream(codec, rate=44_100, layout="mono")
        template: Any = picture.streams.video[0]
        attached: Any = opened.add_stream_from_template(template)
        attached.disposition = Disposition.attached_pic
        packet = next(picture.demux(template))
        packet.stream = attached
        opened.mux(packet)
        opened.mux(sound.encode(_silence()))
        opened.mux(sound.encode())
    return out.getvalue()


def video_with_sound() -> bytes:
    """A clip whose sound begins before its pictures, as recorders write it."""
    out = io.BytesIO()
    opened: Any
    with av.open(out, "w", format="mp4") as opened:
        video, sound = opened.add_stream("libx264", rate=25), opened.add_stream("aac", rate=44_100, layout="mono")
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, pixels in enumerate(scenes(50)):
            if number % 2 == 0:
                opened.mux(sound.encode(_silence(number // 2 * 1024)))
            opened.mux(video.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        opened.mux(video.encode())
        opened.mux(sound.encode())
    return out.getvalue()


def with_sound_before(film: bytes, container: str, delay_s: float) -> bytes:
    """The film's pictures, and a sound that has run for `delay_s` when the first one is shown."""
    out = io.BytesIO()
    opened: Any
    with av.open(io.BytesIO(film)) as source, av.open(out, "w", format=container) as opened:
        video = opened.add_stream_from_template(source.streams.video[0])
        sound = opened.add_stream("aac", rate=44_100, layout="mono")
        for number in range(200):
            opened.mux(sound.encode(_silence(number * 1024)))
        opened.mux(sound.encode())
        for packet in _packets(source, 0):
            shift = int(Fraction(delay_s).limit_denominator() / (packet.time_base or 1))
            packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
            packet.stream = video
            opened.mux(packet)
    return out.getvalue()


def _silence(pts: int = 0) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts = 44_100, pts
    return frame


def begun(content: bytes, share: float) -> bytes:
    """The beginning of a file, as a broken transfer leaves it."""
    return content[: int(len(content) * share)]


_OPEN_GROUPS: Final[dict[str, Any]] = {"x264-params": "open-gop=1:scenecut=0"}
_INTRA_REFRESH: Final[dict[str, Any]] = {"x264-params": "intra-refresh=1:keyint=20"}
_FRAGMENTS: Final = {"movflags": "frag_keyframe+empty_moov"}

SHAPES: Final[dict[str, Callable[[], bytes]]] = {
    "index at the end": lambda: clip(scenes(), g="25"),
    "index at the front": lambda: index_first(clip(scenes(), g="25")),
    "fragments": lambda: clip(scenes(), muxer=_FRAGMENTS, g="25"),
    "B-frames, and so an edit list": lambda: clip(scenes(), bf="3", g="25"),
    "open groups": lambda: clip(scenes(), g="25", bf="3", **_OPEN_GROUPS),
    "intra refresh instead of keyframes": lambda: clip(scenes(), **_INTRA_REFRESH),
    "matroska": lambda: clip(scenes(), container="matroska", g="25"),
    "matroska that begins at 100 s": lambda: remuxed(clip(scenes(), g="25"), "matroska", shift_s=100),
    "matroska without an index": lambda: clip(scenes(), "libvpx", "webm", muxer={"live": "1"}, g="25"),
    "transport stream": lambda: clip(scenes(), container="mpegts", g="25"),
    "transport stream that begins at an hour": lambda: remuxed(clip(scenes(), g="25"), "mpegts", shift_s=3600),
    "transport stream joined late": lambda: remuxed(clip(scenes(), container="mpegts", g="25"), "mpegts", skip=7),
    "mp4 without a keyframe at its start": lambda: remuxed(clip(scenes(), g="25"), "mp4", skip=7),
    "matroska without a keyframe at its start": lambda: remuxed(clip(scenes(), g="25"), "matroska", skip=7),
    "flash": lambda: clip(scenes(), container="flv", g="25"),
    "quicktime": lambda: clip(scenes(), "prores_ks", "mov", "yuv422p10le"),
    "avi": lambda: clip(scenes(), "mpeg4", "avi", g="25"),
    "windows media": lambda: clip(scenes(), "wmv2", "asf", g="25"),
    "program stream": lambda: clip(scenes(), "mpeg2video", "vob", g="25"),
    "theora": THEORA.read_bytes,
    "screen recording without loss": lambda: clip(scenes(20), "qtrle", "mov", "rgb24"),
    "3gp": lambda: clip(scenes(), container="3gp", g="25"),
    "mxf": lambda: clip(scenes(), "mpeg2video", "mxf", g="25"),
    "ivf": lambda: clip(scenes(), "libvpx", "ivf", g="25"),
    "bare h264": lambda: clip(scenes(), container="h264", g="25"),
    "sound and pictures": video_with_sound,
    "half a matroska": lambda: begun(clip(scenes(), container="matroska", g="25"), 0.5),
    "half a transport stream": lambda: begun(clip(scenes(), container="mpegts", g="25"), 0.5),
    "half an avi": lambda: begun(clip(scenes(), "mpeg4", "avi", g="25"), 0.5),
    "half a flash film": lambda: begun(clip(scenes(), container="flv", g="25"), 0.5),
    "half of an mp4 with its index at the front": lambda: begun(index_first(clip(scenes(), g="25")), 0.5),
    "half an mp4 in fragments": lambda: begun(clip(scenes(), muxer=_FRAGMENTS, g="25"), 0.5),
    "a single frame": lambda: clip(scenes(1)),
    "portrait": lambda: clip(scenes(25, 180, 320)),
    "a song's cover in m4a": song_with_cover,
    "a song's cover in mp3": lambda: song_with_cover("mp3", "libmp3lame"),
}
"""Each shows the scene somewhere, and so must its thumbnail."""
