"""Bugs planted into the two loops: a unit test of theirs must catch each of them."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from confluent_kafka import KafkaException

from tests.campaign.chaos.plants import ROOT, Edit
from tests.doubles import memory_loops
from tests.doubles.memory_loops import PersistLoop, RetryLoop
from tests.unit.streams.persist import test_role as persist
from tests.unit.streams.retry import test_role as retry

RETRY = "streams/retry/role.py"
PERSIST = "streams/persist/role.py"
CLIENT = "streams/kafka/client.py"

RETRY_BUGS: dict[str, tuple[Edit, Callable[[RetryLoop], None]]] = {
    "retry commits before it sends": (
        Edit(
            RETRY,
            "        self.cluster.send(",
            "        self.cluster.commit(next_offsets([w.record for w in due]))\n        self.cluster.send(",
        ),
        retry.test_a_record_is_handed_on_at_its_due_time_and_then_committed,
    ),
    "nobody flushes before the commit": (
        Edit(CLIENT, "unsent = producer.flush(timeout_s) if records else 0", "unsent = 0"),
        retry.test_a_record_is_handed_on_at_its_due_time_and_then_committed,
    ),
    "retry forgets a pause after a rebalance": (
        Edit(RETRY, "on_assign=start, ", ""),
        lambda loop: retry.test_a_paused_partition_that_goes_away_and_comes_back_is_read_again(loop, 20),
    ),
    "retry remembers what it held of a partition that went away": (
        Edit(RETRY, "            self._held.pop(partition, None)\n", ""),
        retry.test_held_records_of_a_partition_that_goes_away_are_left_to_its_next_owner,
    ),
    "retry seeks to the first of the held records": (
        Edit(RETRY, "held[-1].record.offset + 1", "held[0].record.offset + 1"),
        retry.test_after_a_wait_the_partition_goes_on_from_the_record_after_the_held_ones,
    ),
    "retry seeks one record too far": (
        Edit(RETRY, "held[-1].record.offset + 1", "held[-1].record.offset + 2"),
        retry.test_after_a_wait_the_partition_goes_on_from_the_record_after_the_held_ones,
    ),
    "retry hands on a second too early": (
        Edit(RETRY, "held[0].due_s <= now_s", "held[0].due_s - 1 <= now_s"),
        retry.test_a_record_that_is_not_due_holds_back_those_behind_it_and_hastens_none,
    ),
}
"""Each with the test that catches it."""

PERSIST_BUGS: dict[str, tuple[Edit, Callable[[PersistLoop], None]]] = {
    "persist commits before it sends": (
        Edit(
            PERSIST,
            "        try:\n            self.cluster.send(",
            "        self.cluster.commit(next_offsets(batch.records))\n        try:\n            self.cluster.send(",
        ),
        persist.test_rows_are_written_then_states_dead_letters_and_cleanups_sent_then_offsets_committed,
    ),
    "persist commits the next batch when a dead letter could not be sent": (
        Edit(
            PERSIST,
            "        self._pending = None\n        if batch",
            "        self._pending = following\n        if batch",
        ),
        lambda loop: persist.test_a_dead_letter_that_cannot_be_sent_is_never_passed_by_a_commit(
            loop, persist.refuse_delivery, has_next=True
        ),
    ),
    "persist forgets a pause after a rebalance": (
        Edit(PERSIST, "on_assign=self.positions.starter(), ", ""),
        persist.test_a_partition_that_was_paused_for_the_database_and_comes_back_later_is_read,
    ),
    "persist does not seek back while the database is down": (
        Edit(CLIENT, "record.partition, record.offset))", "record.partition, record.offset + 1))"),
        persist.test_records_of_a_partition_that_comes_during_a_database_outage_are_written_after_it,
    ),
    "a poison record takes a neighbour with it": (
        Edit("streams/persist/batch.py", "self.write(items[middle:])", "self.write(items[middle + 1 :])"),
        lambda loop: persist.test_a_poison_record_becomes_a_dead_letter_and_its_neighbours_are_written(loop, 1),
    ),
}


def plant(edit: Edit, role_path: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the role, with the change in it or in a module that it imports."""
    module = _load(edit.path, monkeypatch, edit)
    if edit.path == CLIENT:
        _load("streams/kafka/waiting.py", monkeypatch)
    return module if edit.path == role_path else _load(role_path, monkeypatch)


def _load(path: str, monkeypatch: pytest.MonkeyPatch, edit: Edit | None = None) -> ModuleType:
    text = Path(ROOT, path).read_text()
    if edit is not None:
        assert text.count(edit.old) == 1, f"{path} has changed: the bug cannot be planted as it is written here"
        text = text.replace(edit.old, edit.new)
    module = ModuleType(path.removesuffix(".py").replace("/", "."))
    monkeypatch.setitem(sys.modules, module.__name__, module)  # for its dataclasses, and for what is loaded after it
    exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 - our own source
    return module


@pytest.mark.parametrize("name", RETRY_BUGS)
def test_a_bug_in_the_retry_loop_is_caught(name: str, retry_loop: RetryLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    edit, catch = RETRY_BUGS[name]
    monkeypatch.setattr(memory_loops, "RetryRole", plant(edit, RETRY, monkeypatch).RetryRole)
    with pytest.raises((AssertionError, KafkaException), match=r"assert|Failed to seek"):
        catch(retry_loop)


@pytest.mark.parametrize("name", PERSIST_BUGS)
def test_a_bug_in_the_persist_loop_is_caught(
    name: str, persist_loop: PersistLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit, catch = PERSIST_BUGS[name]
    monkeypatch.setattr(memory_loops, "PersistRole", plant(edit, PERSIST, monkeypatch).PersistRole)
    with pytest.raises((AssertionError, KafkaException), match=r"assert|Failed to seek"):
        catch(persist_loop)
