"""Sends a batch of replays together with the marks that say so: in one transaction where the broker has them.

The same senders mark people's decisions about dead letters, so that no running replay sends a discarded one.

With transactions (Apache Kafka) a batch and its marks become visible together or not at all: a replay that is killed
at any moment has replayed each dead letter once or not at all, and the next one knows which. The transactional id is one for
all replays of an installation, so that a second replay fences the first instead of sending the same dead letters beside it.

Without them a batch takes three steps, each acknowledged before the next: 1 marks «sending», 2 the records, 3 marks
«replayed». Killed between 1 and 3, the batch is sent again by the next replay, which says which dead letters may come twice.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas import headers as h
from schemas.headers import Headers
from streams.dlq.ledger import Ledger, Mark, MarkState, mark_record
from streams.dlq.plan import Send
from streams.kafka.client import send_and_wait
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.tracing import Tracing, sending

TRANSACTION_TIMEOUT_MS: Final = 10_000
"""A killed replay holds up the readers of its target partitions until the broker aborts its transaction: soon, then.

The broker looks for such transactions every 10 s, so it takes 20 s at most; the next replay ends it at once.
"""
CALL_TIMEOUT_S: Final = 30.0
MOST_ATTEMPTS: Final = 3
"""A batch whose brokers were away for longer than a transaction may take is sent again: they may be back, or replaced."""
_QUIET: Final = logging.Logger("librdkafka", logging.CRITICAL + 1)
"""Ignore librdkafka's error callback: the same error also comes as an exception."""
_PROBE: Final = b"probe"
_NOT_ACKNOWLEDGED: Final = frozenset(
    {
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001 - librdkafka's public constants begin with an underscore
        KafkaError._PURGE_QUEUE,  # noqa: SLF001 - as above; so end the other records of a transaction that has failed
        KafkaError._PURGE_INFLIGHT,  # noqa: SLF001 - as above
    }
)
_NO_TRANSACTIONS: Final = frozenset(
    {
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001 - librdkafka's public constants begin with an underscore
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.INVALID_REQUEST,
    }
)

Step = tuple[InboundRecord, Send]
"""A dead letter, and what is to be sent for it."""


class ReplayError(Exception):
    """A batch was not replayed; the message says why and what to do. Dead letters replayed before the error are marked."""


class ReplaySender(Protocol):
    """Sends batches; a batch that send() returned from is replayed and marked."""

    is_transactional: bool
    """Whether a batch that is cut short by a kill is surely sent once in the end."""

    def send(self, steps: Sequence[Step], now: datetime) -> None:
        """Replay a batch. Raises ReplayError."""

    def mark(self, marks: Sequence[tuple[InboundRecord, Mark]]) -> None:
        """Write marks of dead letters that are not sent. Raises ReplayError."""


@dataclass(frozen=True)
class SenderOptions:
    """librdkafka's settings of a producer, the id under which only one replay is at work, and the ledger's topic."""

    producer: Mapping[str, Any]
    transactional_id: str
    ledger_topic: str


def open_sender(
    options: SenderOptions, read_ledger: Callable[[], Iterable[InboundRecord]]
) -> tuple[ReplaySender, Ledger]:
    """Return the sender that this broker allows for, and the ledger as no other replay can change it any more.

    The order matters: first the id is taken, which ends the transaction of a replay that was killed, or that is still
    at work; only then is the ledger final. A probe finds out whether the broker hides aborted transactions: some accept
    transactions and show aborted records. Raises ReplayError, TopicReadError.
    """
    probe = uuid4().hex.encode()
    producer = _take_the_id(options, probe)
    seen = threading.Event()

    def looking_for_the_probe() -> Iterator[InboundRecord]:
        for record in read_ledger():
            if record.key == _PROBE and record.value == probe:
                seen.set()
            yield record

    ledger = Ledger.read(looking_for_the_probe())
    if producer is not None and not seen.is_set():
        return TransactionalSender(producer, options.ledger_topic), ledger
    return AcknowledgedSender(Producer(dict(options.producer)), options.ledger_topic), ledger


