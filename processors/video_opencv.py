"""Frames by OpenCV: the same choice as with PyAV, by exact seeks."""

from fractions import Fraction
from typing import Any, Final, cast

import cv2
from PIL import Image

from processors.frame_choice import Picture, candidate_times_s, clamp_time_s, score_picture, shows_something
from processors.geometry import fit, largest_box, square_size
from processors.source_file import SourceFile
from processors.taken import TakenPicture
from processors.types import Frame, SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_TURNS: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def take_picture(file: SourceFile, spec: ThumbnailSpec) -> TakenPicture:
    """The chosen frame. Raises PermanentError media.corrupt or media.too_many_pixels."""
    file.seek(0)
    # OpenCV keeps a borrowed reference to `file`: the caller's variable outlives the capture.
    capture = cv2.VideoCapture(cast(Any, file), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not capture.isOpened():
            raise PermanentError(ErrorCode.MEDIA_CORRUPT, "OpenCV cannot open the video.")
        return _take_from(capture, spec)
    finally:
        capture.release()


def _take_from(capture: cv2.VideoCapture, spec: ThumbnailSpec) -> TakenPicture:
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > spec.max_pixels:
        raise PermanentError(ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The video has {width}x{height} pixels a frame.")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # turned here, after scaling, which is cheaper
    duration_s = _duration_s(capture)
    if spec.frame_time_s is not None:
        time_s = clamp_time_s(spec.frame_time_s, duration_s)
        picture, method, score, looked_at = _read_at(capture, time_s), "chosen", None, 1
    else:
        time_s, picture, score, looked_at = _search(capture, duration_s, spec)
        method = spec.strategy
    if picture is None:
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        time_s, picture, method, score, looked_at = 0.0, _read(capture), "first", None, 1
    if picture is None:
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, "No frame of the video can be decoded.")
    rotation = int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
    facts = SourceFacts(
        kind="video",
        width=picture.shape[1],
        height=picture.shape[0],
        duration_s=duration_s,
        codec=_codec(capture),
        format="opencv",
        rotation=rotation,
    )
    image = _upright(picture, rotation, _sample_aspect(capture), spec)
    return TakenPicture(image, Frame(round(time_s, 3), f"opencv-{method}", score, looked_at), facts)


def _search(
    capture: cv2.VideoCapture, duration_s: float | None, spec: ThumbnailSpec
) -> tuple[float, Picture | None, float | None, int]:
    best: tuple[float, float, Picture] | None = None
    looked_at = 0
    for time_s in candidate_times_s(duration_s):
        picture = _read_at(capture, time_s)
        if picture is None:
            continue
        looked_at += 1
        score = score_picture(picture)
        if best is None or score > best[0]:
            best = (score, time_s, picture)
        if spec.strategy == "fixed" or shows_something(score):
            break
    return (0.0, None, None, 0) if best is None else (best[1], best[2], best[0], looked_at)


def _read_at(capture: cv2.VideoCapture, time_s: float) -> Picture | None:
    capture.set(cv2.CAP_PROP_POS_MSEC, time_s * 1000)
    return _read(capture)


def _read(capture: cv2.VideoCapture) -> Picture | None:
    found, picture = capture.read()
    return cast(Picture, picture[:, :, ::-1]) if found else None  # BGR to RGB


def _duration_s(capture: cv2.VideoCapture) -> float | None:
    frames, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    return frames / rate if frames > 0 and rate > 0 else None


def _codec(capture: cv2.VideoCapture) -> str:
    number = int(capture.get(cv2.CAP_PROP_FOURCC))
    return "".join(chr(number >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip("\0 ") or "unknown"


def _sample_aspect(capture: cv2.VideoCapture) -> Fraction | None:
    over, under = int(capture.get(cv2.CAP_PROP_SAR_NUM)), int(capture.get(cv2.CAP_PROP_SAR_DEN))
    return Fraction(over, under) if over > 0 and under > 0 else None


def _upright(picture: Picture, rotation: int, sample_aspect: Fraction | None, spec: ThumbnailSpec) -> Image.Image:
    box_width, box_height = largest_box(spec.renditions)
    if rotation in (90, 270):
        box_width, box_height = box_height, box_width
    square = square_size(picture.shape[1], picture.shape[0], sample_aspect)
    size = fit(*square, box_width, box_height)
    scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return Image.fromarray(cv2.rotate(scaled, _TURNS[rotation]) if rotation in _TURNS else scaled)
