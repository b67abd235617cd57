"""Where a due record goes: back to work, or into a retry topic again when it must not come yet."""

from datetime import datetime, timedelta

import pytest

from schemas import headers as h
from streams.records import InboundRecord
from streams.retry_hops import Hop, next_hop
from tests.doubles.pipeline import NOW

DELAYS_S = (60.0, 120.0, 240.0)
OWN: h.Headers = (("own", b"\xff"), ("null", None), ("own", b"again"), (h.RETRY_ATTEMPT, b"2"))


def hop(due_in_s: float, not_before_in_s: float | None = None, now: datetime = NOW) -> Hop:
    headers = h.with_headers(OWN, {h.RETRY_DUE_AT: h.format_time(NOW + timedelta(seconds=due_in_s))})
    if not_before_in_s is not None:
        moment = NOW + timedelta(seconds=not_before_in_s)
        headers = h.with_headers(headers, {h.RETRY_NOT_BEFORE: h.format_time(moment)})
    return next_hop(InboundRecord("p.thumbnail.retry.1", 0, 5, 0, b"\xff", None, headers), DELAYS_S, "p.", now)


def test_a_due_record_goes_back_to_work_less_its_due_time() -> None:
    found = hop(-2)
    assert (found.record.topic, found.record.key, found.record.value) == ("p.thumbnail.due", b"\xff", None)
    assert (found.record.headers, found.late_s) == (OWN, 2.0)


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
        found = next_hop(record, DELAYS_S, "p.", now)
        headers = found.record.headers
        if found.late_s is not None:
            break
        hops += 1
        due = h.parse_time(h.get_header(headers, h.RETRY_DUE_AT))
        assert due is not None
        now = due
    assert not_before <= now < not_before + timedelta(seconds=60)
    assert (hops, headers) == (5, OWN)
