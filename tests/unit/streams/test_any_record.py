"""Whatever bytes, headers and time a record has, it ends as an outcome or a dead letter, and no role ends with it."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas import headers as h
from schemas.cloudevents import write_event
from schemas.contracts.files import EXPORTED
from schemas.errors import ErrorCode, TransientError
from schemas.topics import Topics
from streams.dlq.export import export_dead_letters, fingerprint, read_export
from streams.dlq.ledger import Ledger
from streams.dlq.read import DeadLetterFilter, group_by_code, read_dead_letter
from streams.failures.retry_limits import most_hops
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.retry.hops import HopRules
from streams.retry.role import RetryOptions
from tests.doubles.any_records import HEADERS, OWN, WAITS, examples, put, records
from tests.doubles.memory_loops import DUE, TIERS, PersistLoop, RetryLoop
from tests.doubles.pipeline import NOW, Flow, a_flow, an_upload
from tests.doubles.results import ready
from tests.unit.streams.worker.test_handler import Rows, a_handler

UPLOAD, RESULT = write_event(an_upload()), write_event(ready())
WORKER_TOPICS = ["p.media.uploaded", "p.thumbnail.due", "p.thumbnail.cleanup"]
LONGEST_S = 240.0
ANY_WAIT = st.one_of(WAITS, WAITS, HEADERS)
CIRCLE = ["p.thumbnail.retry.1", "p.thumbnail.retry.3"]
FOR_EVER: h.Headers = ((h.FIRST_FAILED_AT, h.format_time(NOW).encode()), (h.RETRY_NOT_BEFORE, b"9999-12-31T23:59:59Z"))
CIRCLING = st.builds(tuple.__add__, ANY_WAIT, st.sampled_from([(), FOR_EVER]))
LONG_S = (21_600.0, 43_200.0, 86_400.0)
OUTAGES = st.sampled_from([ErrorCode.STORAGE_PAUSED, ErrorCode.DATABASE_UNAVAILABLE, ErrorCode.STORAGE_RATE_LIMITED])
UPLOADS = records(WORKER_TOPICS, UPLOAD)
ANSWERS = {
    name: Draft202012Validator(json.loads((EXPORTED / f"{name}.schema.json").read_text()))
    for name in ("thumbnail.failed.v1", "media.rejected.v1")
}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def flow() -> Flow:
    return a_flow()


@examples(400)
@given(record=UPLOADS, is_storage_down=st.booleans())
def test_any_record_has_an_outcome_of_the_worker(
    runner: asyncio.Runner, flow: Flow, record: InboundRecord, is_storage_down: bool
) -> None:
    down = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Down.", retry_after_s=1e6)
    flow.maker.error = down if is_storage_down else None
    outcome = runner.run(a_handler(flow).handle(record))
    assert outcome.status in ("success", "failed", "retry")
    assert outcome.error_code != ErrorCode.INTERNAL_ERROR  # the last guard: it was foreseen
    if record.topic == "p.media.uploaded" and outcome.status == "failed":  # its producer sees why, whatever it sent
        answer = outcome.records[-1]
        assert (answer.topic, len(outcome.records)) == ("p.thumbnail.failed", 2)
        name = (h.get_header(answer.headers, h.CE_TYPE) or "").removeprefix("vertexar.")
        ANSWERS[name].validate(json.loads(answer.value or b""))
    for sent in outcome.records:
        if sent.topic == "p.thumbnail.dlq":
            assert (sent.key, sent.value) == (record.key, record.value)
            assert h.get_header(sent.headers, h.ERROR_CODE) in list(ErrorCode)
        if sent.topic.startswith("p.thumbnail.retry."):
            assert (sent.key, sent.value) == (record.key, record.value)
            due_at = h.parse_time(h.get_header(sent.headers, h.RETRY_DUE_AT))
            assert due_at is not None
            assert NOW < due_at <= NOW + timedelta(seconds=LONGEST_S)
        if sent.topic.startswith(("p.thumbnail.dlq", "p.thumbnail.retry.")):
            assert OWN in sent.headers
            if record.topic == "p.media.uploaded":
                assert h.get_header(sent.headers, h.ORIGINAL_TOPIC) == record.topic
                assert not any("\0" in name and name.split("\0")[0] in h.WORKING_HEADERS for name, _ in sent.headers)


@examples(400)
@given(record=records(["p.thumbnail.retry.1", "p.thumbnail.retry.3"], UPLOAD, ANY_WAIT))
def test_any_retry_is_due_within_its_tiers_delay_and_circles_no_longer_than_its_budget(record: InboundRecord) -> None:
    rules = HopRules((60.0, 120.0, LONGEST_S), jitter=0.1, budget_s=2000, topics=Topics("p."))
    now, hops = NOW, 0
    while True:
        due_at = rules.due_at(record, now)
        assert due_at <= now + timedelta(seconds=LONGEST_S * 1.1)
        now = max(now, due_at)
        hop = rules.next_hop(record, now)
        assert (hop.record.key, hop.record.value) == (record.key, record.value)
        assert OWN in hop.record.headers
        if hop.late_s is not None:
            break
        hops += 1
        assert hops <= 2 * 2000 / 60 + 3, "it circles"
        record = replace(
            record, topic=hop.record.topic, headers=hop.record.headers, timestamp_ms=int(now.timestamp() * 1000)
        )
    assert hop.record.topic == "p.thumbnail.due"


@examples(150)
@given(
    record=records(["p.media.uploaded", "p.thumbnail.due", "p.thumbnail.cleanup", *CIRCLE], UPLOAD, CIRCLING),
    code=OUTAGES,
)
def test_no_record_circles_between_worker_and_retry_whatever_its_headers_say(
    runner: asyncio.Runner, flow: Flow, record: InboundRecord, code: ErrorCode
) -> None:
    """What it needs never comes, and neither clock moves: then no time budget ends, and only the count of hops can."""
    flow.maker.error = TransientError(code, "Down.", retry_after_s=30_000)
    rows, rules = Rows(None), HopRules(LONG_S, jitter=0.1, budget_s=86_400, topics=Topics("p."))
    rows.is_down = True
    handler, hops = a_handler(flow, rows=rows, delays_s=LONG_S), 0
    while True:
        sent: OutboundRecord | None
        if record.topic.startswith("p.thumbnail.retry."):
            sent = rules.next_hop(record, NOW).record
        else:
            sent = next(iter(runner.run(handler.handle(record)).records), None)
        if sent is None or not sent.topic.startswith(("p.thumbnail.retry.", "p.thumbnail.due")):
            break
        hops += sent.topic.startswith("p.thumbnail.retry.")
        assert hops <= most_hops(LONG_S, 86_400), "it circles"
        record = replace(record, topic=sent.topic, headers=sent.headers)
    assert sent is None or h.get_header(sent.headers, h.RETRY_HOPS) is None


@examples(60)
@given(waiting=st.lists(records(TIERS, UPLOAD, ANY_WAIT), min_size=1, max_size=5))
def test_the_retry_role_hands_on_any_record_once_and_in_bounded_time(waiting: list[InboundRecord]) -> None:
    loop = RetryLoop()
    loop.options = RetryOptions(delays_s=(1.0, 2.0, 4.0), budget_s=10.0)
    for record in waiting:
        put(loop.broker, record)
    loop.run(40)
    handed_on = Counter((record.key, record.value) for record in loop.broker.records(DUE))
    assert handed_on == Counter((record.key, record.value) for record in waiting)
    for tier in TIERS:
        for partition in range(2):
            assert (loop.committed(tier, partition) or 0) == loop.broker.log((tier, partition)).end(committed_only=True)


@examples(60)
@given(results=st.lists(records(["thumbnail.ready", "thumbnail.failed"], RESULT), min_size=1, max_size=6))
def test_persist_ends_each_record_as_a_row_or_a_dead_letter(
    persist_loop: PersistLoop, results: list[InboundRecord]
) -> None:
    persist_loop.restart()
    before = len(persist_loop.broker.records("thumbnail.ready.dlq"))
    for record in results:
        put(persist_loop.broker, record)
    persist_loop.run(1)
    for topic in ("thumbnail.ready", "thumbnail.failed"):
        assert (persist_loop.committed(topic) or 0) == persist_loop.broker.log((topic, 0)).end(committed_only=True)
    given_values = {(record.key, record.value) for record in results}
    for dead_letter in persist_loop.broker.records("thumbnail.ready.dlq")[before:]:
        assert (dead_letter.key, dead_letter.value) in given_values
        assert OWN in dead_letter.headers


@examples(300)
@given(found=st.lists(records(["p.thumbnail.dlq"], UPLOAD), min_size=1, max_size=4))
def test_any_record_of_the_dead_letter_topic_is_listed_and_exported_byte_for_byte(
    tmp_path: Path, found: list[InboundRecord]
) -> None:
    dead_letters = [read_dead_letter(record) for record in found]
    wanted = DeadLetterFilter(codes=("storage.*",), companies=(1,), media=("video:42",), since=NOW, until=NOW)
    for dead_letter in dead_letters:
        assert wanted.matches(dead_letter) in (True, False)
        assert (dead_letter.code or "x").isprintable()
        assert (dead_letter.media or "").isprintable()
        assert dead_letter.replays >= 0
    groups = group_by_code(dead_letters, Ledger())
    assert sum(group.count for group in groups) == len(found)
    assert all(group.next_action for group in groups)
    path = tmp_path / "dead-letters"
    assert export_dead_letters(path, dead_letters) == len(found)
    assert [fingerprint(record) for record in read_export(path)] == [fingerprint(record) for record in found]
