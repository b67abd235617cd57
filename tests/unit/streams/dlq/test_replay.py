"""Replays: what stays and what goes, where to, when a dead letter is parked, and that each is sent once."""

import json
import threading
from collections.abc import Sequence
from datetime import datetime

import pytest

from schemas import headers as h
from schemas.topics import THUMBNAIL_DLQ, THUMBNAIL_PARKED, THUMBNAIL_READY_DLQ, Topic, Topics
from streams.dlq.ledger import Ledger, Mark, MarkState
from streams.dlq.plan import Refusal, ReplayRules, Send
from streams.dlq.read import DeadLetter, read_dead_letter
from streams.dlq.replay import DeadLetterReplay, ReplayPace, ReplayReport
from streams.dlq.sender import ReplayError, Step
from streams.failures.marks import MAX_EARLIER
from streams.kafka.records import InboundRecord
from tests.doubles.letters import TRACE, KeptMarks, a_dead_letter, dead_letter_record, ledger_of, marked
from tests.doubles.pipeline import NOW


def plan(dead_letter: DeadLetter, source: Topic = THUMBNAIL_DLQ, max_replays: int = 3) -> Send | Refusal:
    return ReplayRules(source, Topics("p.", notifications="buckets"), max_replays).plan(dead_letter, NOW)


def sent(dead_letter: DeadLetter, source: Topic = THUMBNAIL_DLQ) -> Send:
    found = plan(dead_letter, source)
    assert isinstance(found, Send)
    return found


def test_key_value_trace_origin_and_first_failure_stay_and_the_failure_goes() -> None:
    dead_letter = a_dead_letter()
    record = sent(dead_letter).record

    assert (record.topic, record.key, record.value) == ("p.thumbnail.due", b"video:42", dead_letter.record.value)
    assert dict(record.headers) == {
        "own": b"\xff raw",
        "null": None,
        "traceparent": TRACE,
        "x-original-topic": b"p.media.uploaded",
        "x-original-partition": b"2",
        "first-failed-at": b"2026-11-20T10:00:00.000Z",
        "replay-count": b"1",
        "replayed-at": h.format_time(NOW).encode(),
        "replayed-from": b"p.thumbnail.dlq/0/17",
    }


@pytest.mark.parametrize(
    ("source", "origin", "target"),
    [
        (THUMBNAIL_DLQ, "p.media.uploaded", "p.thumbnail.due"),
        (THUMBNAIL_DLQ, "p.thumbnail.due", "p.thumbnail.due"),
        (THUMBNAIL_DLQ, "p.thumbnail.cleanup", "p.thumbnail.cleanup"),
        (THUMBNAIL_DLQ, "buckets", "buckets"),
        (THUMBNAIL_READY_DLQ, "p.thumbnail.ready", "p.thumbnail.ready"),
        (THUMBNAIL_READY_DLQ, "p.thumbnail.failed", "p.thumbnail.failed"),
        (THUMBNAIL_PARKED, "p.thumbnail.failed", "p.thumbnail.failed"),
    ],
)
def test_a_record_goes_back_to_those_who_failed_it(source: Topic, origin: str, target: str) -> None:
    assert sent(a_dead_letter(origin=origin), source).record.topic == target


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        (THUMBNAIL_DLQ, None),
        (THUMBNAIL_DLQ, "media.uploaded"),  # another installation's
        (THUMBNAIL_DLQ, "p.thumbnail.ready"),  # an uploader's own header must not make results
        (THUMBNAIL_DLQ, "p.thumbnail.dlq"),
        (THUMBNAIL_READY_DLQ, "p.media.uploaded"),
        (THUMBNAIL_PARKED, "orders"),
    ],
)
def test_no_other_topic_is_written_to(source: Topic, origin: str | None) -> None:
    found = plan(a_dead_letter(origin=origin), source)
    assert isinstance(found, Refusal)
    assert (origin or "x-original-topic") in found.reason


@pytest.mark.parametrize("source", [THUMBNAIL_READY_DLQ, THUMBNAIL_PARKED])
def test_a_result_whose_pictures_are_deleted_is_not_written_to_a_row(source: Topic) -> None:
    """Also when the row belongs to the right company by now."""
    found = plan(a_dead_letter(origin="p.thumbnail.ready", code="tenant.not_owner"), source)
    assert isinstance(found, Refusal)
    assert "publish the upload again" in found.reason


def test_a_letter_that_came_back_after_every_replay_is_parked_as_it_is() -> None:
    dead_letter = a_dead_letter(replays=3)
    found = sent(dead_letter)

    assert (found.is_parked, found.record.topic) == (True, "p.thumbnail.dlq.parked")
    assert (found.record.key, found.record.value) == (dead_letter.record.key, dead_letter.record.value)
    assert found.record.headers[: len(dead_letter.record.headers)] == dead_letter.record.headers
    assert "after 3 replays" in (h.get_header(found.record.headers, "parked-reason") or "")
    assert not sent(a_dead_letter(replays=2)).is_parked


