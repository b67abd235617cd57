"""Sends records that have neither key nor value: aiokafka's producer refuses them, although Kafka takes them."""

from collections.abc import Awaitable
from typing import Any, Final

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped] # it has no stubs
from faust.transport.drivers import aiokafka as driver

_NO_VALUE: Final = object()
"""Stands for a null value until aiokafka has looked at it."""


class AnyRecordProducer(AIOKafkaProducer):  # type: ignore[misc] # it has no stubs
    """An aiokafka producer whose records may lack key and value.

    Such a record came from a producer; its dead letter must be the same. An assertion of aiokafka's `send` stands
    against it, before the value's serializer is called.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, value_serializer=_serialized)

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, **others: Any
    ) -> Awaitable[Any]:
        """Schedule a record, as aiokafka does."""
        has_neither = value is None and key is None
        sending: Awaitable[Any] = await super().send(topic, _NO_VALUE if has_neither else value, key, **others)
        return sending


def _serialized(value: Any) -> bytes | None:
    return None if value is _NO_VALUE else value


class AnyRecordDriver(driver.Producer):
    """Faust's producer, with such a producer inside."""

    @property
    def _producer_type(self) -> type[AnyRecordProducer]:
        return AnyRecordProducer
