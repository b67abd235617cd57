"""Inputs that benchmarks make themselves: a camera that glides over a textured scene, with a sensor's noise."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.doubles.ordinary_priority import ordinary_priority

FRAMES_A_SECOND: Final = 25
_NOISE: Final = 6.0
"""Standard deviation of the noise in luma steps, as of a phone's camera indoors."""
_SHAPES: Final = 400
_H264: Final = ("libx264", (1920, 1080), 60.0, {"preset": "veryfast"})
Plane = NDArray[np.uint8]
Pictures = Callable[[int, int, int], Iterator[av.VideoFrame]]
"""Frames of a width, a height and a number."""


@dataclass(frozen=True)
class Input:
    """One file to make a thumbnail of."""

    name: str
    path: Path
    is_video: bool = True


def scene(width: int, height: int, seed: int) -> Plane:
    """Luma with detail at every scale, as photographs have: blurred, medium and fine patches."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width), dtype=np.float32)
    for patches, share in ((6, 90.0), (24, 50.0), (96, 26.0), (384, 12.0)):
        grain = generator.uniform(-1, 1, (patches, patches * width // height)).astype(np.float32)
        total += share * cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    return (total + 118).clip(16, 235).astype(np.uint8)


def moving_pictures(width: int, height: int, count: int) -> Iterator[av.VideoFrame]:
    """Frames in yuv420p; every noise pattern is another one, so that no encoder can copy it from the last frame."""
    generator = np.random.default_rng(5)
    wide = scene(width * 2, height, 5)
    colours = [scene(width, height // 2, seed) // 3 + 85 for seed in (6, 7)]
    noise = (generator.normal(0, _NOISE, (height * 2, width * 2)) + 16).clip(0, 32).astype(np.uint8)
    for number in range(count):
        start = number * 2 % width
        y, x = generator.integers(0, height), generator.integers(0, width)
        luma = cv2.add(wide[:, start : start + width], noise[y : y + height, x : x + width])
        frame = av.VideoFrame(width, height, "yuv420p")
        half = start // 2
        for plane, pixels in zip(frame.planes, (luma, *(c[:, half : half + width // 2] for c in colours)), strict=True):
            buffer: Any = plane  # PyAV's types do not say that it is one
            rows = np.frombuffer(buffer, np.uint8).reshape(-1, plane.line_size)
            rows[:, : pixels.shape[1]] = pixels
        yield frame


def drawn_pictures(width: int, height: int, count: int) -> Iterator[av.VideoFrame]:
    """Frames of an animated film: flat shapes that fly and turn, each its own way."""
    generator = np.random.default_rng(5)
    places = generator.uniform((0, 0), (width, height), (_SHAPES, 2))
    speeds = generator.normal(0, 7, (_SHAPES, 2))
    radii = generator.integers(15, 70, _SHAPES)
    colours = generator.choice((0, 255), (_SHAPES, 3))
    for number in range(count):
        pixels = np.full((height, width, 3), (90, 110, 130), np.uint8)
        flown = (places + speeds * number) % (width + 140, height + 140) - 70
        for shape in range(_SHAPES):
            x, y = (int(side) for side in flown[shape])
            side, colour = int(radii[shape]), colours[shape].tolist()
            if shape % 3 == 0:
                cv2.circle(pixels, (x, y), side, colour, -1, cv2.LINE_AA)
            else:
                corners = cv2.boxPoints(((x, y), (2.0 * side, float(side)), number * (shape % 7 - 3) * 2))
                cv2.fillConvexPoly(pixels, corners.astype(int), colour, cv2.LINE_AA)
        yield av.VideoFrame.from_ndarray(pixels, "rgb24")


def test_card_pictures(width: int, height: int, count: int) -> Iterator[av.VideoFrame]:
    """FFmpeg's moving test card under noise, as people make clips to try things with."""
    graph = av.filter.Graph()
    card = graph.add("testsrc2", f"size={width}x{height}:rate={FRAMES_A_SECOND}")
    noise, pixels = graph.add("noise", "alls=10:allf=t"), graph.add("format", "yuv420p")
    graph.link_nodes(card, noise, pixels, graph.add("buffersink")).configure()
    for _ in range(count):
        frame: Any = graph.pull()  # PyAV's types allow for sound
        yield frame


