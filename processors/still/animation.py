"""The frame of an animated picture (GIF, APNG, WebP, AVIF) that is shown: the first one, as browsers do, unless it is blank or fades in."""

import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final, cast

import numpy as np
from PIL import Image

from processors.limits import FORWARD_BUDGET_S, MAX_FRAMES_FORWARD
from processors.output.geometry import fit, scale
from processors.readers import DamagedMediaError, reading
from processors.selection.choice import Choice, SearchBudget, choose_among
from processors.selection.score import FAIR, JUDGED_SIDE, Judgement, Luma, judge
from processors.source_file import SourceFile
from processors.types import Frame, ThumbnailSpec

_ANIMATED_FORMATS: Final = frozenset({"GIF", "PNG", "WEBP", "AVIF"})
"""The several pictures of other formats are pages, or the same scene in other sizes: the first one is meant."""

_SURE_SPREAD: Final = 16.0
"""Deviation of a colour's values, 0 to 255, from which the first frame shows something: scenes have 30 to 70, fades a part of that."""
_BLANK_SPREAD: Final = 4.0
_CLEARER: Final = 2.0
"""So many times as much must a later frame show, to be taken in the place of the first."""

_TimedFrame = tuple[float, Image.Image]


def is_animated(opened: Image.Image) -> bool:
    """Return whether there are frames to choose from; not where damage begins behind the first one."""
    try:
        with reading("picture"):
            return opened.format in _ANIMATED_FORMATS and getattr(opened, "is_animated", False)
    except DamagedMediaError:
        return False


def show_frame(opened: Image.Image, spec: ThumbnailSpec, file: SourceFile) -> tuple[Image.Image, Frame]:
    """Return the frame that is shown, decoded and composed with those before it, and how it was found; a still as it is.

    Frames are decoded from the first one on, for each builds on the one before, and only as many as the search may
    cost. Damage behind a frame that was found does not matter. Raises DamagedMediaError where there is no frame.
    """
    if not is_animated(opened):
        with reading("picture"):
            opened.load()
        return opened, Frame(None, "image")
    frames = islice(_frames(opened), MAX_FRAMES_FORWARD)
    if spec.frame_time_s is not None:
        time_s, picture = _frame_at(frames, spec.frame_time_s)
        return picture, Frame(time_s, "image-chosen")
    choice = _choose(frames, spec, file)
    time_s, picture = choice.frame
    return picture, Frame(time_s, f"image-{spec.strategy}", choice.score, choice.candidates)


def _choose(frames: Iterator[_TimedFrame], spec: ThumbnailSpec, file: SourceFile) -> Choice[_TimedFrame]:
    first = next(frames, None)
    if first is None:
        raise DamagedMediaError("No frame of the animation can be decoded.")
    small = _small(first[1], spec)
    judgement = _judge(small)
    if spec.strategy == "fixed" or judgement.score >= FAIR or (spread := _spread(small)) >= _SURE_SPREAD:
        return Choice(first, judgement.score, 1)
    others = ((frame, _judge(_small(frame[1], spec))) for frame in frames)
    choice = choose_among(chain([(first, judgement)], others), spec.strategy, SearchBudget(lambda: file.bytes_read))
    if choice is not None and _spread(_small(choice.frame[1], spec)) > max(_BLANK_SPREAD, _CLEARER * spread):
        return choice
    return Choice(first, judgement.score, 1 if choice is None else choice.candidates)


def _spread(small: Image.Image) -> float:
    """Return the deviation of the colour that varies most, 0 for all of one."""
    return float(np.asarray(small).reshape(small.width * small.height, -1).std(axis=0, dtype=np.float32).max())


def _frames(opened: Image.Image) -> Iterator[_TimedFrame]:
    """Yield every frame with its time in seconds, until the end or, once there was one, the first damage."""
    first = 1 if opened.info.get("default_image") else 0  # an APNG's picture for those that cannot play it
    time_s, number = 0.0, first
    while True:
        try:
            with reading("picture"):
                opened.seek(number)
                picture = opened.copy()
        except DamagedMediaError:  # the end, too
            if number == first:
                raise
            return
        yield round(time_s, 3), picture
        time_s += float(opened.info.get("duration") or 0) / 1000
        number += 1


def _frame_at(frames: Iterator[_TimedFrame], wanted_s: float) -> _TimedFrame:
    """Return the frame on screen at `wanted_s`; the nearest before it that the budgets of time and frames reach."""
    deadline = time.perf_counter() + FORWARD_BUDGET_S
    found = next(frames)
    for later in frames:
        if later[0] > wanted_s + 1e-3 or time.perf_counter() > deadline:
            break
        found = later
    return found


def _judge(small: Image.Image) -> Judgement:
    return judge(cast(Luma, np.asarray(small.convert("L"))))


def _small(picture: Image.Image, spec: ThumbnailSpec) -> Image.Image:
    """Return the picture as it will look, to be judged: what is transparent counts as the background."""
    size = fit(*picture.size, JUDGED_SIDE, JUDGED_SIDE)
    if picture.mode in ("RGB", "L"):
        return scale(picture, size)
    flat = Image.new("RGBA", size, f"#{spec.background}")
    return Image.alpha_composite(flat, scale(picture.convert("RGBA"), size)).convert("RGB")
