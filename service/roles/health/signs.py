"""Reads from a role's own metrics whether work waits for it, and whether it finishes any."""

import time
from collections.abc import Iterable

from prometheus_client import Gauge

from schemas.metrics import Metrics


def unprocessed(metrics: Metrics) -> int:
    """Records that this process should be working on: its lag, and the retries that are due."""
    now = time.time()
    due = sum(1 for moment in _values(metrics.next_retry_due_timestamp_seconds) if moment <= now)
    return round(sum(_values(metrics.consumer_lag_records))) + due


def progress(metrics: Metrics) -> float:
    """Changes whenever a record is finished."""
    return sum(_values(metrics.last_progress_timestamp_seconds))


def _values(gauge: Gauge) -> Iterable[float]:
    return (sample.value for family in gauge.collect() for sample in family.samples)
