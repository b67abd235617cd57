"""Bad input, from topic to row: one clear code, a dead letter or a retry, and nothing left behind."""

import io
import json
import struct
import uuid
import wave
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import av
import numpy as np
import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer
from PIL import Image

from tests.servers import postgres as postgres_service
from tests.system.platform import Upload, a_clip, a_photo
from tests.system.stack import Stack, a_stack, run_cli
from tests.system.test_broker_faults import set_topic

CARRIER_BYTES = 16 * 1024**2
KEPT_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def stack(kafka: str, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    url = postgres_service.new_database(postgres_server)
    with a_stack(kafka, url, f"t-{uuid.uuid4().hex[:8]}.", tmp_path_factory.mktemp("stack")) as made:
        made.platform.add_rows(range(1, 200))
        with made.platform.engine.begin() as connection:
            for number, active, provider, connection_active in (
                (2, False, None, None),
                (3, True, None, None),
                (4, True, "local_disk", False),
                (5, True, "gopher", True),
            ):
                if provider:
                    values = {"id": number, "provider": provider, "active": connection_active}
                    insert = "INSERT INTO storage_connections (id, name, provider, is_active) VALUES (:id, 's', :provider, :active)"
                    connection.execute(sa.text(insert), values)
                insert = (
                    "INSERT INTO companies (id, name, slug, storage_connection_id, storage_path, is_active)"
                    " VALUES (:id, :slug, :slug, :connection, :slug, :active)"
                )
                values = {
                    "id": number,
                    "slug": f"c{number}",
                    "connection": number if provider else None,
                    "active": active,
                }
                connection.execute(sa.text(insert), values)
                project = "INSERT INTO projects (id, company_id, name) VALUES (:id, :id, 'p')"
                connection.execute(sa.text(project), {"id": number})
        yield made


@pytest.fixture(scope="module")
def dead_letters(stack: Stack) -> Iterator["DeadLetters"]:
    reader = DeadLetters(stack)
    yield reader
    reader.close()


class DeadLetters:
    """Follows the dead letter topic; finds dead letters by their value."""

    def __init__(self, stack: Stack) -> None:
        self.dead_letters: dict[bytes | None, dict[str, str]] = {}
        settings = {"group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest"}
        self._consumer = Consumer({"bootstrap.servers": stack.platform.bootstrap_servers} | settings)
        self._consumer.subscribe([f"{stack.platform.topic_prefix}thumbnail.dlq"])

    def find(self, value: bytes | None) -> dict[str, str] | None:
        for message in self._consumer.consume(100, 0.2):
            assert message.error() is None
            headers: Any = message.headers() or []
            self.dead_letters[message.value()] = {name: text.decode() for name, text in headers}
        return self.dead_letters.get(value)

    def close(self) -> None:
        self._consumer.close()


_ids = iter(range(1, 200))


def an_event(
    stack: Stack, content: bytes | None, *, company_id: int = 1, name: str = "a.mp4", **media: Any
) -> dict[str, Any]:
    """The event of a file that was stored, on a row of its own that belongs to the company."""
    media_id = next(_ids)
    slug = "acme" if company_id == 1 else f"c{company_id}"
    key = f"{slug}/uploads/{media_id}/{name}"
    if content is not None:
        stack.platform.store(key, content)
    with stack.platform.engine.begin() as connection:
        if company_id <= 5:
            update = "UPDATE ar_contents SET company_id = :company WHERE id = :id"
            connection.execute(sa.text(update), {"company": company_id, "id": media_id})
    fields = {"kind": "video", "id": media_id, "ar_content_id": media_id, "key": key} | media
    occurred_at = "2026-11-23T10:00:00Z"
    return {"event_id": str(uuid.uuid4()), "occurred_at": occurred_at, "company_id": company_id, "media": fields}


def publish(stack: Stack, event: dict[str, Any]) -> bytes:
    value = json.dumps(event).encode()
    stack.platform.publish_raw(value, f"video:{event['media']['id']}")
    return value


def row_when_done(stack: Stack, event: dict[str, Any]) -> dict[str, Any]:
    kind = "video" if event["media"]["kind"] == "video" else "ar_content"

    def done() -> dict[str, Any] | None:
        row = stack.platform.row(f"{kind}:{event['media']['id']}")
        assert row is not None
        return row if row["thumbnail_status"] else None

    found = stack.wait_for(done)
    assert isinstance(found, dict)
    return found


def assert_dead(stack: Stack, dead_letters: DeadLetters, event: dict[str, Any], code: str) -> None:
    """A dead letter with the code and a next action, the row says failed, and no object was left."""
    value = publish(stack, event)
    dead_letter = stack.wait_for(lambda: dead_letters.find(value))
    assert isinstance(dead_letter, dict)
    assert dead_letter["error-code"] == code
    assert dead_letter["next-action"]
    row = row_when_done(stack, event)
    assert row["thumbnail_status"] == "failed"
    assert row["thumbnail_error"].startswith(f"{code}: ")
    folder = f"/thumbnails/{event['media']['kind']}/{event['media']['id']}/"
    assert [key for key in stack.platform.objects() if folder in key] == []


def a_png_bomb() -> bytes:
    """30,000 x 30,000 black pixels in about 130 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    line = bytes(1 + 30_000 // 8)
    data = b"".join(packer.compress(line) for _ in range(30_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def a_sound() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16_000))
    return out.getvalue()


def a_song_with_cover() -> bytes:
    """An M4A whose cover is a red picture."""
    cover, out = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (200, 200), (220, 30, 30)).save(cover, "JPEG")
    with av.open(out, "w", format="mp4") as container, av.open(io.BytesIO(cover.getvalue()), "r") as picture:
        sound = container.add_stream("aac", rate=44_100)
        template: Any = picture.streams.video[0]
        attached: Any = container.add_stream_from_template(template)
        attached.disposition = av.stream.Disposition.attached_pic
        packet = next(picture.demux(template))
        packet.stream = attached
        container.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 44_100
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return out.getvalue()


HOPELESS = {
    "empty": (b"", "media.corrupt"),
    "text": (b"dear diary, " * 50, "media.unsupported"),
    "broken off before its index": (a_clip(1)[:700], "media.corrupt"),
    "without a picture": (a_sound(), "media.no_picture"),
    "a bomb": (a_png_bomb(), "media.too_many_pixels"),
    "noise": (np.random.default_rng(4).bytes(5000), "media.corrupt"),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_a_file_that_cannot_be_shown_is_a_dead_letter(stack: Stack, dead_letters: DeadLetters, name: str) -> None:
    content, code = HOPELESS[name]
    assert_dead(stack, dead_letters, an_event(stack, content), code)


def a_tiny_png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (1, 1), (10, 20, 30)).save(out, "PNG")
    return out.getvalue()


ODD_BUT_GOOD: dict[str, tuple[bytes, dict[str, Any], tuple[int, int]]] = {
    "a photograph called mp4": (a_photo(1), {"name": "a.mp4"}, (320, 240)),
    "a video declared as an image": (a_clip(2), {"kind": "image", "name": "a.jpg"}, (320, 180)),
    "one pixel": (a_tiny_png(), {"kind": "image", "name": "a.png"}, (1, 1)),
    "a song with a cover": (a_song_with_cover(), {"name": "a.m4a"}, (200, 200)),
}


@pytest.mark.parametrize("name", ODD_BUT_GOOD)
def test_odd_files_are_shown_all_the_same(stack: Stack, name: str) -> None:
    content, changes, size = ODD_BUT_GOOD[name]
    event = an_event(stack, content, **changes)
    publish(stack, event)
    row = row_when_done(stack, event)
    assert row["thumbnail_status"] == "ready"
    medium = next(item for item in row["thumbnails"] if item["name"] == "medium")
    assert (medium["width"], medium["height"]) == size


@pytest.mark.parametrize("value", [b"not JSON", b'{"event_id": 7}', b"\xff\xfe", b"[" * 50_000], ids=range(4))
def test_what_is_no_event_is_a_dead_letter_byte_for_byte(stack: Stack, dead_letters: DeadLetters, value: bytes) -> None:
    stack.platform.publish_raw(value, "video:1")
    dead_letter = stack.wait_for(lambda: dead_letters.find(value))
    assert isinstance(dead_letter, dict)
    assert dead_letter["error-code"] == "event.malformed"


def test_a_record_as_large_as_any_topic_takes_is_a_dead_letter_of_its_beginning(
    stack: Stack, dead_letters: DeadLetters
) -> None:
    platform = stack.platform
    topic = f"{platform.topic_prefix}media.uploaded"
    set_topic(platform.bootstrap_servers, topic, "max.message.bytes", str(CARRIER_BYTES))
    producer = Producer({"bootstrap.servers": platform.bootstrap_servers, "message.max.bytes": CARRIER_BYTES})
    value = b"{" * (CARRIER_BYTES - 500)
    producer.produce(topic, value, b"video:1")
    assert producer.flush(30) == 0
    dead_letter = stack.wait_for(lambda: dead_letters.find(value[:KEPT_BYTES]))
    assert isinstance(dead_letter, dict)
    assert dead_letter["error-code"] == "event.too_large"
    assert f"value {len(value)} bytes" in dead_letter["x-cut"]
    assert (
        f"in {topic}, partition {dead_letter['x-original-partition']}, offset {dead_letter['x-original-offset']},"
        in dead_letter["x-cut"]
    )
    replayed = run_cli(stack.environment, "dlq", "replay", "--code", "event.too_large", "--yes")
    assert replayed.returncode == 1, replayed.stdout + replayed.stderr
    assert "publish it again" in " ".join(replayed.stdout.split())


def test_a_tombstone_cancels_waiting_retries_and_is_no_dead_letter(stack: Stack, dead_letters: DeadLetters) -> None:
    """The source comes after all, before the retry: there would be a thumbnail, had the media not been deleted."""
    event = an_event(stack, None) | {"occurred_at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}
    media = event["media"]
    publish(stack, event)
    stack.wait_for(lambda: _waits(stack, event))
    stack.platform.publish_raw(None, f"video:{media['id']}")
    stack.wait_for(lambda: (stack.platform.row(f"video:{media['id']}") or {})["thumbnail_event_id"] == "tombstone")
    stack.platform.store(media["key"], a_clip(2))

    def dropped() -> bool:
        logs = (role.log.read_text() for role in stack.supervisor.of("worker"))
        return any(
            '"retry_dropped"' in line and f'"video:{media["id"]}"' in line for log in logs for line in log.split("\n")
        )

    stack.wait_for(dropped)
    row = stack.platform.row(f"video:{media['id']}")
    assert row is not None
    assert row["thumbnail_status"] is None
    assert dead_letters.find(None) is None


def _waits(stack: Stack, event: dict[str, Any]) -> bool:
    waiting = stack.platform.read_topic("thumbnail.retry.1")
    return any(event["event_id"].encode() in (record.value() or b"") for record in waiting)


BAD_KEYS = ["acme/../c3/a.mp4", "acme-2/a.mp4"]  # tests/unit/storage and the storage contracts have all kinds


@pytest.mark.parametrize("key", BAD_KEYS, ids=[ascii(key)[:20] for key in BAD_KEYS])
def test_a_key_that_leaves_the_tenant_is_refused(stack: Stack, dead_letters: DeadLetters, key: str) -> None:
    assert_dead(stack, dead_letters, an_event(stack, a_clip(0), key=key), "storage.bad_key")


@pytest.mark.parametrize("name", ["caf\u00e9.mp4", "cafe\u0301.mp4"], ids=["composed", "decomposed"])
def test_names_are_taken_as_they_are(stack: Stack, name: str) -> None:
    event = an_event(stack, a_clip(3), name=name)
    publish(stack, event)
    assert row_when_done(stack, event)["thumbnail_status"] == "ready"


def test_an_inactive_company_is_a_dead_letter(stack: Stack, dead_letters: DeadLetters) -> None:
    assert_dead(stack, dead_letters, an_event(stack, None, company_id=2), "tenant.inactive")


def test_an_unknown_company_is_retried_and_then_given_up(stack: Stack, dead_letters: DeadLetters) -> None:
    value = publish(stack, an_event(stack, None, company_id=77))
    dead_letter = stack.wait_for(lambda: dead_letters.find(value))
    assert isinstance(dead_letter, dict)
    assert (dead_letter["error-code"], dead_letter["attempts"], dead_letter["retryable"]) == (
        "tenant.unknown",
        "4",
        "true",
    )


@pytest.mark.parametrize(
    ("company_id", "reason"), [(3, "no_connection"), (4, "connection_inactive"), (5, "connection_broken")]
)
def test_a_company_whose_storage_cannot_work_is_served_from_local_storage(
    stack: Stack, company_id: int, reason: str
) -> None:
    event = an_event(stack, None, company_id=company_id)
    path = stack.platform.storage_root / event["media"]["key"]
    path.parent.mkdir(parents=True)
    path.write_bytes(a_clip(1))
    publish(stack, event)
    row = row_when_done(stack, event)

    assert row["thumbnail_status"] == "ready"
    assert all((stack.platform.storage_root / item["key"]).is_file() for item in row["thumbnails"])
    announced = [json.loads(record.value()) for record in stack.platform.read_topic("thumbnail.ready")]
    (own,) = [ready for ready in announced if ready["upload_event_id"] == event["event_id"]]
    assert own["storage"] == {"provider": "local_disk", "connection_id": None, "fallback": reason}


def test_a_source_that_comes_late_is_waited_for(stack: Stack) -> None:
    event = an_event(stack, None)
    publish(stack, event)

    def is_waiting() -> bool:
        waiting = stack.platform.read_topic("thumbnail.retry.1")
        return any(event["event_id"].encode() in record.value() for record in waiting)

    stack.wait_for(is_waiting)
    stack.platform.store(event["media"]["key"], a_clip(4))
    assert row_when_done(stack, event)["thumbnail_status"] == "ready"


def test_the_same_event_twice_is_one_result(stack: Stack) -> None:
    upload = Upload(an_event(stack, a_clip(5)), sound=True)
    stack.platform.publish([upload, upload])
    row_when_done(stack, upload.event)

    def both_announced() -> bool:
        records = stack.platform.read_topic("thumbnail.ready")
        return sum(upload.event["event_id"].encode() in record.value() for record in records) == 2

    stack.wait_for(both_announced)
    row = row_when_done(stack, upload.event)
    folder = f"/thumbnails/video/{upload.event['media']['id']}/"
    assert len([key for key in stack.platform.objects() if folder in key]) == len(row["thumbnails"]) == 3


def test_an_older_upload_that_comes_later_changes_nothing_and_leaves_nothing(stack: Stack) -> None:
    newer = an_event(stack, a_clip(6))
    older = newer | {"event_id": str(uuid.uuid4()), "occurred_at": "2026-11-23T09:00:00Z"}
    publish(stack, newer)
    shown = row_when_done(stack, newer)["thumbnails"]
    publish(stack, older)
    folder = f"/thumbnails/video/{newer['media']['id']}/"

    def cleaned() -> bool:
        cleanups = stack.platform.read_topic("thumbnail.cleanup")
        asked = any(older["event_id"].encode() in record.value() for record in cleanups)
        return asked and len([key for key in stack.platform.objects() if folder in key]) == 3

    stack.wait_for(cleaned)
    assert row_when_done(stack, newer)["thumbnails"] == shown


def test_a_row_that_was_deleted_meanwhile_leaves_no_object(stack: Stack) -> None:
    event = an_event(stack, a_clip(7))
    media_id = event["media"]["id"]
    with stack.platform.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM videos WHERE id = :id"), {"id": media_id})
    publish(stack, event)

    def cleaned() -> bool:
        cleanups = stack.platform.read_topic("thumbnail.cleanup")
        asked = any(event["event_id"].encode() in record.value() for record in cleanups)
        return asked and not [key for key in stack.platform.objects() if f"/thumbnails/video/{media_id}/" in key]

    stack.wait_for(cleaned)


def test_a_cause_that_is_mended_and_a_replay_make_the_thumbnail(stack: Stack, dead_letters: DeadLetters) -> None:
    """And the worker neither sees the batch of a replay that was killed, nor stands still behind it."""
    broken, bystander = an_event(stack, b"not yet"), an_event(stack, a_clip(1))
    assert_dead(stack, dead_letters, broken, "media.unsupported")
    broker, prefix = stack.platform.bootstrap_servers, stack.platform.topic_prefix
    killed = Producer({"bootstrap.servers": broker, "transactional.id": f"{prefix}killed"})
    killed.init_transactions(10)
    killed.begin_transaction()
    for partition in range(6):
        killed.produce(f"{prefix}thumbnail.due", json.dumps(bystander).encode(), b"video:1", partition)
    killed.flush(10)
    killed.abort_transaction(10)

    stack.platform.store(broken["media"]["key"], a_clip(0))
    replayed = run_cli(stack.environment, "dlq", "replay", "--media", f"video:{broken['media']['id']}", "--yes")
    assert replayed.returncode == 0, replayed.stdout
    stack.wait_for(lambda: row_when_done(stack, broken)["thumbnail_status"] == "ready")
    row = stack.platform.row(f"video:{bystander['media']['id']}")
    assert row is not None
    assert row["thumbnail_status"] is None
