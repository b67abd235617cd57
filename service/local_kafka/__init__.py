"""Kafka on this machine, for the demo and the tests: one way to start a broker, wherever it comes from."""

from service.local_kafka.base import LocalKafka, NoKafkaError
from service.local_kafka.choice import choose_for_demo

__all__ = ["LocalKafka", "NoKafkaError", "choose_for_demo"]