@contextmanager
def inputs_folder(chosen: Path | None) -> Iterator[Path]:
    """The folder that keeps the inputs for another run, or one that is gone afterwards."""
    if chosen is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen


def write_clip(
    path: Path,
    codec: str,
    size: tuple[int, int],
    seconds: float,
    options: dict[str, str],
    *,
    bit_rate: int = 0,
    pictures: Pictures = moving_pictures,
) -> Path:
    """A clip of 25 frames a second; an MP4 has its index after the media, as FFmpeg writes it by default.

    One that is there already is taken.
    """
    if path.exists():
        return path
    with ordinary_priority(), av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=FRAMES_A_SECOND, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if bit_rate:
            stream.bit_rate = bit_rate
        for frame in pictures(*size, round(seconds * FRAMES_A_SECOND)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_photograph(path: Path, **options: Any) -> Path:
    """12 megapixels, 4000 x 3000; the format by the name. One that is there already is taken."""
    if path.exists():
        return path
    planes = [scene(4000, 3000, 11), *(scene(4000, 3000, seed) // 3 + 85 for seed in (12, 13))]
    noise = np.random.default_rng(3).normal(0, _NOISE / 2, (3000, 4000)) + planes[0]
    pixels = np.dstack([noise.clip(0, 255).astype(np.uint8), *planes[1:]])
    Image.fromarray(pixels, "YCbCr").convert("RGB").save(path, **options)
    return path


def h264_camera(folder: Path) -> Input:
    """60 s, about 60 MB, x264's own groups of up to 250 frames with B-frames; the grain makes keyframes of 450 kB."""
    return Input("H.264 1080p, camera", write_clip(folder / "h264-camera.mp4", *_H264, bit_rate=8_000_000))


def h264_drawn(folder: Path) -> Input:
    """The same of an animated film: its keyframes have 110 kB, and reading their entropy code is most of a thumbnail's cost."""
    path = write_clip(folder / "h264-drawn.mp4", *_H264, bit_rate=8_000_000, pictures=drawn_pictures)
    return Input("H.264 1080p, drawn", path)


def h264_test_card(folder: Path) -> Input:
    """30 s, about 60 MB: the noise takes the bits, so that a keyframe later on has 35 kB or a little more and is soon decoded."""
    _, size, _, options = _H264
    path = write_clip(
        folder / "h264-test-card.mp4", "libx264", size, 30.0, options, bit_rate=16_000_000, pictures=test_card_pictures
    )
    return Input("H.264 1080p, test card", path)


def other_videos(folder: Path) -> list[Input]:
    """The other codecs, with the groups that their encoders make by default; VP9's and AV1's are those of web video."""
    x265 = {"preset": "ultrafast", "x265-params": "log-level=none"}
    vp9 = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "g": "128"}
    av1 = {"preset": "12", "g": "128"}
    full_hd, hd = (1920, 1080), (1280, 720)
    clips = {
        "HEVC 4K": write_clip(folder / "hevc.mp4", "libx265", (3840, 2160), 12, x265, bit_rate=16_000_000),
        "VP9 720p": write_clip(folder / "vp9.webm", "libvpx-vp9", hd, 20, vp9, bit_rate=2_500_000),
        "AV1 720p": write_clip(folder / "av1.mp4", "libsvtav1", hd, 20, av1, bit_rate=2_000_000),
        "MPEG-4 1080p": write_clip(folder / "mpeg4.avi", "mpeg4", full_hd, 20, {}, bit_rate=8_000_000),
    }
    return [Input(name, path) for name, path in clips.items()]


def photographs(folder: Path) -> list[Input]:
    """12 megapixels in the formats of cameras, screens and the web."""
    pictures = {
        "JPEG 12 MP": write_photograph(folder / "photo.jpg", quality=90),
        "PNG 12 MP": write_photograph(folder / "photo.png"),
        "WebP 12 MP": write_photograph(folder / "photo.webp", quality=85, method=2),
    }
    return [Input(name, path, is_video=False) for name, path in pictures.items()]
