"""Acknowledging and discarding: what changes, what stays, who said so, and that running it again changes nothing."""

import threading
from collections.abc import Sequence

import pytest

from streams.dlq.decide import BATCH, DeadLetterDecision, Decision, DecisionReport
from streams.dlq.ledger import Ledger, Mark, MarkState
from streams.dlq.read import DeadLetter
from streams.kafka.records import InboundRecord
from tests.doubles.letters import KeptMarks, a_dead_letter, ledger_of
from tests.doubles.pipeline import NOW

ACK = Decision(MarkState.ACKNOWLEDGED, "ada@ops", "ticket 7")
DISCARD = Decision(MarkState.DISCARDED, "bob@ops", "no new file")


def decide(
    decision: Decision, dead_letters: Sequence[DeadLetter], ledger: Ledger, sender: KeptMarks | None
) -> DecisionReport:
    return DeadLetterDecision(decision, ledger, sender, threading.Event(), lambda: NOW).run(dead_letters)


@pytest.mark.parametrize("decision", [ACK, DISCARD])
def test_a_decision_has_a_name_a_time_and_a_note_and_is_made_once(decision: Decision) -> None:
    dead_letters, sender = [a_dead_letter(offset) for offset in range(3)], KeptMarks()
    report = decide(decision, dead_letters, Ledger(), sender)
    ledger = Ledger.read(sender.marks)
    assert (report.chosen.count, report.decided_before) == (3, 0)
    for dead_letter in dead_letters:
        assert ledger.of(dead_letter.record) == Mark(decision.state, NOW, "", decision.by, decision.note)
        assert not ledger.needs_attention(dead_letter.record)
        assert not ledger.is_done(dead_letter.record)

    again = KeptMarks()
    report = decide(decision, dead_letters, ledger, again)
    assert (again.marks, report.chosen.count, report.decided_before) == ([], 0, 3)


def test_a_dry_run_counts_and_marks_nothing() -> None:
    report = decide(DISCARD, [a_dead_letter(code="media.corrupt", company=4)], Ledger(), None)
    (found,) = report.chosen.codes()
    assert (found.code, found.count, found.companies) == ("media.corrupt", 1, {4: 1})


def test_what_was_replayed_or_parked_stays_so_and_what_was_perhaps_sent_is_told() -> None:
    """Else a later replay would send it twice."""
    dead_letters, sender = [a_dead_letter(offset) for offset in range(3)], KeptMarks()
    states = (MarkState.REPLAYED, MarkState.PARKED, MarkState.SENDING)
    for decision in (ACK, DISCARD):
        report = decide(decision, dead_letters, ledger_of(*zip(dead_letters, states, strict=True)), sender)
        assert (sender.marks, report.replayed_before, report.half_sent) == ([], 2, ["0:2"])


def test_an_acknowledged_one_may_be_discarded_and_both_decisions_are_kept() -> None:
    dead_letter, sender = a_dead_letter(), KeptMarks()
    first = Mark(MarkState.ACKNOWLEDGED, NOW, "", "ada@ops", "ticket 7")
    decide(DISCARD, [dead_letter], ledger_of((dead_letter, first)), sender)
    mark = Ledger.read(sender.marks).of(dead_letter.record)
    assert mark == Mark(MarkState.DISCARDED, NOW, "", "bob@ops", "no new file", (first,))


def test_what_was_discarded_is_taken_back_only_by_name() -> None:
    dead_letter, sender = a_dead_letter(), KeptMarks()
    ledger = ledger_of((dead_letter, Mark(MarkState.DISCARDED, NOW, "", "bob", "x")))
    report = decide(ACK, [dead_letter], ledger, sender)
    assert (sender.marks, report.left_discarded) == ([], 1)

    named = Decision(ACK.state, ACK.by, ACK.note, frozenset({"0:17"}))
    report = decide(named, [dead_letter], ledger, sender)
    mark = Ledger.read(sender.marks).of(dead_letter.record)
    assert mark is not None
    assert (mark.state, report.not_found) == (MarkState.ACKNOWLEDGED, [])


def test_a_named_one_that_is_not_there_is_told() -> None:
    named = Decision(ACK.state, ACK.by, ACK.note, frozenset({"0:17", "0:99"}))
    assert decide(named, [a_dead_letter()], Ledger(), KeptMarks()).not_found == ["0:99"]


def test_the_limit_counts_what_changes() -> None:
    dead_letters, sender = [a_dead_letter(offset) for offset in range(5)], KeptMarks()
    limited = Decision(ACK.state, ACK.by, ACK.note, limit=2)
    ledger = ledger_of((dead_letters[0], MarkState.ACKNOWLEDGED))
    report = decide(limited, dead_letters, ledger, sender)
    assert (report.chosen.count, report.decided_before) == (2, 1)
    assert [record.key for record in sender.marks] == [b"p.thumbnail.dlq/0/1", b"p.thumbnail.dlq/0/2"]


def test_batches_are_bounded_and_an_interruption_ends_it_after_one() -> None:
    stop = threading.Event()

    class Interrupted(KeptMarks):
        def mark(self, marks: Sequence[tuple[InboundRecord, Mark]]) -> None:
            super().mark(marks)
            stop.set()

    dead_letters, sender = [a_dead_letter(offset) for offset in range(BATCH + 5)], Interrupted()
    report = DeadLetterDecision(ACK, Ledger(), sender, stop, lambda: NOW).run(dead_letters)
    assert (sender.mark_batches, report.chosen.count, report.is_interrupted) == ([BATCH], BATCH, True)
    rest = KeptMarks()
    decide(ACK, dead_letters, Ledger.read(sender.marks), rest)
    assert rest.mark_batches == [5]
