"""Where a record goes when its time in a retry topic is over: back to work, or into a retry topic for another while."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas import headers as h
from schemas.topics import THUMBNAIL_DUE, THUMBNAIL_RETRIES, prefixed
from streams.records import InboundRecord, OutboundRecord
from streams.retry_policy import tier_for


@dataclass(frozen=True)
class Hop:
    """The record to send; `late_s` says how long after its time it goes back to work, None when it waits on."""

    record: OutboundRecord
    late_s: float | None


def next_hop(record: InboundRecord, delays_s: tuple[float, ...], prefix: str, now: datetime) -> Hop:
    """What follows for a record that is due at `now`.

    Key, value and headers stay byte for byte, due times apart. A record that must not come before a time that is still
    ahead waits in the tier that is late enough, or in the last one again, and no attempt is used up. It takes its
    tier's own delay, so that the records of a tier stay in the order of their due times and none blocks another.
    """
    not_before = h.parse_time(h.get_header(record.headers, h.RETRY_NOT_BEFORE))
    due_at = h.parse_time(h.get_header(record.headers, h.RETRY_DUE_AT))
    if not_before is None or not_before <= now:
        wanted = max((moment for moment in (due_at, not_before) if moment is not None), default=now)
        headers = h.without_headers(record.headers, (h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE))
        sent = OutboundRecord(prefixed(THUMBNAIL_DUE, prefix), record.key, record.value, headers)
        return Hop(sent, (now - wanted).total_seconds())
    tier = tier_for(delays_s, (not_before - now).total_seconds())
    due = now + timedelta(seconds=delays_s[tier - 1])
    headers = h.with_headers(record.headers, {h.RETRY_DUE_AT: h.format_time(due)})
    topic = prefixed(THUMBNAIL_RETRIES[tier - 1], prefix)
    return Hop(OutboundRecord(topic, record.key, record.value, headers), None)
