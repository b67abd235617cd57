"""Which frame of a video PyAV shows: sound candidates from all over it, else from its beginning on, else the best that there is."""

import time
from collections.abc import Iterator
from typing import Final

from av.video.frame import VideoFrame

from processors.limits import FORWARD_BUDGET_S
from processors.readers import DamagedMediaError
from processors.selection.choice import (
    ALL_OF_THE_FIRST,
    ONE_OF,
    SearchBudget,
    candidate_times_s,
    choose_among,
    clamp_time_s,
    preferred_time_s,
)
from processors.selection.score import FAIR, GOOD, NEARLY_NOTHING, Judgement, judge
from processors.types import Frame, ThumbnailSpec
from processors.video.container import StreamTimes
from processors.video.frames import BEGINNING_S, FrameFinder
from processors.video.pixels import judged_luma
from processors.video.soundness import CheckedFrame

_Candidate = tuple[VideoFrame, str]
"""A frame, and how it was found."""
_FORWARD: Final = "pyav-forward"


class NoFrameError(DamagedMediaError):
    """There is no frame. `is_all_read`: not even by decoding from the beginning on, so that nothing is left to try."""

    def __init__(self, *, is_all_read: bool) -> None:
        super().__init__("No frame of the video can be decoded.")
        self.is_all_read = is_all_read


class FrameSearch:
    """One search in one video. `can_seek` is False for a file that can be read once only, from its beginning on."""

    def __init__(self, finder: FrameFinder, times: StreamTimes, budget: SearchBudget, *, can_seek: bool) -> None:
        self._finder: Final = finder
        self._times: Final = times
        self._budget: Final = budget
        self._can_seek: Final = can_seek
        self._unsound: tuple[VideoFrame, str, float] | None = None
        """The best of them, how it was found, and its score."""
        self._looked_at = 0
        self._is_all_read = False

    def run(self, spec: ThumbnailSpec) -> tuple[CheckedFrame, Frame]:
        """Return the frame that is shown, and how it was found. Raises PermanentError media.corrupt when there is none."""
        if spec.frame_time_s is not None:
            return self._at(spec.frame_time_s)
        choice = choose_among(self._candidates(spec), spec.strategy, self._budget)
        if choice is not None:
            (picture, way), score, is_sound = choice.frame, choice.score, True
        elif self._unsound is not None:
            picture, way, score = self._unsound
            is_sound = False
        else:
            raise NoFrameError(is_all_read=self._is_all_read)
        return CheckedFrame(picture, is_sound), Frame(self._shown_at_s(picture), way, score, self._looked_at)

    def _at(self, wanted_s: float) -> tuple[CheckedFrame, Frame]:
        time_s = clamp_time_s(max(0.0, wanted_s - self._times.offset_s), self._times.duration_s)
        found = self._finder.at(time_s) if self._can_seek else None
        if found is None or not found.is_sound:
            found = self._decoded_up_to(time_s) or found
        if found is None:
            raise NoFrameError(is_all_read=self._is_all_read)
        return found, Frame(self._shown_at_s(found.picture), "pyav-chosen")

    def _decoded_up_to(self, time_s: float) -> CheckedFrame | None:
        """Return the last sound frame up to `time_s` that decoding from the beginning on reaches, or the first one behind it."""
        deadline, last = time.perf_counter() + FORWARD_BUDGET_S, None
        for found in self._finder.from_start(rewinds=self._can_seek):
            self._is_all_read = True
            is_later = self._finder.time_s(found.picture) > time_s + 1e-3
            if is_later and last is not None and last.is_sound:
                break
            if last is None or found.is_sound or not last.is_sound:
                last = found
            if (is_later and found.is_sound) or time.perf_counter() > deadline:
                break
        return last

    def _shown_at_s(self, picture: VideoFrame) -> float:
        return round(self._finder.time_s(picture) + self._times.offset_s, 3)

    def _candidates(self, spec: ThumbnailSpec) -> Iterator[tuple[_Candidate, Judgement]]:
        """Yield sound frames: those that seeks find; those from the beginning on where these are too few, or show nearly nothing."""
        best, way = -1.0, f"pyav-{spec.strategy}"
        for found in self._sought() if self._can_seek else ():
            judgement = self._judge(found, way)
            if judgement is not None:
                best = max(best, judgement.score)
                yield (found.picture, way), judgement
            elif self._budget.is_spent(best):
                break
        if best < (GOOD if self._finder.is_barren else NEARLY_NOTHING):
            yield from self._candidates_from_start(best)

    def _candidates_from_start(self, best: float) -> Iterator[tuple[_Candidate, Judgement]]:
        begins_s = 0.0
        if best < 0:
            self._budget.restart()  # seeks that led to nothing leave none of it
            begins_s = preferred_time_s(self._times.duration_s)
            if begins_s <= BEGINNING_S or not self._finder.is_cheap(begins_s):
                begins_s = 0.0
        for found in self._from_start(begins_s):
            judgement = self._judge(found, _FORWARD)
            if judgement is None:
                if self._budget.is_spent(best):
                    return
                continue
            if judgement.score >= FAIR > best:
                self._budget.restart()  # a scene that fades in soon shows more
            best = max(best, judgement.score)
            yield (found.picture, _FORWARD), judgement

    def _sought(self) -> Iterator[CheckedFrame]:
        has_found = False
        for time_s in candidate_times_s(self._times.duration_s):
            found = self._finder.near(time_s)
            if found is not None:
                has_found = True
                yield found
            elif self._finder.is_barren and not has_found:
                return  # the first keyframe is better seen by decoding on from it

    def _from_start(self, begins_s: float) -> Iterator[CheckedFrame]:
        """Yield some of the frames from `begins_s` on; the first one of all where there are none."""
        passed, number = None, 0
        for found in self._finder.from_start(rewinds=self._can_seek):
            self._is_all_read = True
            if number == 0 and self._finder.time_s(found.picture) < begins_s:
                passed = passed if passed is not None and passed.is_sound else found
                continue
            if number < ALL_OF_THE_FIRST or number % ONE_OF == 0:
                yield found
            number += 1
        if number == 0 and passed is not None:
            yield passed

    def _judge(self, found: CheckedFrame, way: str) -> Judgement | None:
        """Return what there is to say of a sound frame; None for others, of which the best is remembered."""
        self._looked_at += 1
        judgement = judge(judged_luma(found.picture))
        if found.is_sound:
            return judgement
        if self._unsound is None or judgement.score > self._unsound[2]:
            self._unsound = found.picture, way, judgement.score
        return None
