"""Where a due record goes: back to work, or into a retry topic again when it must not come yet."""

from datetime import datetime, timedelta

import pytest

from schemas import headers as h
from schemas.topics import Topics
from streams.kafka.records import InboundRecord
from streams.retry.hops import Hop, HopRules
from tests.doubles.pipeline import NOW

DELAYS_S = (60.0, 120.0, 240.0)
RULES = HopRules(DELAYS_S, jitter=0.1, budget_s=200_000, topics=Topics("p."))
FAILED_AT = (h.FIRST_FAILED_AT, h.format_time(NOW - timedelta(seconds=60)).encode())
OWN: h.Headers = (("own", b"\xff"), ("null", None), ("own", b"again"), (h.RETRY_ATTEMPT, b"2"), FAILED_AT)


def hop(due_in_s: float, not_before_in_s: float | None = None, now: datetime = NOW) -> Hop:
    headers = h.with_headers(OWN, {h.RETRY_DUE_AT: h.format_time(NOW + timedelta(seconds=due_in_s))})
    if not_before_in_s is not None:
        moment = NOW + timedelta(seconds=not_before_in_s)
        headers = h.with_headers(headers, {h.RETRY_NOT_BEFORE: h.format_time(moment)})
    return RULES.next_hop(InboundRecord("p.thumbnail.retry.1", 0, 5, 0, b"\xff", None, headers), now)


def test_a_due_record_goes_back_to_work_less_its_due_time() -> None:
    found = hop(-2)
    assert (found.record.topic, found.record.key, found.record.value) == ("p.thumbnail.due", b"\xff", None)
    assert (found.record.headers, found.late_s) == (OWN, 2.0)


@pytest.mark.parametrize(("asked_s", "waits_s"), [(3600, 3600), (400_000, 400_000), (366 * 86_400, 5 * 86_400)])
def test_a_cleanup_waits_as_long_as_it_asks_for_and_never_for_longer_than_five_days(
    asked_s: float, waits_s: float
) -> None:
    headers = h.with_headers(OWN, {h.RETRY_DUE_AT: h.format_time(NOW + timedelta(seconds=asked_s))})
    written_ms = int(NOW.timestamp() * 1000)
    record = InboundRecord("p.thumbnail.cleanup.waiting", 0, 5, written_ms, b"k", b"v", headers)
    assert RULES.due_at(record, NOW) == NOW + timedelta(seconds=waits_s)
    found = RULES.next_hop(record, NOW + timedelta(seconds=asked_s + 2))
    assert (found.record.topic, found.record.headers, found.late_s) == ("p.thumbnail.cleanup", OWN, 2.0)


@pytest.mark.parametrize(("left_s", "tier"), [(10, 1), (60, 1), (61, 2), (121, 3), (241, 3), (100_000, 3)])
def test_what_must_not_come_yet_waits_in_the_tier_that_is_late_enough(left_s: float, tier: int) -> None:
    found = hop(0, left_s)
    assert (found.record.topic, found.late_s) == (f"p.thumbnail.retry.{tier}", None)
    assert h.get_header(found.record.headers, h.RETRY_DUE_AT) == h.format_time(
        NOW + timedelta(seconds=DELAYS_S[tier - 1])
    )
    assert h.get_header(found.record.headers, h.RETRY_ATTEMPT) == "2"


def test_it_comes_back_from_there_never_early_and_less_than_a_tier_late() -> None:
    now, record = NOW, InboundRecord("p.thumbnail.retry.3", 0, 5, 0, b"k", b"v", OWN)
    not_before = NOW + timedelta(seconds=1000)
    headers = h.with_headers(OWN, {h.RETRY_NOT_BEFORE: h.format_time(not_before)})
    hops = 0
    while True:
        record = InboundRecord(record.topic, 0, 5, 0, b"k", b"v", headers)
        found = RULES.next_hop(record, now)
        headers = found.record.headers
        if found.late_s is not None:
            break
        hops += 1
        due = h.parse_time(h.get_header(headers, h.RETRY_DUE_AT))
        assert due is not None
        now = due
    assert not_before <= now < not_before + timedelta(seconds=60)
    assert (hops, headers) == (5, (*OWN, (h.RETRY_HOPS, b"5")))


