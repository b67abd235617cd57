"""A batch of replays whose transaction fails: sent again where the broker has undone it, and never twice."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.dlq.ledger import Mark, MarkState
from streams.dlq.sender import ReplayError, TransactionalSender
from tests.doubles.letters import dead_letter_record
from tests.doubles.memory_kafka.broker import MemoryBroker, TransactionState
from tests.doubles.memory_kafka.clock import VirtualClock
from tests.doubles.memory_kafka.producer import MemoryProducer
from tests.doubles.pipeline import NOW

LEDGER = "p.thumbnail.dlq.replays"
LETTERS = [dead_letter_record(offset) for offset in range(3)]
TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)


class Cluster:
    """A ledger, and a producer whose calls can fail."""

    def __init__(self) -> None:
        self._broker = MemoryBroker(VirtualClock())
        self._broker.create_topic(LEDGER, 1)
        self.producer = MemoryProducer(self._broker)

    def mark(self) -> None:
        marks = [(letter, Mark(MarkState.DISCARDED, NOW, "")) for letter in LETTERS]
        TransactionalSender(cast(Any, self.producer), LEDGER).mark(marks)

    def committed(self) -> int:
        entries = self._broker.log((LEDGER, 0)).entries
        return sum(
            one.transaction is not None and one.transaction.state is TransactionState.COMMITTED for one in entries
        )


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("code", [KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT])
def test_a_batch_that_was_undone_because_no_broker_acknowledged_it_is_sent_again(times: int, code: int) -> None:
    cluster = Cluster()
    for _ in range(times):
        cluster.producer.fail("deliver", KafkaError(code))
    cluster.mark()
    assert cluster.committed() == len(LETTERS)


def test_it_is_given_up_after_three_attempts_and_nothing_of_it_shows() -> None:
    cluster = Cluster()
    begun: list[None] = []
    for _ in range(4):
        cluster.producer.before("begin_transaction", lambda: begun.append(None))
        for _ in LETTERS:
            cluster.producer.fail("deliver", TIMED_OUT)
    with pytest.raises(ReplayError, match=r"The last batch was not marked: .*Run it again"):
        cluster.mark()
    assert (len(begun), cluster.committed()) == (3, 0)


def _cannot() -> None:
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


@pytest.mark.parametrize(
    ("error", "at_the_end"),
    [(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), lambda: None), (TIMED_OUT, _cannot)],
    ids=["what no second attempt changes", "what may not be undone"],
)
def test_it_is_not_sent_again_after(error: KafkaError, at_the_end: Callable[[], None]) -> None:
    cluster = Cluster()
    cluster.producer.fail("deliver", error)
    cluster.producer.before("abort_transaction", at_the_end)
    with pytest.raises(ReplayError, match="Run it again"):
        cluster.mark()
    assert cluster.committed() == 0
