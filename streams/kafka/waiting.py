"""Wait for a cluster that takes neither records nor offsets for now: a restart of the role would not help."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.client import commit_offsets, explain_fault, is_passing, send_and_wait
from streams.kafka.ports import KafkaClients, TopicPartition
from streams.kafka.records import OutboundRecord
from streams.tracing import Tracing

log = structlog.get_logger(__name__)

PAUSE_S: Final = 1.0
OFFSETS: Final = "__consumer_offsets"
"""Kafka's own topic, where groups keep their offsets."""
_STOP_CHECK_S: Final = 0.1
# librdkafka's public constants begin with an underscore.
_CLUSTER_UNWELL: Final = frozenset(
    {
        *(KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REQUEST_TIMED_OUT),
        *(KafkaError.REPLICA_NOT_AVAILABLE, KafkaError.NETWORK_EXCEPTION, KafkaError.KAFKA_STORAGE_ERROR),
        *(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR),
        *(KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND),
        *(KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._WAIT_COORD, KafkaError._QUEUE_FULL),  # noqa: SLF001
    }
)
T = TypeVar("T")


class ClusterWait:
    """Sends and commits again what the cluster does not take, until it does. `problem` says why, while it does not.

    A repeated send can write a record twice: its readers have to bear that anyway, for a role can die before it commits.
    Every method raises KafkaException when it does not pass by itself, or when the role is to stop.
    """

    def __init__(self, clients: KafkaClients, is_stopping: Callable[[], bool]) -> None:
        self.problem: str | None = None
        self._clients: Final = clients
        self._is_stopping: Final = is_stopping

    def send(self, records: list[OutboundRecord], tracing: Tracing) -> None:
        """Return when all in-sync replicas have every record."""
        if records:
            self.until_taken(records[0].topic, lambda: send_and_wait(self._clients.producer, records, tracing))

    def commit(self, offsets: dict[TopicPartition, int]) -> bool:
        """Commit, and return whether the group took it."""
        return self.until_taken(OFFSETS, lambda: commit_offsets(self._clients.consumer, offsets))

    def send_once(self, records: list[OutboundRecord], tracing: Tracing) -> None:
        """Return when all in-sync replicas have every record; raise NotAcknowledgedError at once when they do not take it."""
        send_and_wait(self._clients.producer, records, tracing)

    def until_taken(self, what: str, action: Callable[[], T]) -> T:
        """Repeat `action`, which sends to `what`, until the cluster takes it; return its result."""
        while True:
            try:
                result = action()
            except KafkaException as exc:
                if self._is_stopping() or not will_pass(exc):
                    raise
                self.problem = explain_fault(exc)
                log.warning("broker_ack_delayed", to=what, reason=self.problem)
                self._pause()
            else:
                self.problem = None
                return result

    def _pause(self) -> None:
        for _ in range(round(PAUSE_S / _STOP_CHECK_S)):
            if self._is_stopping():
                return
            self._clients.producer.poll(_STOP_CHECK_S)


def will_pass(exc: BaseException) -> bool:
    """Return whether the error, of either client, is one of a cluster that is unwell, and passes when that is well again."""
    if isinstance(exc, KafkaException):
        error: Any = exc.args[0]
        return not error.fatal() and (error.code() in _CLUSTER_UNWELL or is_passing(error))
    if getattr(exc, "retriable", False) is True:
        return True
    return exc.__cause__ is not None and will_pass(exc.__cause__)
