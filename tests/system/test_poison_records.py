"""Records with headers, times and types that nobody should write, among good uploads: each has its end, and no role ends."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.doubles.raw_batches import a_batch, produce
from tests.servers import postgres as postgres_service
from tests.system.platform import Upload
from tests.system.stack import Stack, a_stack, run_cli
from tests.system.test_broker_faults import set_topic

GOOD = range(1, 25)
OVERFLOW, END_OF_TIMES = b"9999-12-31T23:59:59-14:00", b"9999-12-31T23:59:59Z"
BEFORE_TIME = b"0001-01-01T00:00:00+14:00"
ANY_TIME = str(2**63 - 1)


def microseconds() -> int:
    """What is meant to be in milliseconds."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)


@pytest.fixture(scope="module")
def stack(kafka: str, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    url = postgres_service.new_database(postgres_server)
    prefix = f"t-{uuid.uuid4().hex[:8]}."
    with a_stack(kafka, url, prefix, tmp_path_factory.mktemp("stack"), RETRY_DELAYS_S="0.5,1,1.5") as made:
        made.platform.add_rows(range(1, 100))
        for topic in ("media.uploaded", "thumbnail.ready", "thumbnail.retry.1"):
            # As before Kafka 4: a record's time may be anything.
            set_topic(kafka, f"{prefix}{topic}", "message.timestamp.after.max.ms", ANY_TIME)
        yield made


class Sender:
    """Writes records as the test gives them."""

    def __init__(self, stack: Stack) -> None:
        self._prefix = stack.platform.topic_prefix
        self._producer = Producer({"bootstrap.servers": stack.platform.bootstrap_servers})

    def send(
        self,
        value: bytes | None,
        key: str | None,
        *,
        topic: str = "media.uploaded",
        at_ms: int = 0,
        headers: dict[str, bytes] | None = None,
    ) -> None:
        """`at_ms` 0 is now."""
        named: Any = list((headers or {}).items())
        self._producer.produce(f"{self._prefix}{topic}", value, key, timestamp=at_ms, headers=named)
        assert self._producer.flush(30) == 0

    def upload(self, upload: Upload, **options: Any) -> bytes:
        value = json.dumps(upload.event).encode()
        self.send(value, upload.record_key, **options)
        return value


def dead_letters_of(
    stack: Stack, topic: str = "thumbnail.dlq"
) -> dict[tuple[bytes | None, bytes | None], dict[str, str]]:
    """The headers of each dead letter, by its key and value."""
    found = {}
    for record in stack.platform.read_topic(topic):
        headers: Any = record.headers() or []
        found[record.key(), record.value()] = {name: text.decode() for name, text in headers}
    return found


def missing(stack: Stack, number: int) -> Upload:
    """An upload whose file does not come."""
    upload = stack.platform.upload(number, "video")
    (stack.platform.storage_root / "vault" / upload.event["media"]["key"]).unlink()
    return upload


def test_poison_among_good_uploads_ends_as_codes_and_ends_no_role(stack: Stack) -> None:
    platform, sender = stack.platform, Sender(stack)
    uploads = [platform.upload(number, "image" if number % 2 else "video") for number in GOOD]
    expected: dict[tuple[bytes | None, bytes | None], str] = {}

    def expect(key: str, value: bytes | None, code: str) -> None:
        expected[key.encode(), value] = code

    platform.publish(uploads[:8])
    for number, name in enumerate(("first-failed-at", "replayed-at", "last-failed-at", "x-original-timestamp")):
        for shift, text in enumerate((OVERFLOW, BEFORE_TIME)):
            shown = platform.upload(30 + 2 * number + shift, "image")
            uploads.append(shown)
            sender.upload(shown, headers={name: text, "retry-attempt": b"1"})
    for number, text in ((40, OVERFLOW), (41, END_OF_TIMES)):
        lost = missing(stack, number)
        headers = {"retry-not-before": text, "first-failed-at": END_OF_TIMES, "retry-attempt": b"0"}
        value = sender.upload(lost, headers=headers)
        expect(lost.record_key, value, "source.missing")
    for number, at_ms in enumerate((microseconds(), 2**62, 1)):
        value = b"not JSON %d" % number
        sender.send(value, "video:50", at_ms=at_ms)
        expect("video:50", value, "event.malformed")
        shown = platform.upload(51 + number, "image")
        uploads.append(shown)
        sender.upload(shown, at_ms=at_ms)
        lost = missing(stack, 55 + number)
        expect(lost.record_key, sender.upload(lost, at_ms=at_ms), "source.missing")
    sender.send(None, "video:1", at_ms=microseconds())
    expect("video:1", None, "event.in_future")
    sender.send(None, None, at_ms=microseconds())
    expected[None, None] = "event.in_future"
    late = {"retry-due-at": END_OF_TIMES}
    sender.send(b"{}", "video:60", topic="thumbnail.retry.1", at_ms=microseconds(), headers=late)
    expect("video:60", b"{}", "event.malformed")
    sender.send(b"{}", "video:61", topic="thumbnail.ready", at_ms=microseconds())
    platform.publish(uploads[8 : len(GOOD)])

    def all_ready() -> bool:
        keys = [upload.record_key for upload in uploads]
        return all((platform.row(key) or {})["thumbnail_status"] == "ready" for key in keys)

    stack.wait_for(all_ready, 120)
    stack.wait_for(lambda: expected.keys() <= dead_letters_of(stack).keys(), 120)
    codes = {place: headers["error-code"] for place, headers in dead_letters_of(stack).items()}
    assert codes == expected
    stack.wait_for(lambda: (b"video:61", b"{}") in dead_letters_of(stack, "thumbnail.ready.dlq"))
    for command in (("dlq", "list", "--json"), ("dlq", "stats"), ("status", "--json")):
        done = run_cli(stack.environment, *command)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout


def test_a_future_upload_blocks_no_later_one_of_its_media(stack: Stack) -> None:
    platform, sender = stack.platform, Sender(stack)
    wrong = platform.upload(70, "video")
    wrong.event["occurred_at"] = "9999-01-01T00:00:00Z"
    value = sender.upload(wrong, at_ms=int((datetime.now(UTC) + timedelta(minutes=50)).timestamp() * 1000))

    def status() -> object:
        return (platform.row("video:70") or {})["thumbnail_status"]

    stack.wait_for(lambda: status() == "failed")
    row = platform.row("video:70")
    assert row is not None
    assert row["thumbnail_error"].startswith("event.in_future: ")
    dead_letter = dead_letters_of(stack)[b"video:70", value]
    assert (dead_letter["error-code"], dead_letter["retryable"]) == ("event.in_future", "false")

    sender.send(None, "video:70", at_ms=int((datetime.now(UTC) + timedelta(minutes=50)).timestamp() * 1000))
    right = platform.upload(70, "video")
    platform.expected["video:70"] = right
    platform.publish([right])
    stack.wait_for(lambda: status() == "ready")
    assert (platform.row("video:70") or {})["thumbnail_event_id"] == right.event["event_id"]


def test_a_cleanup_that_a_producer_asks_for_deletes_nothing(stack: Stack) -> None:
    platform, sender = stack.platform, Sender(stack)
    upload = platform.upload(80, "video")
    platform.publish([upload])
    stack.wait_for(lambda: (platform.row("video:80") or {})["thumbnail_status"] == "ready")
    with platform.engine.begin() as connection:  # as while persist is behind: the row does not show them yet
        connection.exec_driver_sql("UPDATE videos SET thumbnails = NULL WHERE id = 80")
    pictures = {key for key in platform.objects() if "/thumbnails/video/80/" in key}
    now = datetime.now(UTC).isoformat()
    request = {
        "event_id": str(uuid.uuid4()),
        "upload_event_id": upload.event["event_id"],
        "occurred_at": now,
        "produced_at": now,
        "company_id": 1,
        "media": upload.event["media"],
        "version": "20990101T000000.000000Z-000000000000",
        "reason": "stale",
    }
    value = json.dumps(request).encode()
    headers = {"ce_type": b"vertexar.thumbnail.cleanup.v1", "x-original-topic": b"thumbnail.cleanup"}
    sender.send(value, "video:80", headers=headers)
    assert pictures
    expected = (b"video:80", value)
    stack.wait_for(lambda: expected in dead_letters_of(stack))
    assert dead_letters_of(stack)[expected]["error-code"] == "event.malformed"
    assert {key for key in platform.objects() if "/thumbnails/video/80/" in key} == pictures


def test_header_names_that_are_no_utf_8_end_no_role_on_any_topic(stack: Stack) -> None:
    """A batch made by hand, for no client's library writes such names; Kafka takes them. Last here: its records stay."""
    platform, now_ms = stack.platform, int(datetime.now(UTC).timestamp() * 1000)
    shown = platform.upload(90, "image")
    good = json.dumps(shown.event).encode()
    odd = [(b"bad\xff", b"1"), (b"\xfe", b"2"), (b"", b"3"), *((b"h%d" % number, b"") for number in range(10_000))]
    batch = a_batch((b"video:91", b"odd", odd), (shown.record_key.encode(), good, odd[:1]), timestamp_ms=now_ms)
    for topic in ("media.uploaded", "thumbnail.ready", "thumbnail.retry.1", "thumbnail.dlq"):
        asyncio.run(produce(platform.bootstrap_servers, f"{platform.topic_prefix}{topic}", batch))
    stack.wait_for(lambda: (platform.row(shown.record_key) or {})["thumbnail_status"] == "ready", 60)
    for command in (("dlq", "list", "--json"), ("dlq", "stats"), ("status", "--json")):
        done = run_cli(stack.environment, *command)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout
    stack.wait_for(lambda: platform.read_topic("thumbnail.ready.dlq"))
