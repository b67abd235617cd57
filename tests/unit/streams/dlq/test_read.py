"""Dead letters as people see them: facts, filters and groups; also those that no schema reads."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas import headers as h
from streams.dlq.ledger import MarkState
from streams.dlq.read import DeadLetterFilter, group_by_code, read_dead_letter
from streams.kafka.reader import Extent
from streams.kafka.records import InboundRecord
from tests.doubles.letters import a_dead_letter, ledger_of
from tests.doubles.pipeline import NOW


def test_company_and_media_are_those_of_the_value() -> None:
    dead_letter = a_dead_letter(company=7, media_id=5)
    assert (dead_letter.company_id, dead_letter.media, dead_letter.code, dead_letter.stage) == (
        7,
        "video:5",
        "storage.denied",
        "upload",
    )


def test_a_structured_cloudevent_tells_its_company_too() -> None:
    dead_letter = a_dead_letter(
        value=b'{"specversion": "1.0", "data": {"company_id": 3, "media": {"kind": "image", "ar_content_id": 8}}}'
    )
    assert (dead_letter.company_id, dead_letter.media) == (3, "ar_content:8")


@pytest.mark.parametrize(
    "value", [b"\xff\x00", b"[" * 100_000, b"[]", b'"x"', b'{"company_id": true, "media": 5}', b"1" * 300_000]
)
def test_what_no_schema_reads_is_known_by_its_key(value: bytes) -> None:
    dead_letter = a_dead_letter(value=value, media_id=11)
    assert (dead_letter.company_id, dead_letter.media) == (None, "video:11")


def test_a_record_of_somebody_else_is_a_letter_too() -> None:
    dead_letter = read_dead_letter(
        InboundRecord("p.thumbnail.dlq", 1, 5, 1_764_000_000_000, None, None, (("error-code", None),))
    )
    assert (dead_letter.code, dead_letter.stage, dead_letter.media, dead_letter.position) == (
        "unknown",
        "unknown",
        None,
        "1:5",
    )
    assert dead_letter.failed_at == dead_letter.record.timestamp


def test_what_a_terminal_would_obey_is_taken_out_of_facts() -> None:
    dead_letter = read_dead_letter(
        InboundRecord("t", 0, 0, 0, b"\x1b[31mred", b"x", (("error-message", b"a\x1b[2Jb\nc"),))
    )
    assert (dead_letter.media, dead_letter.header("error-message")) == (" [31mred", "a [2Jb c")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (DeadLetterFilter(), {1, 2, 3}),
        (DeadLetterFilter(codes=("storage.*",)), {1, 2}),
        (DeadLetterFilter(codes=("storage.full", "media.corrupt")), {2, 3}),
        (DeadLetterFilter(codes=("storage",)), set()),
        (DeadLetterFilter(companies=(2,)), {2, 3}),
        (DeadLetterFilter(companies=(2,), codes=("media.corrupt",)), {3}),
        (DeadLetterFilter(media=("video:1",)), {1}),
        (DeadLetterFilter(stages=("decode",)), set()),
        (DeadLetterFilter(since=NOW - timedelta(seconds=60)), {1, 2}),
        (DeadLetterFilter(until=NOW - timedelta(seconds=60)), {3}),
        (DeadLetterFilter(positions=frozenset({"0:3"})), {3}),
    ],
)
def test_a_filter_holds_for_what_fulfils_all_of_it(wanted: DeadLetterFilter, found: set[int]) -> None:
    dead_letters = [
        a_dead_letter(1, code="storage.denied", company=1, media_id=1, age_s=0),
        a_dead_letter(2, code="storage.full", company=2, media_id=2, age_s=60),
        a_dead_letter(3, code="media.corrupt", company=2, media_id=3, age_s=120),
    ]
    assert {dead_letter.record.offset for dead_letter in dead_letters if wanted.matches(dead_letter)} == found


def test_groups_tell_count_first_last_the_newest_example_that_waits_and_what_to_do() -> None:
    dead_letters = [a_dead_letter(offset, age_s=age_s) for offset, age_s in ((1, 50), (2, 10), (3, 90))]
    other = a_dead_letter(4, code="nobody.knows")
    first, second = group_by_code([*dead_letters, other], ledger_of((dead_letters[1], MarkState.REPLAYED)))

    assert (first.code, first.count, first.waiting, first.example) == ("storage.denied", 3, 2, "0:1")
    assert (first.first_at, first.last_at) == (NOW - timedelta(seconds=90), NOW - timedelta(seconds=10))
    assert "Renew" in first.next_action
    assert "dlq show 0:4" in second.next_action


def test_a_group_tells_whose_letters_wait() -> None:
    dead_letters = [a_dead_letter(offset, company=company) for offset, company in ((1, 3), (2, 3), (3, 1), (4, 7))]
    unread = a_dead_letter(5, value=b"[]")
    ledger = ledger_of((dead_letters[3], MarkState.REPLAYED))
    (group,) = group_by_code([*dead_letters, unread], ledger)
    assert group.companies == {3: 2, 1: 1, None: 1}


def test_what_somebody_has_seen_or_given_up_waits_no_more() -> None:
    dead_letters = [a_dead_letter(offset, company=offset) for offset in range(5)]
    states = (MarkState.ACKNOWLEDGED, MarkState.DISCARDED, MarkState.SENDING, MarkState.PARKED)
    (group,) = group_by_code(dead_letters, ledger_of(*zip(dead_letters, states, strict=False)))
    assert (group.count, group.waiting, group.acknowledged, group.discarded) == (5, 2, 1, 1)
    assert group.companies == {2: 1, 4: 1}


def test_a_producer_is_found_by_the_source_of_its_events() -> None:
    ours = a_dead_letter(1)
    record = ours.record
    headers = (*record.headers, (h.CE_SOURCE, b"/upload-service"))
    theirs = read_dead_letter(replace(record, headers=headers))
    wanted = DeadLetterFilter(sources=("/upload-service",))
    assert (wanted.matches(ours), wanted.matches(theirs)) == (False, True)


def test_only_the_offsets_between_named_positions_are_read() -> None:
    extents = {0: Extent(5, 100), 1: Extent(0, 7), 2: Extent(0, 9)}
    assert DeadLetterFilter().within(extents) == extents
    named = DeadLetterFilter(positions=frozenset({"0:17", "0:20", "1:0", "9:1"}))
    assert named.within(extents) == {0: Extent(17, 21), 1: Extent(0, 1)}
    gone = DeadLetterFilter(positions=frozenset({"0:1", "1:7"})).within(extents)
    assert [extent.count for extent in gone.values()] == [0, 0]
