"""Every client names itself to the brokers, learns of new partitions soon, and sends batches that media.uploaded takes."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.topics import UPLOAD_BYTES
from service.cli.main import main
from service.kafka.client_id import client_id, name_process
from service.kafka.clients import client_config, consumer_config, producer_config, waiting_consumer_config
from service.roles import run
from service.settings import KafkaSettings, Settings
from streams.worker.faust.app import build_app
from streams.worker.options import WorkerOptions

SETTINGS = KafkaSettings()


@pytest.fixture(autouse=True)
def role() -> Iterator[None]:
    name_process("persist")
    yield
    name_process("cli")


@pytest.mark.parametrize(
    "config",
    [
        client_config,
        producer_config,
        lambda settings: consumer_config(settings, "thumbnails"),
        lambda settings: waiting_consumer_config(settings, "thumbnails"),
    ],
    ids=["admin", "producer", "consumer", "waiting consumer"],
)
def test_every_client_of_librdkafka_says_role_and_host_and_asks_for_partitions_twice_a_minute(config: Any) -> None:
    made = config(SETTINGS)
    assert made["client.id"] == f"thumbnails-persist-{socket.gethostname()}"
    assert made["topic.metadata.refresh.interval.ms"] <= 30_000


def test_the_worker_s_consumer_and_producer_do_so_too() -> None:
    name_process("worker")
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    conf = build_app(WorkerOptions("localhost:9092", "thumbnails", 2, client_id=client_id())).conf
    loop.close()
    assert conf.broker_client_id == f"thumbnails-worker-{socket.gethostname()}"
    assert conf.consumer_metadata_max_age_ms <= 30_000
    assert conf.producer_metadata_max_age_ms <= 30_000


def test_a_role_and_a_command_name_their_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "configure_logs", lambda *_values, **_names: None)
    run.begin(Settings(), "retry")
    assert client_id() == f"thumbnails-retry-{socket.gethostname()}"
    monkeypatch.setattr(sys, "argv", ["thumbnails", "topics", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert client_id() == f"thumbnails-topics-{socket.gethostname()}"


def test_a_batch_of_many_uploads_is_no_larger_than_the_topic_takes() -> None:
    assert producer_config(SETTINGS)["batch.size"] < UPLOAD_BYTES