def test_a_wait_that_is_longer_than_the_time_budget_ends_with_it() -> None:
    """Whatever else is asked for: from tier to tier until the budget is over, and then back to work."""
    now, hops = NOW, 0
    headers = h.with_headers(OWN, {h.RETRY_NOT_BEFORE: "9999-12-31T23:59:59Z"})
    while True:
        found = RULES.next_hop(InboundRecord("p.thumbnail.retry.3", 0, 5, 0, b"k", b"v", headers), now)
        if found.late_s is not None:
            break
        headers, hops = found.record.headers, hops + 1
        due = h.parse_time(h.get_header(headers, h.RETRY_DUE_AT))
        assert due is not None
        now = due
    assert h.without_headers(found.record.headers, (h.RETRY_HOPS,)) == OWN
    assert RULES.budget_s - 300 < (now - NOW).total_seconds() < RULES.budget_s + 240
    assert hops == (RULES.budget_s - 60) // 240 + 1


@pytest.mark.parametrize(
    "begun",
    [
        {},
        {h.FIRST_FAILED_AT: "9999-12-31T23:59:59Z"},
        {h.FIRST_FAILED_AT: "9999-12-31T23:59:59-14:00"},
        {h.FIRST_FAILED_AT: h.format_time(NOW), h.REPLAYED_AT: "9999-12-31T23:59:59Z"},
        {h.FIRST_FAILED_AT: h.format_time(NOW - timedelta(seconds=300_000))},
        {h.FIRST_FAILED_AT: "0001-01-01T00:00:00Z"},
    ],
)
@pytest.mark.parametrize("not_before", ["9999-12-31T23:59:59Z", "2999-01-01T00:00:00Z"])
def test_a_wait_without_a_budget_that_is_left_is_over(begun: dict[str, object], not_before: str) -> None:
    headers = h.with_headers((), begun | {h.RETRY_NOT_BEFORE: not_before})
    found = RULES.next_hop(InboundRecord("p.thumbnail.retry.1", 0, 5, 0, b"k", b"v", headers), NOW)
    assert (found.record.topic, found.late_s is None) == ("p.thumbnail.due", False)


OVERFLOWS = ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00")


@pytest.mark.parametrize("text", OVERFLOWS)
@pytest.mark.parametrize("name", [h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE, h.FIRST_FAILED_AT, h.REPLAYED_AT])
def test_a_time_that_overflows_holds_nothing(name: str, text: str) -> None:
    record = InboundRecord("p.thumbnail.retry.1", 0, 5, MS, b"k", b"v", h.with_headers((), {name: text}))
    assert RULES.due_at(record, NOW) < NOW
    assert RULES.next_hop(record, NOW).record.topic == "p.thumbnail.due"


MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("tier", "timestamp_ms", "due_in_s", "held_s"),
    [
        (1, MS, 60, 60),
        (1, MS, 66, 66),
        (1, MS, 86_400, 66),
        (2, MS, 86_400, 132),
        (3, MS, 86_400, 264),
        (1, MS, -5, -5),
        (1, MS - 30_000, 86_400, 36),  # it has waited for a while
        (1, MS + 86_400_000, 86_400, 66),  # written by a worker whose clock is a day ahead
        (1, MS * 1000, 86_400, 66),
        (1, MS // 1000, 86_400, 66),
        (1, 0, 86_400, 66),
        (1, -1, 86_400, 66),
        (1, 2**63 - 1, 86_400, 66),
    ],
)
def test_no_due_time_holds_a_record_for_longer_than_its_tier(
    tier: int, timestamp_ms: int, due_in_s: float, held_s: float
) -> None:
    headers = h.with_headers(OWN, {h.RETRY_DUE_AT: h.format_time(NOW + timedelta(seconds=due_in_s))})
    record = InboundRecord(f"p.thumbnail.retry.{tier}", 0, 5, timestamp_ms, b"k", b"v", headers)
    assert (RULES.due_at(record, NOW) - NOW).total_seconds() == pytest.approx(held_s)


def test_a_record_that_goes_on_before_its_due_time_is_not_early_by_a_negative_time() -> None:
    assert hop(86_400).late_s == 0
