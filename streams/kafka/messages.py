"""The oddities of confluent-kafka's messages: header names that are not UTF-8, and batches that nobody can read."""

import gc
from collections.abc import Callable
from operator import methodcaller
from typing import Any, Final, cast

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
    """Return the headers; a name that is no UTF-8 is replaced, and its value and all other headers stay.

    For such a name confluent-kafka 2.16 sets an error, but returns its list all the same, with tuples that have no
    first item. Delete all of this when the client decodes such names.
    """
    try:
        found = _CALL_HEADERS(message)
    except SystemError:
        found = _CALL_HEADERS(message)  # the list that was made
    headers = cast(Headers, tuple(found or ()))
    if len(gc.get_referents(*headers)) == 2 * len(headers):
        return headers
    return tuple(_repaired(header) for header in headers)


_CALL_HEADERS: Final[Callable[[Message], Any]] = methodcaller("headers")
"""Not called directly: a call that the interpreter has optimised does not look for the error, which then stays set."""


def _repaired(header: tuple[str, bytes | None]) -> tuple[str, bytes | None]:
    """Return a header that has a name. The item that is missing must not be touched: the interpreter would crash."""
    return header if len(gc.get_referents(header)) == len(header) else (UNKNOWN_NAME, header[1])


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
