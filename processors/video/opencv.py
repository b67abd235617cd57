"""Frames by OpenCV: the same choice as with PyAV, by exact seeks.

OpenCV hands out eight bits of RGB by the marked matrix (unmarked: BT.601), and the rotation; it says nothing of gamuts,
HDR, alpha, mirrored or interlaced frames, which only PyAV's way shows as they are meant.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.limits import MAX_FRAMES_FROM_START, OPENCV_FORMATS
from processors.output.geometry import fit, needed_size, square_size
from processors.readers import DamagedMediaError, reading
from processors.selection.choice import (
    ALL_OF_THE_FIRST,
    ONE_OF,
    SearchBudget,
    choose,
    choose_among,
    clamp_time_s,
)
from processors.selection.score import JUDGED_SIDE, NEARLY_NOTHING, Judgement, Luma, judge
from processors.source_file import SourceFile
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec
from processors.video.clean_aperture import Crop, find_crop
from schemas.errors import ErrorCode, PermanentError

Picture = NDArray[np.uint8]
"""Height x width x 3 (RGB)."""

os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"format_whitelist;{OPENCV_FORMATS}"
"""OpenCV reads it at every opening; there is no other way to hand an option to its FFmpeg."""

_TURNS: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def decode_video(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the chosen frame. Raises PermanentError media.corrupt or media.too_many_pixels."""
    with _opened(file) as capture:
        return _decode_from(capture, file, spec)


@contextmanager
def _opened(file: SourceFile) -> Iterator[cv2.VideoCapture]:
    """Provide the video, from its beginning. The caller's `file` outlives it: OpenCV keeps a borrowed reference."""
    file.seek(0)
    with reading("video"):
        capture = cv2.VideoCapture(cast(Any, file), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise DamagedMediaError("OpenCV cannot open the video.")
        with reading("video"):
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # turned here, after scaling, which is cheaper
        yield capture
    finally:
        capture.release()


def _decode_from(capture: cv2.VideoCapture, file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    width, height = _whole(capture, cv2.CAP_PROP_FRAME_WIDTH), _whole(capture, cv2.CAP_PROP_FRAME_HEIGHT)
    if width * height > spec.max_pixels:
        raise PermanentError(ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The video has {width}x{height} pixels a frame.")
    duration_s = _duration_s(capture)
    found, frame = _choose(capture, file, duration_s, spec)
    rotation = _whole(capture, cv2.CAP_PROP_ORIENTATION_META) % 360
    facts = SourceFacts(
        kind="video",
        width=found.shape[1],
        height=found.shape[0],
        duration_s=duration_s,
        codec=_codec(capture),
        format="opencv",
        rotation=rotation,
    )
    crop = find_crop(file, 0, found.shape[1], found.shape[0])  # OpenCV takes the first film
    seen = found if crop is None else _cut(found, crop)
    return DecodedFrame(_upright(seen, rotation, _sample_aspect(capture), spec), frame, facts)


def _cut(picture: Picture, crop: Crop) -> Picture:
    height, width = picture.shape[:2]
    return picture[crop.top : height - crop.bottom, crop.left : width - crop.right]


def _choose(
    capture: cv2.VideoCapture, file: SourceFile, duration_s: float | None, spec: ThumbnailSpec
) -> tuple[Picture, Frame]:
    """Return the frame, and how it was found. Raises PermanentError media.corrupt when there is none."""
    if spec.frame_time_s is not None:
        time_s = clamp_time_s(spec.frame_time_s, duration_s)
        picture = _read_at(capture, time_s)
        if picture is not None:
            return picture, Frame(round(time_s, 3), "opencv-chosen")
    else:
        budget, way = SearchBudget(lambda: file.bytes_read), f"opencv-{spec.strategy}"
        choice = choose(duration_s, spec.strategy, lambda moment_s: _look_at(capture, moment_s), budget)
        if choice is None or choice.score < NEARLY_NOTHING:
            from_start = choose_among(_from_start(file), spec.strategy, SearchBudget(lambda: file.bytes_read))
            if from_start is not None and (choice is None or from_start.score > choice.score):
                choice, way = from_start, "opencv-forward"
        if choice is not None:
            time_s, picture = choice.frame
            return picture, Frame(round(time_s, 3), way, choice.score, choice.candidates)
    picture = _read_first(capture)
    if picture is None:
        raise DamagedMediaError("No frame of the video can be decoded.")
    return picture, Frame(0.0, "opencv-first")


def _from_start(file: SourceFile) -> Iterator[tuple[tuple[float, Picture], Judgement]]:
    """Yield some of the frames from the beginning on, where seeks find none, or none that shows much.

    A stream without a container cannot be read after a failed seek, so it is opened again.
    """
    with _opened(file) as capture:
        for number in range(MAX_FRAMES_FROM_START):
            picture = _read_next(capture)
            if picture is None:
                return
            if number < ALL_OF_THE_FIRST or number % ONE_OF == 0:
                yield (_time_s(capture, number), picture), judge(_luma(picture))


def _look_at(capture: cv2.VideoCapture, time_s: float) -> tuple[tuple[float, Picture], Judgement] | None:
    picture = _read_at(capture, time_s)
    return None if picture is None else ((time_s, picture), judge(_luma(picture)))


def _luma(picture: Picture) -> Luma:
    size = fit(picture.shape[1], picture.shape[0], JUDGED_SIDE, JUDGED_SIDE)
    return cast(Luma, cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY))


@reading("video")
def _read_at(capture: cv2.VideoCapture, time_s: float) -> Picture | None:
    capture.set(cv2.CAP_PROP_POS_MSEC, time_s * 1000)
    return _read(capture)


@reading("video")
def _read(capture: cv2.VideoCapture) -> Picture | None:
    found, picture = capture.read()
    return cast(Picture, picture[:, :, ::-1]) if found else None  # BGR to RGB


@reading("video")
def _read_next(capture: cv2.VideoCapture) -> Picture | None:
    return _read(capture)


@reading("video")
def _time_s(capture: cv2.VideoCapture, number: int) -> float:
    """Return the frame's time; by the rate, for OpenCV's clock stands still in streams without times."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return number / rate if rate > 0 else 0.0


@reading("video")
def _read_first(capture: cv2.VideoCapture) -> Picture | None:
    capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
    return _read(capture)


@reading("video")
def _whole(capture: cv2.VideoCapture, what: int) -> int:
    """Return one of its numbers; OpenCV hands out floats, which may be none."""
    return int(capture.get(what))


@reading("video")
def _duration_s(capture: cv2.VideoCapture) -> float | None:
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    return frames / rate if frames > 0 and rate > 0 else None


def _codec(capture: cv2.VideoCapture) -> str:
    number = _whole(capture, cv2.CAP_PROP_FOURCC)
    return "".join(chr(number >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip("\0 ") or "unknown"


def _sample_aspect(capture: cv2.VideoCapture) -> Fraction | None:
    over, under = _whole(capture, cv2.CAP_PROP_SAR_NUM), _whole(capture, cv2.CAP_PROP_SAR_DEN)
    return Fraction(over, under) if over > 0 and under > 0 else None


def _upright(picture: Picture, rotation: int, sample_aspect: Fraction | None, spec: ThumbnailSpec) -> Image.Image:
    square = square_size(picture.shape[1], picture.shape[0], sample_aspect)
    size = needed_size(*square, spec.renditions, is_turned=rotation in (90, 270))
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return Image.fromarray(cv2.rotate(scaled, _TURNS[rotation]) if rotation in _TURNS else scaled)
