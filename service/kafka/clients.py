"""Makes the Kafka clients of every role and command, with librdkafka's settings made from ours in one place."""

import logging
from typing import Any, Final

from confluent_kafka import Consumer, Producer

from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.topics import CARRIER_BYTES
from service.kafka.client_id import client_id
from service.kafka.security import librdkafka_security
from service.settings import KafkaSettings
from streams.kafka.ports import METADATA_REFRESH_MS, KafkaConsumer, KafkaProducer, MakeConsumer

_LOGGER: Final = logging.getLogger("librdkafka")
"""It would write to standard error in a form of its own otherwise."""


def client_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return what every client needs to reach the cluster. Raises KafkaFilesError."""
    basics = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": client_id(),
        "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
        "log_level": 3,
        "logger": _LOGGER,
    }
    return basics | librdkafka_security(settings)


def producer_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return the producer's settings: all in-sync replicas acknowledge, and partitions are chosen as in Java and aiokafka."""
    return client_config(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "batch.size": MAX_EVENT_BYTES,  # brokers compare whole batches with media.uploaded's max.message.bytes
        "message.max.bytes": CARRIER_BYTES,
        "delivery.timeout.ms": 40_000,
    }


def consumer_config(settings: KafkaSettings, group: str) -> dict[str, Any]:
    """Return the consumer's settings: offsets are committed by hand, after the results of the records are safe."""
    session_timeout_ms = int(settings.kafka_session_timeout_s * 1000)
    return client_config(settings) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": session_timeout_ms,
        "heartbeat.interval.ms": min(3000, session_timeout_ms // 3),
        "max.poll.interval.ms": max(300_000, session_timeout_ms),
        "fetch.message.max.bytes": CARRIER_BYTES,
        "check.crcs": True,  # as aiokafka does: damaged bytes end the role with their offset, instead of being believed
    }


def membership(settings: KafkaSettings) -> dict[str, Any]:
    """Return what only the consumer that joins the group has; others ask about the group alone."""
    name = settings.kafka_group_instance_id
    return {} if name is None else {"group.instance.id": name}


def waiting_consumer_config(settings: KafkaSettings, group: str) -> dict[str, Any]:
    """Return the settings of a consumer that leaves most records where they are: it fetches little ahead.

    librdkafka would hold 64 MiB and 100,000 records, which are dropped as soon as their partition is paused. A record
    that is larger than a fetch still comes, alone.
    """
    return consumer_config(settings, group) | {
        "fetch.message.max.bytes": 128 * 1024,
        "queued.max.messages.kbytes": 4 * 1024,
        "queued.min.messages": 500,
        "fetch.queue.backoff.ms": 20,  # a full queue is the rule here, and a pause of a second would make retries late
    }


def consumers_of(settings: KafkaSettings, group: str) -> MakeConsumer:
    """Return what makes consumers of `group`; a reader adds the settings that it needs. Raises KafkaFilesError."""
    config = consumer_config(settings, group)
    return lambda changes: Consumer(config | dict(changes))


def make_waiting_consumer(settings: KafkaSettings, group: str) -> KafkaConsumer:
    """Return a consumer that leaves most of its records where they are. Raises KafkaFilesError."""
    return Consumer(waiting_consumer_config(settings, group) | membership(settings))


def make_producer(settings: KafkaSettings) -> KafkaProducer:
    """Return a producer; it connects by itself. Raises KafkaFilesError."""
    return Producer(producer_config(settings))
