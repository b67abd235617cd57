"""Where nothing listens, somebody who looks at a screen is told within seconds; a role waits for a broker that starts."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from service.kafka import connection
from service.kafka.connection import KafkaUnreachableError, connect
from service.settings import KafkaSettings


@pytest.fixture
def closed_port() -> Iterator[str]:
    """Bound, and nobody listens: the kernel refuses."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(("waits_for_start", "at_most_s"), [(False, 4.0), (True, 6.5)])
def test_a_port_where_nothing_listens_is_said_soon_to_whom_looks(
    closed_port: str, monkeypatch: pytest.MonkeyPatch, waits_for_start: bool, at_most_s: float
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 6.0)
    asked_s: list[float] = []
    ask = AdminClient.list_topics

    def noted(self: AdminClient, *arguments: Any, **options: Any) -> Any:
        asked_s.append(options["timeout"])
        return ask(self, *arguments, **options)

    monkeypatch.setattr(AdminClient, "list_topics", noted)
    settings = KafkaSettings(kafka_bootstrap_servers=closed_port)
    with pytest.raises(KafkaUnreachableError, match=f"No Kafka broker answers at {closed_port}: start it"):
        connect(settings, waits_for_start=waits_for_start)
    assert sum(asked_s) <= at_most_s
    assert (sum(asked_s) > 4.0) is waits_for_start
