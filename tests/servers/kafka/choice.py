"""Where the tests' Kafka comes from, best first: a given cluster, Docker, Apache Kafka's jars, the embedded broker."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from service.demo.broker import ExternalKafka, LocalKafka, NoKafkaError, TansuKafka, tansu_binary
from tests.servers.kafka import apache, docker


def choose_kafka() -> LocalKafka:
    """The first that is to be had. Raises NoKafkaError."""
    external = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if external:
        return ExternalKafka(external)
    if docker.can_run():
        return docker.DockerKafka()
    if apache.can_run():
        return apache.ApacheKafka()
    binary = tansu_binary()
    if binary is not None and not os.environ.get("REQUIRE_REAL_SERVICES"):
        return TansuKafka(binary)
    raise NoKafkaError("No Apache Kafka: install Java 17 and Maven, or Docker, or set KAFKA_BOOTSTRAP_SERVERS.")


@contextmanager
def running(kafka: LocalKafka) -> Iterator[str]:
    """The bootstrap servers, while it runs."""
    try:
        yield kafka.start()
    finally:
        kafka.stop()


def describe_choice() -> str:
    """What choose_kafka will give, for the header of the run."""
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return "given by KAFKA_BOOTSTRAP_SERVERS"
    if docker.can_run():
        return docker.DockerKafka.description
    if apache.can_run():
        return f"{apache.ApacheKafka.description}, from its jars"
    if tansu_binary() and not os.environ.get("REQUIRE_REAL_SERVICES"):
        return TansuKafka.description
    return "none"
