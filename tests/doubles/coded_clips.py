"""Clips coded by the standards' own formulas, in numpy: what is tested shares no code with what makes the test."""

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.doubles.ordinary_priority import ordinary_priority

Values = NDArray[np.float64]
"""Height x width x 3, from 0 to 1: light, or the R'G'B' made of it."""

# FFmpeg's numbers, which are those of ITU-T H.273.
UNMARKED, BT709, BT601, BT2020, DISPLAY_P3, PQ, HLG, SRGB = 2, 1, 6, 9, 12, 16, 18, 13
LIMITED, FULL = 1, 2
_WEIGHTS = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}

# BT.2087 and the ICC's Display P3: light of BT.709 in wider gamuts.
IN_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
IN_P3 = np.array([[0.82246, 0.17754, 0.0], [0.03319, 0.96681, 0.0], [0.01708, 0.07240, 0.91052]])


@dataclass(frozen=True)
class Coding:
    """How R'G'B' becomes YUV, and what the file says about it."""

    matrix: str = "709"
    is_full: bool = False
    bits: int = 8
    marked_matrix: int = UNMARKED
    marked_range: int = 0
    primaries: int = UNMARKED
    transfer: int = UNMARKED


def light_of(pixels: NDArray[np.uint8]) -> Values:
    """IEC 61966-2-1, backwards."""
    coded = pixels / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def srgb_of(light: Values) -> Values:
    """IEC 61966-2-1: R'G'B' from 0 to 1."""
    bounded = np.clip(light, 0, 1)
    return np.where(bounded <= 0.0031308, bounded * 12.92, 1.055 * bounded ** (1 / 2.4) - 0.055)


def pq_of(nits: Values) -> Values:
    """SMPTE ST 2084."""
    power = np.clip(nits / 10_000, 0, 1) ** 0.1593017578125
    coded: Values = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    return coded


def hlg_of(nits: Values) -> Values:
    """BT.2100 for a screen of 1000 cd/m2: its inverse OOTF, then the OETF."""
    shown = np.maximum(nits / 1000, 0)
    luma = np.maximum(shown @ np.array([0.2627, 0.6780, 0.0593]), 1e-9)
    scene = np.clip(shown * (luma ** (1 / 1.2 - 1))[..., None], 0, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        high = 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073
    coded: Values = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    return coded


def yuv_of(rgb: Values, coding: Coding) -> list[NDArray[np.uint16]]:
    """The three planes at full size, as BT.601, BT.709 and BT.2020 have them."""
    red_share, blue_share = _WEIGHTS[coding.matrix]
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    chroma = [(blue - luma) / (2 - 2 * blue_share), (red - luma) / (2 - 2 * red_share)]
    one, top = 1 << coding.bits - 8, (1 << coding.bits) - 1
    if coding.is_full:
        planes = [luma * top] + [plane * top + 128 * one for plane in chroma]
    else:
        planes = [(219 * luma + 16) * one] + [(224 * plane + 128) * one for plane in chroma]
    return [np.clip(np.rint(plane), 0, top).astype(np.uint16) for plane in planes]


def coded_frame(rgb: Values, coding: Coding) -> av.VideoFrame:
    """A frame of 4:4:4 with the file's marks on it."""
    height, width = rgb.shape[:2]
    frame = av.VideoFrame(width, height, "yuv444p" if coding.bits == 8 else f"yuv444p{coding.bits}le")
    kind: Any = np.uint8 if coding.bits == 8 else np.uint16
    for plane, values in zip(frame.planes, yuv_of(rgb, coding), strict=True):
        buffer: Any = plane
        lines = np.frombuffer(buffer, np.uint8).reshape(-1, plane.line_size)
        lines[:height, : width * np.dtype(kind).itemsize] = np.ascontiguousarray(values.astype(kind)).view(np.uint8)
    frame.colorspace, frame.color_range = coding.marked_matrix, coding.marked_range
    frame.color_primaries, frame.color_trc = coding.primaries, coding.transfer
    return frame


def coded_clip(rgb: Values, coding: Coding, codec: str = "libx264", container: str = "mp4", frames: int = 2) -> bytes:
    """A still clip of these R'G'B' values."""
    out = io.BytesIO()
    opened: Any
    with av.open(out, "w", format=container) as opened:
        stream: Any = opened.add_stream(codec, rate=10, options={"threads": "1", "crf": "4", "preset": "ultrafast"})
        stream.height, stream.width = rgb.shape[:2]
        frame = coded_frame(rgb, coding)
        stream.pix_fmt = frame.format.name
        context = stream.codec_context
        context.colorspace, context.color_range = coding.marked_matrix, coding.marked_range
        context.color_primaries, context.color_trc = coding.primaries, coding.transfer
        for number in range(frames):
            frame.pts, frame.time_base = number, Fraction(1, 10)
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode())
    return out.getvalue()


def hdr_clip(light: Values, transfer: int, marked_matrix: int = BT2020, primaries: int = BT2020) -> bytes:
    """Ten bits of BT.2020, of light of BT.709 where 1.0 is reference white (203 cd/m2)."""
    nits = light @ IN_BT2020.T * 203
    rgb = pq_of(nits) if transfer == PQ else hlg_of(nits)
    coding = Coding("2020", False, 10, marked_matrix, LIMITED, primaries, transfer)
    return coded_clip(rgb, coding)


def alpha_clip(rgba: NDArray[np.uint8], codec: str, container: str, pixels: str, **options: str) -> bytes:
    """A still clip with straight alpha (height x width x 4)."""
    out = io.BytesIO()
    opened: Any
    with av.open(out, "w", format=container) as opened:
        stream: Any = opened.add_stream(codec, rate=10, options={"threads": "1", **options})
        stream.height, stream.width = rgba.shape[:2]
        stream.pix_fmt = pixels
        for _ in range(3):
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, "rgba")))
        opened.mux(stream.encode())
    return out.getvalue()


def mirrored_clip(
    stored: NDArray[np.uint8],
    degrees: float,
    *,
    flips_across: bool = False,
    flips_down: bool = False,
    sample_aspect: Fraction = Fraction(1),
) -> bytes:
    """Frames as they are stored, and a display matrix that turns them counter-clockwise and then flips them."""
    out = io.BytesIO()
    opened: Any
    with av.open(out, "w", format="mp4") as opened:
        stream: Any = opened.add_stream("libx264", rate=10, options={"threads": "1"})
        stream.height, stream.width = stored.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = sample_aspect
        stream.set_display_rotation(degrees, hflip=flips_across, vflip=flips_down)
        for _ in range(3):
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), "rgb24")))
        opened.mux(stream.encode())
    return out.getvalue()


def deep_avif(rgb: Values, coding: Coding) -> bytes:
    """A still picture of AV1, by FFmpeg: Pillow writes eight bits only."""
    out = io.BytesIO()
    opened: Any
    with ordinary_priority(), av.open(out, "w", format="avif") as opened:
        stream: Any = opened.add_stream(
            "libsvtav1", rate=1, options={"crf": "8", "preset": "10", "svtav1-params": "lp=1"}
        )
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = coding.marked_matrix, coding.marked_range
        context.color_primaries, context.color_trc = coding.primaries, coding.transfer
        frame = coded_frame(rgb, coding).reformat(format="yuv420p10le", threads=1)
        frame.pts = 0
        opened.mux(stream.encode(frame))
        opened.mux(stream.encode())
    return out.getvalue()
