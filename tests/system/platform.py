"""The platform's side, written again from the documentation: media, rows, events, and what must come of them."""

import hashlib
import io
import json
import os
import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import sqlalchemy as sa
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from PIL import Image


@cache
def a_photo(seed: int) -> bytes:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((640, 480), Image.Resampling.BICUBIC).save(out, "JPEG")
    return out.getvalue()


@cache
def a_clip(seed: int) -> bytes:
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(0, 255, (9, 16, 3), dtype=np.uint8))
    return clip_of(small.resize((320, 180), Image.Resampling.BICUBIC))


def clip_of(image: Image.Image) -> bytes:
    """A second of one picture, whose sides are even."""
    pixels = np.asarray(image.convert("RGB"))
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = image.width, image.height, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return out.getvalue()


def files_below(folder: Path) -> list[Path]:
    """Every file; folders that vanish meanwhile, as those of a role's probes do, have none."""
    return [Path(found) / name for found, _, names in os.walk(folder) for name in names]


@dataclass(frozen=True)
class Upload:
    """An event that is published, and whether its file can be read."""

    event: dict[str, Any]
    sound: bool

    @property
    def record_key(self) -> str:
        media = self.event["media"]
        return f"video:{media['id']}" if media["kind"] == "video" else f"ar_content:{media['ar_content_id']}"


