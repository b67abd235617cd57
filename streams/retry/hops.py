"""When a record's time in a retry topic is over, and where it goes then: back to work, or to wait for another while."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas import headers as h
from schemas.topics import MAX_REPLACED_KEEP_S, Topics
from streams.failures.marks import Mark
from streams.failures.policy import tier_for
from streams.failures.retry_limits import most_hops
from streams.kafka.records import InboundRecord, OutboundRecord, bounded_by

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Hop:
    """The record to send; `late_s` says how long after its time it goes back to work, None when it waits on."""

    record: OutboundRecord
    late_s: float | None


@dataclass(frozen=True)
class HopRules:
    """The worker's rules, as far as they bound what a record may ask for.

    Delays in seconds, one a tier; the largest part of a delay by which a wait may be longer; the longest time budget.
    """

    delays_s: tuple[float, ...]
    jitter: float
    budget_s: float
    topics: Topics

    def due_at(self, record: InboundRecord, now: datetime) -> datetime:
        """Return when a record that is read at `now` may go on; one without a readable time may go at once.

        No record waits for longer than its tier does, from when it was written: others stand behind it. The record's
        time and the due time are of the same clock, so that a fast producer clock is no excuse.
        """
        asked = h.parse_time(h.get_header(record.headers, h.RETRY_DUE_AT))
        if asked is None:
            return _LONG_AGO
        if record.topic == self.topics.cleanup_waiting:
            longest_s = float(MAX_REPLACED_KEEP_S)
        else:
            longest_s = self._delay_s(record.topic) * (1 + self.jitter)
        return min(asked, bounded_by(now, record.timestamp) + timedelta(seconds=longest_s))

    def next_hop(self, record: InboundRecord, now: datetime) -> Hop:
        """Return what follows for a record that is due at `now`.

        Key, value and headers stay byte for byte, due times apart. A record that must not come before a time that is
        still ahead waits in the tier that is late enough, or in the last one again, and no attempt is used up. It takes
        its tier's own delay, so that the records of a tier stay in the order of their due times and none blocks another.
        """
        if record.topic == self.topics.cleanup_waiting:
            return self._due_cleanup(record, now)
        not_before = self._not_before(record, now)
        if not_before is None or not_before <= now:
            due_at = h.parse_time(h.get_header(record.headers, h.RETRY_DUE_AT))
            wanted = max((moment for moment in (due_at, not_before) if moment is not None), default=now)
            headers = h.without_headers(record.headers, (h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE))
            sent = OutboundRecord(self.topics.due, record.key, record.value, headers)
            return Hop(sent, max(0.0, (now - wanted).total_seconds()))
        tier = tier_for(self.delays_s, (not_before - now).total_seconds())
        due = now + timedelta(seconds=self.delays_s[tier - 1])
        hops = h.get_count(record.headers, h.RETRY_HOPS) + 1
        headers = h.with_headers(record.headers, {h.RETRY_HOPS: hops, h.RETRY_DUE_AT: h.format_time(due)})
        return Hop(OutboundRecord(self.topics.retries[tier - 1], record.key, record.value, headers), None)

    def _due_cleanup(self, record: InboundRecord, now: datetime) -> Hop:
        due_at = h.parse_time(h.get_header(record.headers, h.RETRY_DUE_AT)) or now
        headers = h.without_headers(record.headers, (h.RETRY_DUE_AT,))
        sent = OutboundRecord(self.topics.cleanup, record.key, record.value, headers)
        return Hop(sent, max(0.0, (now - due_at).total_seconds()))

    def cancelled(self, record: InboundRecord, mark: Mark) -> Hop:
        """Return what follows for a record that somebody cancelled: the worker ends it, and says who decided so."""
        facts = {h.CANCELLED_AT: h.format_time(mark.at), h.CANCELLED_BY: mark.by, h.CANCELLED_NOTE: mark.note}
        headers = h.with_headers(h.without_headers(record.headers, (h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE)), facts)
        return Hop(OutboundRecord(self.topics.due, record.key, record.value, headers), None)

    def _not_before(self, record: InboundRecord, now: datetime) -> datetime | None:
        """Return until when it must wait on: within its time budget and the count of hops, or it would wait for ever.

        The worker writes no later time, and always writes when the record failed first: without that, or with one that
        is itself farther ahead than a budget, the wait is not the worker's.
        """
        asked = h.parse_time(h.get_header(record.headers, h.RETRY_NOT_BEFORE))
        replayed_at = h.parse_time(h.get_header(record.headers, h.REPLAYED_AT))
        begun = replayed_at or h.parse_time(h.get_header(record.headers, h.FIRST_FAILED_AT))
        if asked is None or begun is None or (begun - now).total_seconds() > self.budget_s:
            return None
        if h.get_count(record.headers, h.RETRY_HOPS) >= most_hops(self.delays_s, self.budget_s):
            return None
        left_s = self.budget_s - (now - begun).total_seconds()
        return min(asked, now + timedelta(seconds=left_s)) if left_s > 0 else None

    def _delay_s(self, topic: str) -> float:
        tiers = self.topics.retries
        tier = tiers.index(topic) if topic in tiers else len(tiers)
        return self.delays_s[min(tier, len(self.delays_s) - 1)]
