"""`thumbnails web` as a process, and what it reads: results on a real broker, pictures in a local storage."""

import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.cloudevents import context_headers, write_event
from schemas.events import THUMBNAIL_FAILED_TYPE, THUMBNAIL_READY_TYPE, ThumbnailFailed, ThumbnailReady
from schemas.headers import Headers
from service.kafka.topics import create_topics
from service.settings import KafkaSettings

STOP_TIMEOUT_S = 15.0


@dataclass
class Results:
    """Writes results to the topics of one installation."""

    kafka: str
    prefix: str

    def create_topics(self) -> None:
        create_topics(
            KafkaSettings(
                kafka_bootstrap_servers=self.kafka, kafka_topic_prefix=self.prefix, kafka_replication_factor=1
            )
        )

    def send(self, *events: ThumbnailReady | ThumbnailFailed) -> None:
        for event in events:
            is_ready = isinstance(event, ThumbnailReady)
            kind = THUMBNAIL_READY_TYPE if is_ready else THUMBNAIL_FAILED_TYPE
            key = event.media.record_key
            headers = context_headers(
                event_type=kind, event_id=event.event_id, occurred_at=event.produced_at, subject=key
            )
            self.send_raw(f"thumbnail.{'ready' if is_ready else 'failed'}", key.encode(), write_event(event), headers)

    def send_raw(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> None:
        producer = Producer({"bootstrap.servers": self.kafka, "acks": "all", "log_level": 0})
        producer.produce(f"{self.prefix}{topic}", key=key, value=value, headers=list(headers))
        assert producer.flush(20) == 0

    def send_failed_upload(self, topic: str, number: int, code: str, company: int = 1, **headers: str) -> None:
        """As the worker writes it to a dead letter topic or a retry topic; upload and media have this number."""
        event = {
            "event_id": f"upload-{number}",
            "occurred_at": "2026-11-23T12:00:00Z",
            "company_id": company,
            "media": {"kind": "video", "id": number, "ar_content_id": number, "key": f"acme/uploads/{number}.mp4"},
        }
        texts = {
            "x-original-topic": f"{self.prefix}media.uploaded",
            "error-code": code,
            "error-message": f"Upload {number} failed.",
            "last-failed-at": "2026-11-23T12:00:00Z",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        all_headers = tuple((name, text.encode()) for name, text in texts.items())
        self.send_raw(topic, f"video:{number}".encode(), json.dumps(event).encode(), all_headers)

    def finish_persisting(self) -> None:
        """Commit all results for the persist role's group: nothing waits for it, however slow this machine is."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": "thumbnails-persist", "log_level": 0})
        offsets = []
        for name in (f"{self.prefix}thumbnail.ready", f"{self.prefix}thumbnail.failed"):
            for number in consumer.list_topics(name).topics[name].partitions:
                end = consumer.get_watermark_offsets(TopicPartition(name, number))[1]
                offsets.append(TopicPartition(name, number, end))
        consumer.commit(offsets=offsets, asynchronous=False)
        consumer.close()


@dataclass
class WebServer:
    """The process; `url` ends in a slash."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@dataclass
class WebOptions:
    """What a test asks for; `environment` goes over the test's own."""

    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def running_web(results: Results, folder: Path, options: WebOptions | None = None) -> Iterator[WebServer]:
    """The page, once it says where it is."""
    options = options or WebOptions()
    environment = os.environ | {
        "KAFKA_BOOTSTRAP_SERVERS": results.kafka,
        "KAFKA_TOPIC_PREFIX": results.prefix,
        "LOG_FORMAT": "json",
        **options.environment,
    }
    log = folder / "web.log"
    command = [sys.executable, "-m", "service", "web", "--port", "0", *options.arguments]
    with log.open("w") as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("http://"), log.read_text()
        yield WebServer(line.split()[0], process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)
        process.stdout.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Nothing: pytest shows what matters."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The URL of a server of a folder's files, as an operator serves the local storage."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
