"""The C library below all clients of Kafka but Faust's; apart from the clients, which load the settings."""

from confluent_kafka import libversion


def librdkafka_version() -> str:
    """Return its version."""
    return str(libversion()[0])
