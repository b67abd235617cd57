"""The producer of the in-memory broker."""

import zlib
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from streams.kafka.ports import DeliveryCallback, TopicPartition
from tests.doubles.memory_kafka.broker import Log, MemoryBroker, NewRecord, Transaction, TransactionState
from tests.doubles.memory_kafka.client import ScriptedClient


class MemoryProducer(ScriptedClient):
    """Sends what is queued when it is polled or flushed. Equal keys share a partition; records without a key take 0."""

    def __init__(self, broker: MemoryBroker, *, queue_size: int = 100_000, max_bytes: int = 16 * 1024**2) -> None:
        super().__init__(broker)
        self._queue: list[tuple[TopicPartition, NewRecord, DeliveryCallback | None]] = []
        self._queue_size = queue_size
        self._max_bytes = max_bytes
        self._transaction: Transaction | None = None
        self._touched: dict[int, Log] = {}
        self.is_cut_off = False
        """While it is, no broker answers: nothing is acknowledged or refused."""

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        *,
        partition: int = -1,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        self._arrive("produce")
        self._raise_fault("produce")
        if len(self._queue) >= self._queue_size:
            raise BufferError("Local: Queue full")
        if len(value or b"") > self._max_bytes:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        count = self._broker.partitions_of(topic)
        if count and partition >= count:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        chosen = partition if partition >= 0 else zlib.crc32(key or b"") % max(count, 1) if key else 0
        record = NewRecord(key, value, list(headers or []), timestamp or self._broker.clock.now_ms())
        self._queue.append(((topic, chosen), record, on_delivery))

    def poll(self, timeout: float = -1) -> int:
        self._arrive("poll")
        count = len(self._queue)
        self._send()
        if len(self._queue) == count:
            self._broker.clock.wait(max(timeout, 0.0))
        return count - len(self._queue)

    def flush(self, timeout: float = -1) -> int:
        self._arrive("flush")
        self._send()
        if self._queue:
            self._broker.clock.wait(max(timeout, 0.0), until=lambda: not self.is_cut_off)
            self._send()
        return len(self._queue)

    def __len__(self) -> int:
        return len(self._queue)

    def _send(self) -> None:
        while self._queue and not self.is_cut_off:
            self._arrive("deliver")
            (topic, partition), record, on_delivery = self._queue.pop(0)
            error = self._fault("deliver")
            message = Message(topic=topic, partition=partition, key=record.key, value=record.value)
            if error is None:
                try:
                    message = self._append(self._broker.log((topic, partition)), record)
                except KafkaException as exc:
                    error = exc.args[0]
            if on_delivery is not None:
                on_delivery(error if isinstance(error, KafkaError) else None, message)

    def _append(self, log: Log, record: NewRecord) -> Message:
        message = log.append(record, self._transaction)
        self._touched[id(log)] = log
        self._broker.journal.append(f"sent {message.topic()}")
        return message

    def init_transactions(self, timeout: float = -1) -> None:  # noqa: ARG002 - as confluent-kafka's
        self._arrive("init_transactions")

    def begin_transaction(self) -> None:
        self._arrive("begin_transaction")
        self._transaction, self._touched = Transaction(), {}

    def commit_transaction(self, timeout: float = -1) -> None:  # noqa: ARG002 - as confluent-kafka's
        self._arrive("commit_transaction")
        self._send()
        self._end(TransactionState.COMMITTED)

    def abort_transaction(self, timeout: float = -1) -> None:  # noqa: ARG002 - as confluent-kafka's
        self._arrive("abort_transaction")
        self._queue.clear()
        self._end(TransactionState.ABORTED)

    def _end(self, state: TransactionState) -> None:
        if self._transaction is not None:
            self._transaction.state = state
        for log in self._touched.values():
            log.append_marker(self._broker.clock.now_ms())
        self._transaction, self._touched = None, {}
