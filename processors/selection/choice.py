"""Which moment of a video is shown: pure rules over times and scores."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from processors.limits import FAIR_SEARCH_BYTES, FAIR_SEARCH_S, SEARCH_BYTES, SEARCH_S
from processors.selection.score import FAIR, GOOD, Judgement
from processors.types import FrameStrategy

EARLY_SHARE: Final = 0.1
EARLIEST_LIMIT_S: Final = 10.0
"""Titles and leaders are over by then, and nothing that a trailer would hide is shown."""
_SPREAD: Final = (0.25, 0.4, 0.55, 0.7, 0.85)
_CLEARLY_BETTER: Final = 1.1
"""An earlier candidate keeps its place against one that is hardly better."""

_ODDNESS: Final = 0.3
"""How much of its score a frame loses that is nothing like the mean of the others."""

_MOST_KEPT: Final = 8
"""Frames in memory at once; of a long animation more are looked at."""

ALL_OF_THE_FIRST: Final = 8
ONE_OF: Final = 4
"""What is judged of a video that is decoded from its beginning on: judging costs a millisecond, and neighbours look alike; but
a video of a few frames may have one good one."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Choice(Generic[Found]):
    """The frame that was chosen, its score, and how many were looked at."""

    frame: Found
    score: float
    candidates: int


def preferred_time_s(duration_s: float | None) -> float:
    """10 % into the video, at most 10 s; the beginning of one whose length is unknown."""
    return min(EARLY_SHARE * duration_s, EARLIEST_LIMIT_S) if duration_s else 0.0


def candidate_times_s(duration_s: float | None) -> tuple[float, ...]:
    """Return the moments to look at, the preferred one first; the others only when those before them are not good enough."""
    if not duration_s:
        return (0.0, 1.0, 3.0, 8.0)
    return (preferred_time_s(duration_s), *(share * duration_s for share in _SPREAD), 0.0)


def clamp_time_s(wanted_s: float, duration_s: float | None) -> float:
    """Return the uploader's own moment, moved into the video."""
    return wanted_s if duration_s is None else max(0.0, min(wanted_s, duration_s - 0.05))


class SearchBudget:
    """Time and bytes that the search for a good frame may cost; `bytes_read` says what the source has cost so far."""

    def __init__(self, bytes_read: Callable[[], int], clock: Callable[[], float] = time.perf_counter) -> None:
        self._bytes_read: Final = bytes_read
        self._clock: Final = clock
        self.restart()

    def restart(self) -> None:
        """Begin again with all of it, for a search of another kind."""
        self._started = self._clock()
        self._bytes_before = self._bytes_read()

    def is_spent(self, best_score: float) -> bool:
        """Return whether the best frame so far must do, which has this score."""
        most_s, most_bytes = (FAIR_SEARCH_S, FAIR_SEARCH_BYTES) if best_score >= FAIR else (SEARCH_S, SEARCH_BYTES)
        spent_bytes = self._bytes_read() - self._bytes_before
        return spent_bytes > most_bytes or self._clock() - self._started > most_s


def choose(
    duration_s: float | None,
    strategy: FrameStrategy,
    look_at: Callable[[float], tuple[Found, Judgement] | None],
    budget: SearchBudget,
) -> Choice[Found] | None:
    """Return the first candidate that is good enough, else the best within the budget; None when no moment gives a frame.

    `look_at` gives the frame at a moment and what there is to say of it. The strategy `fixed` takes the first moment
    that gives one.
    """
    found = (look_at(time_s) for time_s in candidate_times_s(duration_s))
    return choose_among((candidate for candidate in found if candidate is not None), strategy, budget)


def choose_among(
    candidates: Iterable[tuple[Found, Judgement]], strategy: FrameStrategy, budget: SearchBudget
) -> Choice[Found] | None:
    """Do the work of choose() on judged frames in their order; no frame is made that is not looked at."""
    kept: list[tuple[Found, Judgement]] = []
    histograms = []
    for frame, judgement in candidates:
        kept.append((frame, judgement))
        histograms.append(judgement.histogram)
        if strategy == "fixed" or judgement.score >= GOOD:
            return Choice(frame, judgement.score, len(histograms))
        if len(kept) > _MOST_KEPT:
            del kept[min(range(len(kept)), key=lambda number: kept[number][1].score)]
        if budget.is_spent(max(other.score for _, other in kept)):
            break
    return _best(kept, np.mean(histograms, axis=0), len(histograms)) if kept else None


def _best(candidates: Sequence[tuple[Found, Judgement]], mean: NDArray[np.float64], looked_at: int) -> Choice[Found]:
    """Choose among frames that are all less than good; the earlier one if two are about as good.

    A frame that looks like the rest of the video is worth more: a flash, a title or a broken frame differs.
    """
    best, best_worth = candidates[0], -1.0
    for found in candidates:
        nearness = 1 - float(np.abs(found[1].histogram - mean).sum()) / 2
        worth = found[1].score * (1 - _ODDNESS + _ODDNESS * nearness)
        if worth > best_worth * _CLEARLY_BETTER:
            best, best_worth = found, worth
    return Choice(best[0], best[1].score, looked_at)
