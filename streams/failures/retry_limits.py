"""The bounds of retries: of single error codes, and of how often a record may wait at all."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.errors import ErrorCode


@dataclass(frozen=True)
class RetryLimit:
    """The limit of one error code: retries at most, and a time budget in seconds; None for what holds for all codes."""

    retries: int | None = None
    budget_s: float | None = None


DEFAULT_LIMITS: Final[Mapping[ErrorCode, RetryLimit]] = {
    # A decoder that hung or died does so again, as a rule: one retry shows whether it was bad luck or a bad file.
    ErrorCode.MEDIA_TIMEOUT: RetryLimit(retries=1),
    ErrorCode.MEDIA_CRASHED_DECODER: RetryLimit(retries=1),
}


def parse_limits(text: str) -> dict[ErrorCode, RetryLimit]:
    """Read limits as settings write them: CODE=RETRIES or CODE=RETRIES/BUDGET_S, with commas between. Raises ValueError."""
    limits = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        code, _, numbers = part.partition("=")
        retries, _, budget = numbers.partition("/")
        limit = RetryLimit(int(retries), float(budget) if budget else None)
        if (limit.retries or 0) < 0 or (limit.budget_s is not None and not limit.budget_s > 0):
            raise ValueError(f"{part!r} has a number below 0")
        limits[ErrorCode(code.strip())] = limit
    return limits


def most_hops(delays_s: tuple[float, ...], budget_s: float) -> int:
    """Return how often a record may be sent to retry topics: more often than any that keeps to its time budget.

    Each time it waits for the shortest delay at least. The count ends records whose times or clocks make the budget endless.
    """
    return math.ceil(budget_s / min(delays_s)) + len(delays_s) + 1
