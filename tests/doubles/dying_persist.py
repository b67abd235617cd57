"""The persist role of a group, which dies of SIGKILL at a chosen step.

Run: python -m tests.doubles.dying_persist STEP RECORDS SERVERS PREFIX URL. It takes so many records as one batch first.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from confluent_kafka import Consumer, Producer

from schemas.database import create_engine_for
from schemas.metrics import Metrics
from service.kafka.clients import consumer_config, producer_config
from service.settings import KafkaSettings
from streams.kafka import waiting
from streams.kafka.ports import KafkaClients
from streams.kafka.records import InboundRecord
from streams.persist import batch as batch_writer
from streams.persist import role as persistence
from streams.persist.role import PersistOptions, PersistRole

_CALLS: dict[str, tuple[ModuleType, str]] = {
    "before the transaction": (batch_writer, "write_transaction"),
    "in the transaction": (batch_writer, "apply_results"),
    "after the transaction": (waiting, "send_and_wait"),
    "after the states": (waiting, "send_and_wait"),
    "after the sends": (waiting, "commit_offsets"),
}
"""The call that follows on the step, or for «in the transaction» is the step's last."""
STEPS = tuple(_CALLS)
GROUP = "persist"


def die(*_arguments: object, **_named: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_after(real: Callable[..., Any]) -> Callable[..., Any]:
    def deadly(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        die()

    return deadly


def deadly_the_second_time(real: Callable[..., Any]) -> Callable[..., Any]:
    calls = itertools.count(1)

    def deadly(*arguments: Any, **named: Any) -> None:
        if next(calls) == 2:
            die()
        real(*arguments, **named)

    return deadly


def arm(step: str) -> None:
    """Let the first time that the role comes to `step` be its last moment."""
    module, name = _CALLS[step]
    if step == "after the states":
        setattr(module, name, deadly_the_second_time(getattr(module, name)))
        return
    setattr(module, name, dying_after(getattr(module, name)) if step == "in the transaction" else die)


def gather(count: int) -> None:
    """Let the first batch be `count` records, however they arrive."""
    name = "read_records"
    real: Callable[..., list[InboundRecord]] = getattr(persistence, name)
    gathered: list[InboundRecord] = []

    def read(
        consumer: Consumer, limit: int, timeout_s: float, *, after: Sequence[InboundRecord] = ()
    ) -> list[InboundRecord]:
        if gathered:
            return real(consumer, limit, timeout_s, after=after)
        while len(gathered) < count:
            gathered.extend(real(consumer, count, 0.2))
        return list(gathered)

    setattr(persistence, name, read)


def a_role(settings: KafkaSettings, url: str) -> PersistRole:
    prefix = settings.kafka_topic_prefix
    consumer = Consumer(consumer_config(settings, f"{prefix}{GROUP}"))
    clients = KafkaClients(consumer, Producer(producer_config(settings)))
    return PersistRole(clients, PersistOptions(GROUP, settings.topics), create_engine_for(url), Metrics())


def main(step: str, records: str, servers: str, prefix: str, url: str) -> None:
    arm(step)
    gather(int(records))
    settings = KafkaSettings(kafka_bootstrap_servers=servers, kafka_topic_prefix=prefix, kafka_session_timeout_s=6)
    a_role(settings, url).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
