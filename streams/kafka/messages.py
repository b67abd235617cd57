"""What confluent-kafka's messages hold beside plain values: header names that are no UTF-8, and batches that nobody can read."""

import gc
from typing import Final, cast

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.headers import Headers
from streams.kafka.ports import TopicPartition

UNKNOWN_NAME: Final = "\ufffd"
"""Stands for a header name that is no UTF-8."""
# librdkafka's public constants begin with an underscore.
_UNREADABLE: Final = frozenset(
    {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED, KafkaError.INVALID_MSG}  # noqa: SLF001
)


def headers_of(message: Message) -> Headers:
    """Return the headers; a name that is no UTF-8 is replaced, and its value and all other headers stay."""
    try:
        found = message.headers()
    except SystemError:  # such a name, in confluent-kafka 2.16: delete this when the client decodes it
        found = message.headers()  # now the list that it had made: the tuple of such a header has no first item
        return tuple(_repaired(cast(tuple[str, bytes | None], header)) for header in found or [])
    return tuple(cast(list[tuple[str, bytes | None]], found or []))


def _repaired(header: tuple[str, bytes | None]) -> tuple[str, bytes | None]:
    """Return a header that has a name. The item that is missing must not be touched: Python would crash."""
    if len(gc.get_referents(header)) == len(header):
        return header
    return UNKNOWN_NAME, header[1]


class UnreadableBatchError(KafkaException):
    """The records from `offset` on, up to `last_offset` where that is known, cannot be read; `str` says what to do.

    It ends the role, at each start: if it went on by itself, records would be lost in silence.
    """

    def __init__(self, partition: TopicPartition, offset: int, reason: str, last_offset: int | None = None) -> None:
        super().__init__(KafkaError(KafkaError._BAD_MSG, reason))  # noqa: SLF001 - librdkafka's public constant
        self.partition: Final = (partition[0], partition[1])
        self.offset: Final = offset
        self.last_offset: Final = last_offset
        self._reason: Final = reason.rstrip(".")

    def __str__(self) -> str:
        topic, number = self.partition
        last = "" if self.last_offset in (None, self.offset) else f" to {self.last_offset}"
        return (
            f"A batch of {topic} cannot be read: partition {number}, offset {self.offset}{last} ({self._reason})."
            " The section 'A batch that cannot be read' of docs/runbooks.md says how to go past it"
        )

    @property
    def log_fields(self) -> dict[str, object]:
        """Return topic, partition and offsets."""
        topic, number = self.partition
        return {"topic": topic, "partition": number, "offset": self.offset, "last_offset": self.last_offset}


def is_unreadable(error: KafkaError) -> bool:
    """Return whether a consumer reports that it cannot read what a broker has sent."""
    return error.code() in _UNREADABLE


def unreadable_at(message: Message, error: KafkaError) -> UnreadableBatchError:
    """Return the error that names the place of such a report, which comes in the form of a message."""
    partition = (message.topic() or "", message.partition() or 0)
    return UnreadableBatchError(partition, message.offset() or 0, error.str())
