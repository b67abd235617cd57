"""Finds the first record after an offset, in many partitions at once, by one consumer that joins no group."""

from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from service.kafka.connection import KafkaUnreachableError
from streams.kafka.client import Place, inbound
from streams.kafka.records import InboundRecord

SILENCE_TIMEOUT_S: Final = 10.0
_ONE_RECORD: Final = {
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "log_level": 0,
    # One record of each partition is wanted, and the consumer would fetch megabytes of it ahead.
    "fetch.message.max.bytes": 16 * 1024,
    "queued.min.messages": 1,
    "fetch.wait.max.ms": 50,
}


def read_oldest(config: Mapping[str, Any], starts: Mapping[Place, int]) -> dict[Place, InboundRecord]:
    """The first record at or after each place's offset.

    A place is left out when it has none there. Raises KafkaUnreachableError when a broker says nothing for 10 s.
    """
    if not starts:
        return {}
    consumer = Consumer(dict(config) | _ONE_RECORD)
    try:
        return _read(consumer, starts)
    finally:
        consumer.close()


def _read(consumer: Consumer, starts: Mapping[Place, int]) -> dict[Place, InboundRecord]:
    found: dict[Place, InboundRecord] = {}
    unheard = set(starts)
    consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
    heard_at = monotonic()
    while unheard:
        for message in consumer.consume(len(unheard), 0.1):
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                if error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise KafkaUnreachableError(f"{place[0]} cannot be read: {error.str()}.")
                continue  # it passes, or ends in the silence below
            if place in unheard:
                unheard.discard(place)
                heard_at = monotonic()
                consumer.pause([TopicPartition(*place)])
                if error is None:
                    found[place] = inbound(message)
        if unheard and monotonic() - heard_at > SILENCE_TIMEOUT_S:
            silent = ", ".join(sorted({topic for topic, _ in unheard}))
            raise KafkaUnreachableError(f"Kafka gave no record of {silent} for {SILENCE_TIMEOUT_S:g} s: is it up?")
    return found
