"""The work on a record, and the one way by which an error becomes its outcome."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from schemas import headers as h
from schemas.errors import ErrorCode, ThumbnailError, TransientError
from schemas.events import MediaUploaded
from schemas.topics import UNPREFIXED, Topics
from storage.breaker import ConnectionPausedError
from storage.factory import provider_label
from streams.event_metrics import EventSample, TaskType
from streams.failures.company_limiter import CompanyLimitedError, CompanyLimiter
from streams.failures.dead_letter import Failure, failure_headers, make_dead_letter
from streams.failures.guard import DeadLetterGuard
from streams.failures.policy import Attempts, GiveUp, RetryAt, RetryPolicy
from streams.failures.size import fits
from streams.kafka.records import Delivery, OutboundRecord, place_of
from streams.thumbnails.events_out import Announcements
from streams.thumbnails.grace import NO_GRACE, Grace
from streams.thumbnails.service import Progress
from streams.thumbnails.staleness import Stale
from streams.tracing import Fact
from streams.worker.clock_skew import DEFAULT_SKEW, ClockSkew
from streams.worker.outcome import STATUS, Ending, Outcome, Trail
from streams.worker.rejections import rejection

log = structlog.get_logger(__name__)


@dataclass
class Work:
    """The work on one delivery, with what is known of it so far; `task` is None for a tombstone."""

    delivery: Delivery
    task: TaskType | None
    progress: Progress = field(default_factory=Progress)
    started_s: float = field(default_factory=time.perf_counter)
    upload: MediaUploaded | None = None
    company_id: int | None = None
    """The owner of the record; None where it is not known."""
    event_id: str | None = None
    """The id of a request that is no upload."""
    given_up: tuple[str, ...] = ()
    """The versions of the upload that were given up before."""
    ready_after_s: float | None = None
    stale: Stale | None = None

    def finish(
        self,
        ending: Ending,
        *records: OutboundRecord,
        details: Mapping[str, object],
        error: ThumbnailError | None = None,
    ) -> Outcome:
        """Return the outcome; nothing adds to it later."""
        status, code = STATUS.get(ending, "success"), None if error is None else error.code
        is_attempt = self.task is TaskType.GENERATE and self.stale is None
        # An event that is given up counts as tried, also where its connection is paused; one that waits for it was not.
        waits_for = error if ending is Ending.WAITS else None
        sample = EventSample(
            event=(self._event, self.delivery.attempt_id),
            task=self.task,
            took_s=time.perf_counter() - self.started_s,
            kind=self.upload.media.kind if is_attempt and self.upload is not None else None,
            ready_after_s=self.ready_after_s,
            error=code,
            waits_for=provider_label(waits_for.provider) if isinstance(waits_for, ConnectionPausedError) else None,
            was_tried=not isinstance(waits_for, ConnectionPausedError | CompanyLimitedError),
            stale=self.stale,
            has_other_key=self._has_other_key,
            trace_id=self.delivery.trace_id,
        )
        stages = tuple(self.progress.stages) if code is None else self.progress.failed(code)
        facts: dict[str, Fact] = {"thumbnail.status": status, "thumbnail.attempt": self.delivery.attempt}
        if self.upload is not None:
            facts |= {"thumbnail.company_id": self.upload.company_id, "thumbnail.kind": self.upload.media.kind.value}
        trail = Trail(stages, facts) if is_attempt else Trail()
        return Outcome(ending, status, records, details, sample, code, trail)

    @property
    def _has_other_key(self) -> bool:
        """Return whether the producer gave an upload a key that is not its media's; asked at its first attempt."""
        if self.upload is None or self.delivery.is_again:
            return False
        return self.delivery.record.key != self.upload.media.record_key.encode()

    @property
    def _event(self) -> Hashable:
        """Return what is the same for each delivery of one event, and for nothing else."""
        if self.upload is not None:
            upload = self.upload
            return upload.company_id, upload.media.record_key, upload.event_id, upload.occurred_at
        return self.event_id or place_of(self.delivery.record)


@dataclass(frozen=True)
class Rules:
    """The same for every record: names of topics and group, how far clocks may differ, the time, how long cleanups wait."""

    group: str
    topics: Topics = UNPREFIXED
    skew: ClockSkew = DEFAULT_SKEW
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    grace: Grace = NO_GRACE

    def announcements(self, work: Work, upload: MediaUploaded) -> Announcements:
        """Return the maker of the records that announce what became of `upload`."""
        return Announcements(self.topics, work.delivery, upload, self.now(), work.given_up)


