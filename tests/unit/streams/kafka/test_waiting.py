"""What a cluster does not take for now is sent and committed again, and it is said why meanwhile."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.ports import KafkaClients, KafkaConsumer
from streams.kafka.records import OutboundRecord
from streams.kafka.waiting import ClusterWait, will_pass
from streams.tracing import NO_TRACING
from tests.doubles.memory_kafka.producer import MemoryProducer
from tests.doubles.memory_topics import Kafka

PASSING = (
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._AUTHENTICATION,
)
LASTING = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.UNKNOWN_TOPIC_OR_PART)
RECORD = OutboundRecord("t", None, b"a", ())


class OtherClientError(Exception):
    """As aiokafka's errors, which say themselves whether they pass."""

    def __init__(self, *, retriable: bool) -> None:
        super().__init__()
        self.retriable = retriable


class RefusingConsumer:
    """Refuses so many commits."""

    def __init__(self, refusals: int) -> None:
        self.left = refusals

    def commit(self, **_arguments: Any) -> None:
        self.left -= 1
        if self.left >= 0:
            raise KafkaException(KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE))


def clients(producer: MemoryProducer, refusals: int = 0) -> KafkaClients:
    return KafkaClients(cast(KafkaConsumer, RefusingConsumer(refusals)), producer)


def refuse(producer: MemoryProducer, times: int, code: int, then: Callable[[], None] = lambda: None) -> None:
    """`then` is called as it delivers for the last time."""
    for _ in range(times):
        producer.fail("deliver", KafkaError(code))
    producer.before("deliver", then, skip=times)


@pytest.mark.parametrize("code", PASSING)
def test_a_record_is_sent_again_and_the_problem_is_known_meanwhile(kafka_in_memory: Kafka, code: int) -> None:
    producer = MemoryProducer(kafka_in_memory.broker)
    wait, seen = ClusterWait(clients(producer), lambda: False), list[str | None]()
    refuse(producer, 2, code, lambda: seen.append(wait.problem))
    wait.send([RECORD], NO_TRACING)
    assert [record.value for record in kafka_in_memory.broker.records("t")] == [b"a"]
    assert len(seen) == 1
    assert seen[0]
    assert wait.problem is None


@pytest.mark.parametrize("code", LASTING)
def test_what_does_not_pass_is_raised_at_once(kafka_in_memory: Kafka, code: int) -> None:
    producer = MemoryProducer(kafka_in_memory.broker)
    refuse(producer, 1, code)
    with pytest.raises(KafkaException):
        ClusterWait(clients(producer), lambda: False).send([RECORD], NO_TRACING)


def test_offsets_are_committed_again(kafka_in_memory: Kafka) -> None:
    wait = ClusterWait(clients(MemoryProducer(kafka_in_memory.broker), refusals=3), lambda: False)
    assert wait.commit({("t", 0): 1})


def test_a_role_that_is_to_stop_does_not_wait(kafka_in_memory: Kafka) -> None:
    producer = MemoryProducer(kafka_in_memory.broker)
    refuse(producer, 1, KafkaError.NOT_ENOUGH_REPLICAS)
    with pytest.raises(KafkaException):
        ClusterWait(clients(producer), lambda: True).send([RECORD], NO_TRACING)


@pytest.mark.parametrize("passes", [True, False])
def test_errors_of_the_worker_s_client_say_themselves_whether_they_pass_also_when_they_are_wrapped(
    *, passes: bool
) -> None:
    error = OtherClientError(retriable=passes)
    assert will_pass(error) is passes
    wrapped = RuntimeError()
    wrapped.__cause__ = error
    assert will_pass(wrapped) is passes
    assert not will_pass(RuntimeError())