def _take_the_id(options: SenderOptions, probe: bytes) -> Producer | None:
    """Return a producer with the transactional id, after an aborted probe; None where the broker knows no transactions."""
    settings = {"transactional.id": options.transactional_id, "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS}
    timeouts = {"delivery.timeout.ms": TRANSACTION_TIMEOUT_MS}
    producer = Producer(dict(options.producer) | settings | timeouts, logger=_QUIET)
    try:
        producer.init_transactions(CALL_TIMEOUT_S)
        producer.begin_transaction()
        producer.produce(options.ledger_topic, key=_PROBE, value=probe)
        producer.flush(CALL_TIMEOUT_S)
        producer.abort_transaction(CALL_TIMEOUT_S)
    except KafkaException as exc:
        error: KafkaError = exc.args[0]
        if error.code() in _NO_TRANSACTIONS:
            return None
        raise ReplayError(f"It cannot begin: {_sentence(error)}") from exc
    return producer


class TransactionalSender:
    """Replays a batch and marks it in one transaction."""

    is_transactional = True

    def __init__(self, producer: Producer, ledger_topic: str) -> None:
        self._producer: Final = producer
        self._ledger_topic: Final = ledger_topic

    def send(self, steps: Sequence[Step], now: datetime) -> None:
        """See the contract."""
        records = [*(step.record for _, step in steps), *_marks(self._ledger_topic, steps, now)]
        self._commit(records, "replayed")

    def mark(self, marks: Sequence[tuple[InboundRecord, Mark]]) -> None:
        """See the contract."""
        self._commit([mark_record(self._ledger_topic, dead_letter, mark) for dead_letter, mark in marks], "marked")

    def _commit(self, records: Sequence[OutboundRecord], done: str) -> None:
        with _telling_errors(f"The last batch was not {done}"):
            for attempts_left in reversed(range(MOST_ATTEMPTS)):
                self._producer.begin_transaction()
                try:
                    send_and_wait(self._producer, records, timeout_s=CALL_TIMEOUT_S)
                    break
                except KafkaException as exc:
                    is_undone = self._abort()
                    if not (attempts_left and is_undone and exc.args[0].code() in _NOT_ACKNOWLEDGED):
                        raise  # the first error says more than that of the end
        with _telling_errors(f"The broker did not say whether the last batch was {done}; the next command will know"):
            self._producer.commit_transaction(CALL_TIMEOUT_S)

    def _abort(self) -> bool:
        """Return whether the broker has undone the transaction, so that the batch may be sent again."""
        for _ in range(MOST_ATTEMPTS):
            try:
                self._producer.abort_transaction(CALL_TIMEOUT_S)
            except KafkaException as exc:
                if not exc.args[0].retriable():  # as librdkafka's documentation of the call says
                    return False
            else:
                return True
        return False


class AcknowledgedSender:
    """Replays a batch between two marks, for brokers without transactions."""

    is_transactional = False

    def __init__(self, producer: Producer, ledger_topic: str) -> None:
        self._producer: Final = producer
        self._ledger_topic: Final = ledger_topic

    def send(self, steps: Sequence[Step], now: datetime) -> None:
        """See the contract."""
        with _telling_errors(
            "The last batch was perhaps replayed; the next replay says which dead letters may come twice"
        ):
            send_and_wait(self._producer, _marks(self._ledger_topic, steps, now, state=MarkState.SENDING))
            send_and_wait(self._producer, [step.record for _, step in steps])
            send_and_wait(self._producer, _marks(self._ledger_topic, steps, now))

    def mark(self, marks: Sequence[tuple[InboundRecord, Mark]]) -> None:
        """See the contract."""
        records = [mark_record(self._ledger_topic, dead_letter, mark) for dead_letter, mark in marks]
        with _telling_errors("The last batch was perhaps not marked"):
            send_and_wait(self._producer, records)


class TracedSender:
    """Wrap a sender: each dead letter that it sends continues the trace in which the record failed."""

    def __init__(self, inner: ReplaySender, tracing: Tracing) -> None:
        self.is_transactional = inner.is_transactional
        self._inner: Final = inner
        self._tracing: Final = tracing

    def send(self, steps: Sequence[Step], now: datetime) -> None:
        """See the contract."""
        received = [self._tracing.receive(dead_letter) for dead_letter, _ in steps]
        planned = [
            replace(step.record, headers=_continued(step.record.headers, dead_letter.headers))
            for (_, step), (dead_letter, _) in zip(steps, received, strict=True)
        ]
        try:
            with sending(self._tracing, planned) as records:
                traced = [
                    (dead_letter, replace(step, record=record))
                    for (dead_letter, step), record in zip(steps, records, strict=True)
                ]
                self._inner.send(traced, now)
        except BaseException as exc:
            for _, span in received:
                span.end(type(exc).__name__)
            raise
        for _, span in received:
            span.end()

    def mark(self, marks: Sequence[tuple[InboundRecord, Mark]]) -> None:
        """See the contract. A mark has no trace."""
        self._inner.mark(marks)


def _continued(headers: Headers, dead_letter: Headers) -> Headers:
    """Return `headers` with the trace of `dead_letter`."""
    trace = {name: value for name, value in dead_letter if name in (h.TRACEPARENT, h.TRACESTATE)}
    there = {name for name, _ in headers}
    changed = tuple((name, trace.get(name, value)) for name, value in headers)
    return changed + tuple((name, value) for name, value in trace.items() if name not in there)


def _marks(topic: str, steps: Sequence[Step], now: datetime, *, state: MarkState | None = None) -> list[OutboundRecord]:
    return [
        mark_record(topic, dead_letter, Mark(state or _state(step), now, step.record.topic, earlier=step.decisions))
        for dead_letter, step in steps
    ]


def _state(step: Send) -> MarkState:
    return MarkState.PARKED if step.is_parked else MarkState.REPLAYED


@contextmanager
def _telling_errors(consequence: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as exc:
        raise ReplayError(f"{consequence}: {_sentence(exc.args[0])}") from exc


def _sentence(error: KafkaError) -> str:
    fenced = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)  # noqa: SLF001 - public
    if error.code() in fenced:
        return "another replay, ack or discard has taken over. Wait until it ends, then run this one again if dead letters are left."
    if error.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._MSG_TIMED_OUT):  # noqa: SLF001 - its public name
        return f"{error.str()}. Run it again: it goes on where it stopped; --limit and filters find the dead letter."
    return f"{error.str()}. Run it again: it goes on where it stopped."
