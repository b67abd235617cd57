"""Where the tests' Kafka comes from, best first: a given cluster, Docker, Apache Kafka's jars, the embedded broker."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from service.local_kafka import LocalKafka, apache
from service.local_kafka.base import NoKafkaError
from service.local_kafka.choice import ExternalKafka
from service.local_kafka.tansu import TansuKafka, tansu_binary
from tests.services.docker import docker_answers


class ContainerKafka(LocalKafka):
    """Apache Kafka in a container, by testcontainers."""

    description = "Apache Kafka in a container"

    def start(self) -> str:
        """As in the contract."""
        from testcontainers.kafka import KafkaContainer

        self._container = KafkaContainer("apache/kafka:4.1.0").with_kraft()
        self._container.start()
        self.bootstrap_servers = self._container.get_bootstrap_server()
        return self.bootstrap_servers

    def stop(self) -> None:
        """As in the contract."""
        self._container.stop()


def choose_kafka() -> LocalKafka:
    """The first that is to be had. Raises NoKafkaError."""
    external = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if external:
        return ExternalKafka(external)
    if docker_answers():
        return ContainerKafka()
    if apache.can_run():
        return apache.ApacheKafka()
    binary = tansu_binary()
    if binary is not None and not os.environ.get("REQUIRE_REAL_SERVICES"):
        return TansuKafka(binary)
    raise NoKafkaError("No Apache Kafka: install a JRE 17 and Maven, or set KAFKA_BOOTSTRAP_SERVERS.")


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
    if docker_answers():
        return ContainerKafka.description
    if shutil.which("java") and apache.can_run():
        return f"{apache.ApacheKafka.description}, from its jars"
    return TansuKafka.description if tansu_binary() else "none"