def test_a_parked_letter_that_somebody_sends_on_gets_all_its_replays_again() -> None:
    parked = read_dead_letter(dead_letter_record(replays=3, topic="p.thumbnail.dlq.parked"))
    found = sent(parked, THUMBNAIL_PARKED)
    assert (found.is_parked, h.get_header(found.record.headers, "replay-count")) == (False, "1")
    assert h.get_header(found.record.headers, "parked-reason") is None


class Sender(KeptMarks):
    """Keeps what it is given; dies at the batch with the number `dies_at`."""

    def __init__(self, dies_at: int | None = None) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self._dies_at = dies_at

    def send(self, steps: Sequence[Step], now: datetime) -> None:
        if len(self.batches) == self._dies_at:
            raise ReplayError("The broker is gone.")
        self.batches.append([f"{dead_letter.partition}:{dead_letter.offset}" for dead_letter, _ in steps])
        self.marks += [
            marked(record, Mark(MarkState.REPLAYED, now, "p.thumbnail.due", earlier=step.decisions))
            for record, step in steps
        ]


class Clock:
    """Time that passes only while somebody waits for `stop`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.stop = threading.Event()
        self.stop.wait = self._wait  # type: ignore[method-assign, assignment] # no test waits

    def _wait(self, timeout: float) -> bool:
        self.now_s += timeout
        return self.stop.is_set()


def replay(
    dead_letters: Sequence[DeadLetter],
    sender: Sender | None,
    ledger: Ledger | None = None,
    pace: ReplayPace = ReplayPace(1000),  # noqa: B008 - a frozen value
    clock: Clock | None = None,
    named: frozenset[str] = frozenset(),
) -> ReplayReport:
    rules, clock = ReplayRules(THUMBNAIL_DLQ, Topics("p.", notifications="buckets"), 3, named), clock or Clock()
    made = DeadLetterReplay(
        rules, ledger or Ledger(), sender, pace, stop=clock.stop, now=lambda: NOW, clock=lambda: clock.now_s
    )
    return made.run(dead_letters)


def test_letters_are_sent_in_batches_and_counted() -> None:
    sender = Sender()
    dead_letters = [
        *(a_dead_letter(offset) for offset in range(450)),
        a_dead_letter(450, replays=3),
        a_dead_letter(451, origin="orders"),
    ]
    report = replay(dead_letters, sender)

    assert [len(batch) for batch in sender.batches] == [200, 200, 51]
    assert (report.sent, report.parked, report.total) == ({"p.thumbnail.due": 450}, 1, 451)
    assert list(report.refused_examples.values()) == ["0:451"]


def test_no_more_than_the_rate_are_sent_in_a_second() -> None:
    sender, clock = Sender(), Clock()
    replay([a_dead_letter(offset) for offset in range(100)], sender, pace=ReplayPace(10), clock=clock)
    assert [len(batch) for batch in sender.batches] == [10] * 10
    assert clock.now_s == pytest.approx(9.0)


def test_a_dry_run_sends_nothing_and_tells_the_same() -> None:
    dead_letters = [a_dead_letter(1), a_dead_letter(2, replays=3), a_dead_letter(3, origin=None)]
    dry, real = replay(dead_letters, None), replay(dead_letters, Sender())
    assert (dry.sent, dry.parked, dry.refused) == (real.sent, real.parked, real.refused)


def test_a_replay_that_dies_is_gone_on_with_by_the_next_and_nothing_is_sent_twice() -> None:
    dead_letters, first = [a_dead_letter(offset) for offset in range(600)], Sender(dies_at=2)
    with pytest.raises(ReplayError):
        replay(dead_letters, first)
    second = Sender()
    report = replay(dead_letters, second, Ledger.read(first.marks))

    assert report.done_before == 400
    sent_places = [place for batch in first.batches + second.batches for place in batch]
    assert sorted(sent_places) == sorted(dead_letter.position for dead_letter in dead_letters)


def test_the_limit_counts_what_is_sent_and_not_what_was_done_before() -> None:
    dead_letters, first, second = [a_dead_letter(offset) for offset in range(10)], Sender(), Sender()
    replay(dead_letters, first, pace=ReplayPace(1000, limit=4))
    replay(dead_letters, second, Ledger.read(first.marks), ReplayPace(1000, limit=4))
    assert (first.batches, second.batches) == ([["0:0", "0:1", "0:2", "0:3"]], [["0:4", "0:5", "0:6", "0:7"]])


def test_an_interrupted_replay_ends_after_the_batch_in_flight() -> None:
    clock = Clock()

    class Interrupted(Sender):
        def send(self, steps: Sequence[Step], now: datetime) -> None:
            super().send(steps, now)
            clock.stop.set()

    sender = Interrupted()
    report = replay([a_dead_letter(offset) for offset in range(500)], sender, clock=clock)
    assert ([len(batch) for batch in sender.batches], report.total, report.is_interrupted) == ([200], 200, True)


def test_letters_that_a_killed_replay_had_begun_to_send_are_named() -> None:
    dead_letters = [a_dead_letter(1), a_dead_letter(2)]
    ledger = Ledger.read([marked(dead_letters[1].record, MarkState.SENDING)])
    report = replay(dead_letters, Sender(), ledger)
    assert (report.total, report.maybe_twice) == (2, ["0:2"])


def test_a_mark_holds_only_for_the_letter_that_was_there() -> None:
    """A topic that was deleted and made again begins at offset 0 again."""
    old = dead_letter_record(0)
    new = InboundRecord(old.topic, old.partition, old.offset, old.timestamp_ms + 1, old.key, old.value, old.headers)
    ledger = Ledger.read([marked(old, MarkState.REPLAYED)])
    assert (ledger.is_done(old), ledger.is_done(new)) == (True, False)


def test_later_marks_win_null_values_remove_and_what_is_no_mark_is_ignored() -> None:
    dead_letters = [dead_letter_record(number) for number in range(3)]
    ledger = Ledger.read(
        [
            marked(dead_letters[0], MarkState.SENDING),
            marked(dead_letters[0], MarkState.REPLAYED),
            marked(dead_letters[1], MarkState.REPLAYED),
            InboundRecord("x", 0, 0, 0, b"p.thumbnail.dlq/0/1", None, ()),
            InboundRecord("x", 0, 0, 0, b"p.thumbnail.dlq/0/2", b'{"state": "eaten"}', ()),
            InboundRecord("x", 0, 0, 0, b"probe", b"1234", ()),
        ]
    )
    assert [ledger.is_done(dead_letter) for dead_letter in dead_letters] == [True, False, False]
    assert ledger.places("p.thumbnail.dlq") == [(0, 0, "p.thumbnail.dlq/0/0")]


def test_what_was_discarded_is_replayed_only_by_name_and_what_was_acknowledged_always() -> None:
    dead_letters = [a_dead_letter(offset) for offset in range(3)]
    by_ada = Mark(MarkState.DISCARDED, NOW, "", "ada", "no new file")
    ledger = ledger_of((dead_letters[0], by_ada), (dead_letters[1], MarkState.ACKNOWLEDGED))
    sender = Sender()
    report = replay(dead_letters, sender, ledger)
    assert (sender.batches, report.discarded, report.chosen.count) == ([["0:1", "0:2"]], 1, 2)

    named = Sender()
    report = replay(dead_letters[:1], named, ledger, named=frozenset({"0:0"}))
    assert (named.batches, report.discarded) == ([["0:0"]], 0)
    mark = Ledger.read(named.marks).of(dead_letters[0].record)
    assert mark is not None
    assert (mark.state, mark.earlier) == (MarkState.REPLAYED, (by_ada,))


def test_a_dry_run_tells_codes_companies_samples_and_what_fails_again() -> None:
    denied = [a_dead_letter(offset, company=1 + offset % 2, media_id=offset) for offset in range(5)]
    corrupt = a_dead_letter(9, code="media.corrupt", company=7)
    report = replay([*denied, corrupt, a_dead_letter(10, code="of.others", origin=None)], None)
    first, second = report.chosen.codes()
    assert (first.code, first.count, first.companies, first.hopeless) == ("storage.denied", 5, {1: 3, 2: 2}, None)
    assert [(one.position, one.media, one.message) for one in first.samples] == [
        (f"0:{offset}", f"video:{offset}", "No.") for offset in range(3)
    ]
    assert (second.code, second.companies) == ("media.corrupt", {7: 1})
    assert "the same file again" in (second.hopeless or "")


def test_a_mark_keeps_who_decided_what_and_why_and_not_without_end() -> None:
    dead_letter = a_dead_letter()
    mark = Mark(MarkState.ACKNOWLEDGED, NOW, "", "ada", "0")
    for number in range(1, MAX_EARLIER + 5):
        earlier = mark.decisions()
        mark = Mark(MarkState.DISCARDED, NOW, "", "bob", str(number), earlier)
        assert ledger_of((dead_letter, mark)).of(dead_letter.record) == mark
    assert [one.note for one in mark.earlier] == [str(number) for number in range(4, MAX_EARLIER + 4)]
    assert [one.note for one in mark.decisions()][-1] == str(MAX_EARLIER + 4)


@pytest.mark.parametrize("earlier", [5, "x", {}, [3, "x", {"state": "discarded"}], None])
def test_odd_decisions_of_earlier_do_no_harm(earlier: object) -> None:
    record = dead_letter_record()
    value = {"state": "discarded", "at": h.format_time(NOW), "to": "", "letter_timestamp_ms": record.timestamp_ms}
    data = json.dumps(value | {"earlier": earlier}).encode()
    ledger = Ledger.read([InboundRecord("x", 0, 0, 0, b"p.thumbnail.dlq/0/17", data, ())])
    mark = ledger.of(record)
    assert mark == Mark(MarkState.DISCARDED, NOW, "")