class Failures:
    """Turns an error into a retry or a dead letter. Raises DeadLetterFloodError when the process must end instead."""

    def __init__(self, policy: RetryPolicy, guard: DeadLetterGuard, limiter: CompanyLimiter, rules: Rules) -> None:
        self._policy: Final = policy
        self._guard: Final = guard
        self.limiter: Final = limiter
        self._rules: Final = rules

    def is_final(self, delivery: Delivery, error: ThumbnailError) -> bool:
        """Return whether this error would be the end of the event."""
        return isinstance(self._decide(delivery, error, self._rules.now()), GiveUp)

    def succeeded(self, delivery: Delivery, company_id: int) -> None:
        """End a row of failures. Only thumbnails do: each upload that is given up has a cleanup, and that one succeeds."""
        self._guard.succeeded(delivery.partition_name, company_id)
        self.limiter.succeeded(company_id)

    def unexpected(self, work: Work, exc: Exception) -> Outcome:
        """Return the outcome of an error that no adapter translated, inside the handling of that error."""
        _log_unexpected(work)
        return self.fail(work, internal_error(exc))

    def fail(self, work: Work, error: ThumbnailError) -> Outcome:
        """Return the outcome of an attempt that failed: it waits for a retry, or it is given up."""
        delivery, now = work.delivery, self._rules.now()
        # A first failure that lies ahead counts as now: its time budget would never end.
        first_failed_at = min(delivery.first_failed_at or now, now)
        failure = Failure(error, work.progress.stage, delivery.attempt, first_failed_at, now)
        decision = self._decide(delivery, error, now)
        if isinstance(decision, RetryAt):
            waiting = self._waiting(delivery, failure, decision)
            if fits(waiting):
                ending = Ending.TOMBSTONE_WAITS if work.task is None else Ending.WAITS
                return work.finish(
                    ending, waiting, details={"tier": decision.tier, **_details(work, failure)}, error=error
                )
            decision = GiveUp("the record is too large for the retry topics")
        return self._give_up(work, failure, decision.reason)

    def _decide(self, delivery: Delivery, error: ThumbnailError, now: datetime) -> RetryAt | GiveUp:
        attempts = Attempts(delivery.attempt, delivery.budget_from or now, delivery.last_code, delivery.hops)
        return self._policy.decide(error, attempts, now)

    def _waiting(self, delivery: Delivery, failure: Failure, decision: RetryAt) -> OutboundRecord:
        record = delivery.record
        facts = {
            **failure_headers(delivery, failure, self._rules.group),
            h.RETRY_ATTEMPT: decision.retry,
            h.RETRY_HOPS: delivery.hops + 1,
            h.RETRY_DUE_AT: h.format_time(decision.due_at),
            **({h.RETRY_NOT_BEFORE: h.format_time(decision.not_before)} if decision.not_before else {}),
        }
        topic = self._rules.topics.retries[decision.tier - 1]
        return OutboundRecord(topic, record.key, record.value, h.with_headers(record.headers, facts))

    def _give_up(self, work: Work, failure: Failure, reason: str) -> Outcome:
        """Return the outcome, the dead letter first: dying after it repeats both records, dying before it repeats the attempt."""
        error, delivery, upload = failure.error, work.delivery, work.upload
        if error.code is ErrorCode.UPLOAD_CANCELLED:
            return self._park(work, failure, reason)
        if not delivery.is_replay and error.code is not ErrorCode.TENANT_LIMITED:
            # A replayed record failed before: that somebody replayed too much says nothing about a deploy.
            self._guard.check(delivery.partition_name, error.code, work.company_id, delivery.producer)
        if work.company_id is not None and upload is not None:
            self.limiter.given_up(work.company_id, error.code)
        dead_letter = make_dead_letter(self._rules.topics.dlq, delivery, failure, self._rules.group)
        return self._end(work, failure, dead_letter, reason)

    def _park(self, work: Work, failure: Failure, reason: str) -> Outcome:
        """Return the outcome of what somebody cancelled. It is nobody's failure, and its dead letter needs no attention."""
        dead_letter = make_dead_letter(self._rules.topics.parked, work.delivery, failure, self._rules.group)
        parked = {h.PARKED_AT: h.format_time(failure.failed_at), h.PARKED_REASON: failure.error.message}
        headers = h.with_headers(dead_letter.headers, parked)
        return self._end(work, failure, replace(dead_letter, headers=headers), reason)

    def _end(self, work: Work, failure: Failure, dead_letter: OutboundRecord, reason: str) -> Outcome:
        records = [dead_letter]
        if work.upload is not None:
            records.append(self._rules.announcements(work, work.upload).failed(failure, dead_letter.topic))
        elif work.delivery.origin_topic == self._rules.topics.uploads:
            rules = self._rules
            records.append(rejection(rules.topics, work.delivery, failure, dead_letter.topic, rules.now()))
        details = {"why": reason} | _details(work, failure)
        ending = Ending.TOMBSTONE_GIVEN_UP if work.task is None else Ending.GIVEN_UP
        return work.finish(ending, *records, details=details, error=failure.error)


def internal_error(exc: Exception) -> ThumbnailError:
    """Return the error that stands for one that no adapter translated; its text, which may hold anything, stays in the log."""
    message = f"An unexpected {type(exc).__name__} occurred; the log has the trace."
    error = TransientError(ErrorCode.INTERNAL_ERROR, message)
    error.__cause__ = exc
    return error


def _details(work: Work, failure: Failure) -> dict[str, object]:
    error = failure.error
    details = {"error_code": error.code, "error": error.message, "stage": failure.stage, "attempt": failure.attempts}
    if work.upload is not None:
        details |= {"company_id": work.upload.company_id, "media": work.upload.media.record_key}
    return details


def _log_unexpected(work: Work) -> None:
    if work.task is TaskType.CLEANUP:
        log.exception("cleanup_internal_error")
    elif work.task is None:
        log.exception("tombstone_internal_error")
    else:
        log.exception("event_internal_error")
