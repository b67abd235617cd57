"""Reads what a store says about when to come back."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WAIT_S = 3600.0
"""A store that asks for more gets this: its word must not park a tenant's events for days."""


def seconds_of(value: str | None) -> float | None:
    """The wait in seconds that a Retry-After header asks for, as a number or as a date; None for anything else."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(0.0, seconds), MAX_WAIT_S) if math.isfinite(seconds) else None