@dataclass
class Platform:
    """One company's platform: `expected` is the newest upload of each media."""

    database_url: str
    storage_root: Path
    bootstrap_servers: str
    topic_prefix: str = ""
    expected: dict[str, Upload] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = sa.create_engine(self.database_url, pool_pre_ping=True)
        self._samples = {"image": [a_photo(seed) for seed in range(8)], "video": [a_clip(seed) for seed in range(8)]}
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "acks": "all",
                "partitioner": "murmur2_random",
                "batch.size": 262_144,
                "log_level": 0,  # that a broker is away is often what a test wants
            }
        )

    def close(self) -> None:
        self.engine.dispose()

    def set_up(self, company_id: int = 1) -> None:
        """The company, its storage connection and a project."""
        with self.engine.begin() as connection:
            run = connection.execute
            run(
                sa.text(
                    "INSERT INTO storage_connections (id, name, provider, credentials, base_path, is_default, is_active)"
                    " VALUES (:id, 'disk', 'local_disk', '{}', 'vault', false, true)"
                ),
                {"id": company_id},
            )
            run(
                sa.text(
                    "INSERT INTO companies (id, name, slug, storage_connection_id, storage_path, is_active)"
                    " VALUES (:id, 'Acme', 'acme', :id, 'acme', true)"
                ),
                {"id": company_id},
            )
            run(sa.text("INSERT INTO projects (id, company_id, name) VALUES (:id, :id, 'p')"), {"id": company_id})

    def upload(self, media_id: int, kind: str, *, sound: bool = True, age_s: float = 0.0) -> Upload:
        """Store a file and make its event, as if it had happened `age_s` seconds ago; the row must exist."""
        content = (
            self.sample(kind, random.Random(f"{media_id}-{age_s}").randrange(8))
            if sound
            else b"\0\0\0\x18ftypisom" + bytes(300)
        )
        key = f"acme/uploads/{uuid.uuid4().hex}.{'mp4' if kind == 'video' else 'jpg'}"
        self.store(key, content)
        occurred_at = datetime.now(UTC) - timedelta(seconds=age_s)
        event = {
            "event_id": str(uuid.uuid4()),
            "occurred_at": occurred_at.isoformat(),
            "company_id": 1,
            "media": {"kind": kind, "id": media_id, "ar_content_id": media_id, "key": key},
        }
        upload = Upload(event, sound)
        self.uploads.append(upload)
        known = self.expected.get(upload.record_key)
        if known is None or event["occurred_at"] > known.event["occurred_at"]:
            self.expected[upload.record_key] = upload
        return upload

    def sample(self, kind: str, number: int = 0) -> bytes:
        """A small sound file; another number may be another one."""
        return self._samples[kind][number % len(self._samples[kind])]

    def use_samples(self, images: list[bytes], videos: list[bytes]) -> None:
        """Upload these from now on."""
        self._samples = {"image": images, "video": videos}

    def store(self, key: str, content: bytes) -> None:
        """Put a file where the tenant's storage has it."""
        path = self.storage_root / "vault" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def add_rows(self, media_ids: range) -> None:
        values = [{"id": number, "unique": str(uuid.uuid4())} for number in media_ids]
        contents = "INSERT INTO ar_contents (id, project_id, company_id, unique_id) VALUES (:id, 1, 1, :unique)"
        with self.engine.begin() as connection:
            connection.execute(sa.text(contents), values)
            connection.execute(sa.text("INSERT INTO videos (id, ar_content_id) VALUES (:id, :id)"), values)

    def publish(self, uploads: list[Upload], *, traceparent: str | None = None) -> None:
        headers: list[tuple[str, str | bytes | None]] = [("traceparent", traceparent)] if traceparent else []
        topic = f"{self.topic_prefix}media.uploaded"
        for upload in uploads:
            self._producer.produce(topic, key=upload.record_key, value=json.dumps(upload.event), headers=headers)
        if self._producer.flush(30):
            raise AssertionError("uploads were not acknowledged")

    def publish_raw(self, value: bytes | None, key: str | None = None) -> None:
        self._producer.produce(f"{self.topic_prefix}media.uploaded", key=key, value=value)
        if self._producer.flush(30):
            raise AssertionError("the record was not acknowledged")

    def row(self, record_key: str) -> dict[str, Any] | None:
        kind, _, number = record_key.partition(":")
        table = "videos" if kind == "video" else "ar_contents"
        with self.engine.connect() as connection:
            query = sa.text(f"SELECT * FROM {table} WHERE id = :id")  # noqa: S608 - one of two names
            found = connection.execute(query, {"id": int(number)}).mappings().one_or_none()
        return dict(found) if found else None

    def count_rows(self, status: str) -> int:
        """How many videos and photographs have this status."""
        with self.engine.connect() as connection:
            return sum(
                connection.execute(
                    sa.text(f"SELECT count(*) FROM {table} WHERE thumbnail_status = :status"),  # noqa: S608 - one of two names
                    {"status": status},
                ).scalar_one()
                for table in ("videos", "ar_contents")
            )

    def problems(self) -> list[str]:
        """What is wrong with rows and objects at this moment; empty when every upload came to its right end."""
        found, owned = [], set()
        for record_key, upload in self.expected.items():
            row = self.row(record_key)
            if row is None or row["thumbnail_status"] is None:
                found.append(f"{record_key}: no result")
                continue
            wanted = "ready" if upload.sound else "failed"
            if row["thumbnail_status"] != wanted:
                found.append(f"{record_key}: {row['thumbnail_status']} instead of {wanted}: {row['thumbnail_error']}")
            if row["thumbnail_event_id"] != upload.event["event_id"]:
                found.append(f"{record_key}: the row shows another upload")
            thumbnails = row["thumbnails"] or []
            thumbnails = json.loads(thumbnails) if isinstance(thumbnails, str) else thumbnails
            found += [problem for item in thumbnails if (problem := self._object_problem(record_key, item))]
            owned |= {item["key"] for item in thumbnails}
        found += [f"orphan object {key}" for key in sorted(self.objects() - owned)]
        found += [f"left behind: {path.name}" for path in files_below(self.storage_root) if path.suffix == ".part"]
        return found

    def _object_problem(self, record_key: str, item: dict[str, Any]) -> str | None:
        path = self.storage_root / "vault" / item["key"]
        if not path.is_file():
            return f"{record_key}: the object {item['key']} is missing"
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != item["sha256"]:
            return f"{record_key}: the object {item['key']} has other bytes"
        with Image.open(io.BytesIO(content)) as picture:
            if picture.size != (item["width"], item["height"]):
                return f"{record_key}: {item['key']} is {picture.size}"
        return None

    def objects(self) -> set[str]:
        """Every stored thumbnail's key, fallbacks in local storage included."""
        vault = self.storage_root / "vault"
        keys = {
            str(path.relative_to(vault)) for path in files_below(vault) if "thumbnails" in path.relative_to(vault).parts
        }
        outside = files_below(self.storage_root / "acme" / "thumbnails")
        return keys | {f"(fallback) {path.name}" for path in outside}

    def read_topic(self, topic: str) -> list[Any]:
        """Every record of a topic, read to its end; without joining a group, which would take most of the time."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": f"oracle-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        name = f"{self.topic_prefix}{topic}"
        partitions = consumer.list_topics(name).topics[name].partitions
        consumer.assign([TopicPartition(name, number, OFFSET_BEGINNING) for number in partitions])
        records: list[Any] = []
        ended: set[int | None] = set()
        while len(ended) < len(partitions):
            message = consumer.poll(10)
            if message is None:
                raise AssertionError(f"{topic} does not come to its end")
            error = message.error()
            if error is not None:
                ended.add(message.partition())
            else:
                records.append(message)
        consumer.close()
        return records
