"""A record that is too large for the dead letter topic becomes a cut dead letter all the same, and nothing is lost."""

from datetime import timedelta

import pytest

from schemas import headers as h
from schemas.errors import ErrorCode, PermanentError, Stage
from schemas.topics import CARRIER_BYTES, THUMBNAIL_DLQ, Topics
from streams.dlq.plan import Refusal, ReplayRules, Send
from streams.dlq.read import read_dead_letter
from streams.failures.dead_letter import Failure, make_dead_letter
from streams.failures.size import DEAD_LETTER_BYTES
from streams.kafka.records import InboundRecord, OutboundRecord, read_delivery
from tests.doubles.pipeline import NOW

EDGE_BYTES = CARRIER_BYTES - 200
LARGE = b"x" * EDGE_BYTES


def a_record(key: bytes | None = b"video:42", value: bytes | None = b"{}", headers: h.Headers = ()) -> InboundRecord:
    return InboundRecord("p.media.uploaded", 3, 17, int(NOW.timestamp() * 1000), key, value, headers)


def dead_letter_of(record: InboundRecord) -> OutboundRecord:
    error = PermanentError(ErrorCode.EVENT_TOO_LARGE, "It is too large.")
    failure = Failure(error, Stage.EVENT, attempts=1, first_failed_at=NOW, failed_at=NOW + timedelta(seconds=1))
    return make_dead_letter("p.thumbnail.dlq", read_delivery(record, Topics("p.")), failure, "g")


def wire_bytes(record: OutboundRecord) -> int:
    """What a broker counts at least."""
    headers = sum(len(name.encode()) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def read_back(dead_letter: OutboundRecord) -> InboundRecord:
    return InboundRecord(dead_letter.topic, 0, 5, 0, dead_letter.key, dead_letter.value, dead_letter.headers)


@pytest.mark.parametrize(
    "record",
    [
        a_record(value=LARGE),
        a_record(key=LARGE),
        a_record(headers=(("theirs", LARGE),)),
        a_record(headers=((LARGE.decode(), b""),)),
        a_record(headers=tuple((f"theirs-{number}", b"x" * 1000) for number in range(16_500))),
        a_record(value=None, headers=(("theirs", LARGE),)),
        a_record(value=LARGE, headers=((h.ORIGINAL_TOPIC, LARGE[:9_000_000]),)),
    ],
    ids=["value", "key", "one header", "a name", "many headers", "no value", "a header of the pipeline"],
)
def test_the_letter_of_a_record_at_the_limit_fits_and_says_where_the_whole_is(record: InboundRecord) -> None:
    dead_letter = dead_letter_of(record)
    assert wire_bytes(dead_letter) < DEAD_LETTER_BYTES
    cut = h.get_header(dead_letter.headers, h.CUT) or ""
    assert cut.startswith("Only the beginning is here")
    assert cut.endswith("partition 3, offset 17, as long as that topic keeps it.")
    assert h.get_header(dead_letter.headers, h.ERROR_CODE) == "event.too_large"
    assert h.get_header(dead_letter.headers, h.ORIGINAL_OFFSET) == "17"
    assert (record.value or b"").startswith(dead_letter.value or b"")
    assert (record.key or b"").startswith(dead_letter.key or b"")
    assert (dead_letter.value is None) is (record.value is None)


def test_the_whole_is_where_the_record_was_first_read() -> None:
    first = ((h.ORIGINAL_TOPIC, b"p.media.uploaded"), (h.ORIGINAL_PARTITION, b"1"), (h.ORIGINAL_OFFSET, b"99"))
    record = InboundRecord("p.thumbnail.due", 0, 5, 0, b"video:42", LARGE, first)
    assert "in p.media.uploaded, partition 1, offset 99," in (h.get_header(dead_letter_of(record).headers, h.CUT) or "")


def test_headers_of_others_that_are_short_are_kept() -> None:
    dead_letter = dead_letter_of(
        a_record(value=LARGE, headers=(("own", b"\xff raw"), ("long", b"x" * 5000), ("null", None)))
    )
    assert [header for header in dead_letter.headers if header[0] in ("own", "long", "null")] == [
        ("own", b"\xff raw"),
        ("null", None),
    ]
    assert h.get_header(dead_letter.headers, h.NEXT_ACTION)


def test_what_fits_is_kept_to_the_last_byte() -> None:
    record = a_record(value=b"x" * (DEAD_LETTER_BYTES - 4000), headers=(("own", b"\xff raw"),))
    dead_letter = dead_letter_of(record)
    assert (dead_letter.key, dead_letter.value) == (record.key, record.value)
    assert h.get_header(dead_letter.headers, h.CUT) is None


@pytest.mark.parametrize(("value", "is_sent"), [(LARGE, False), (LARGE[: DEAD_LETTER_BYTES - 4000], True)])
def test_only_a_letter_that_holds_its_whole_record_is_replayed_and_that_fits_again(value: bytes, is_sent: bool) -> None:
    dead_letter = read_dead_letter(read_back(dead_letter_of(a_record(value=value))))
    plan = ReplayRules(THUMBNAIL_DLQ, Topics("p."), 3).plan(dead_letter, NOW)
    if is_sent:
        assert isinstance(plan, Send)
        assert wire_bytes(plan.record) < CARRIER_BYTES - 1000
    else:
        assert isinstance(plan, Refusal)
        assert "publish it again" in plan.reason
