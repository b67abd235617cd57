"""The metrics, log lines and traces of the persist role's batches: each record once, however often it is delivered."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from schemas import headers as h
from schemas.errors import PermanentError
from schemas.events import ThumbnailReady, is_live
from schemas.metrics import Metrics
from streams.event_metrics import RecentIds, TaskType, exemplar_of
from streams.kafka.records import InboundRecord, place_of
from streams.persist.batch import Item, Written
from streams.rows.last_write_wins import RowOutcome
from streams.rows.upsert import APPLIED_OUTCOMES, Result
from streams.tracing import Span

log = structlog.get_logger(__name__)

Outcomes = list[tuple[Item, RowOutcome]]
Refused = tuple[InboundRecord, PermanentError]
"""A record that holds no result which can be written, and why."""

Received = tuple[InboundRecord, Span]
"""A record with the span of the work on it."""
_TOLD: Final = frozenset({RowOutcome.STALE, RowOutcome.ROW_GONE, RowOutcome.OTHER_COMPANY, RowOutcome.UNREMEMBERED})
"""Outcomes that get a line of their own at level info; the others at debug: a line costs as much as a row."""
_HEARD: Final = _TOLD | {RowOutcome.OVERRULED}

_REPLAY_IT: Final = (
    "The upload was given up before these pictures were read, so that they are deleted."
    " Replay its dead letter: it gets others."
)


class ResultCounts:
    """The guarantee: a result that was applied is counted once for ever, because the row itself knows it.

    A result that changed no row (stale, without a row, refused) is counted by the process that commits its offset. It comes
    again only if the broker lost the commit, and this process then knows it by its position.
    """

    def __init__(self, metrics: Metrics, now: Callable[[], datetime]) -> None:
        self._metrics: Final = metrics
        self._now: Final = now
        self._seen: Final = RecentIds()

    def count(self, outcomes: Outcomes, refused: list[Refused]) -> None:
        """Count the records of a committed batch; one that could not be committed is counted by its next owner."""
        metrics, refused_at = self._metrics, {place_of(record) for record, _ in refused}
        for record, error in refused:
            if self._is_new(record):
                metrics.dead_letters_total.labels(error.code).inc()
                metrics.task_execution_total.labels(TaskType.PERSIST, "failed").inc()
        fresh: Counter[RowOutcome] = Counter()
        repeated = first_stale = 0
        for item, outcome in outcomes:
            if refused_at and place_of(item.record) in refused_at:
                continue
            if outcome is RowOutcome.REPEATED:
                repeated += 1
            elif self._is_new(item.record):
                fresh[outcome] += 1
                first_stale += outcome is RowOutcome.STALE and _is_first(item.result)
        if repeated:
            metrics.redelivered_total.labels(TaskType.PERSIST).inc(repeated)
        if fresh:
            metrics.task_execution_total.labels(TaskType.PERSIST, "success").inc(fresh.total())
        metrics.stale_results_total.inc(fresh[RowOutcome.STALE])
        metrics.stale_first_attempts_total.inc(first_stale)
        metrics.orphaned_results_total.inc(fresh[RowOutcome.ROW_GONE])
        metrics.overruled_results_total.inc(fresh[RowOutcome.OVERRULED])

    def _is_new(self, record: InboundRecord) -> bool:
        is_new = self._seen.add(place_of(record))
        if not is_new:
            self._metrics.redelivered_total.labels(TaskType.PERSIST).inc()
        return is_new

    def observe(self, outcomes: Outcomes, dead_letters: int, took_s: float) -> None:
        """Count and log a batch that was written, whether or not its offsets could be committed."""
        metrics = self._metrics
        metrics.persistence_batch_size.observe(len(outcomes) + dead_letters)
        metrics.persistence_batch_duration_seconds.observe(took_s)
        metrics.task_execution_duration_seconds.labels(TaskType.PERSIST).observe(took_s)
        metrics.last_progress_timestamp_seconds.set_to_current_time()
        now = self._now()
        for item, outcome in outcomes:
            # A row shows an upload for the first time only once, also when its offset could not be committed.
            is_shown = outcome in APPLIED_OUTCOMES and isinstance(item.result, ThumbnailReady)
            if is_shown and is_live(item.result.upload_event_id):
                seconds = (now - item.result.occurred_at).total_seconds()
                exemplar = exemplar_of(h.trace_id(item.record.headers))
                metrics.upload_to_visible_seconds.observe(max(0.0, seconds), exemplar)
        counts = {str(name): n for name, n in Counter(outcome for _, outcome in outcomes).items()}
        log.info("batch_persisted", dead_letters=dead_letters, took_s=round(took_s, 4), **counts)
        _tell(outcomes)


def _is_first(result: Result) -> bool:
    return (result.attempt if isinstance(result, ThumbnailReady) else result.attempts) == 1


def _tell(outcomes: Outcomes) -> None:
    tells_all = logging.getLogger(__name__).isEnabledFor(logging.DEBUG)
    for item, outcome in outcomes:
        if not tells_all and outcome not in _HEARD:
            continue
        about = {"media": item.result.media.record_key, "company_id": item.result.company_id}
        if outcome is RowOutcome.OVERRULED:
            log.warning("ready_overruled", next_action=_REPLAY_IT, **about, **item.record.log_fields)
        else:
            level = logging.INFO if outcome in _TOLD else logging.DEBUG
            log.log(level, "result_persisted", outcome=outcome, **about, **item.record.log_fields)


def end_spans(received: Sequence[Received], written: Written) -> None:
    """End the spans of a batch that is done: each says what became of its row, and how many shared the transaction."""
    outcomes = {id(item.record): outcome for item, outcome in written.outcomes}
    errors = {id(item.record): error.code for item, error in written.rejected}
    size = len(received)
    for record, span in received:
        outcome = outcomes.get(id(record))
        span.set_attributes(
            {"thumbnail.batch.size": size} | ({"thumbnail.row.outcome": str(outcome)} if outcome else {})
        )
        span.end(errors.get(id(record)))
