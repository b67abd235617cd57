"""Uploads that never cease, of three companies; and, when asked, one company's broken files among them."""

import io
import itertools
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from confluent_kafka import Producer
from PIL import Image

from tests.integration.web.gallery import picture
from tests.system.platform import Platform, Upload, clip_of
from tests.system.tenants import FolderStore, Tenant, add_rows, problems_of, upload_for

ACME: Final = 1
PER_S: Final = 3.0
POISON_PER_S: Final = 4.0
MEDIA_EACH: Final = 1800
"""Rows that each company has: more than uploads in the longest drill."""
EARLY_FROM: Final = 800_000
POISON_FROM: Final = 900_000
_BROKEN: Final = b"\xff\xd8\xff\xe0" + bytes(400)


@dataclass(frozen=True)
class Published:
    """One sound upload and when it was published, by time.monotonic."""

    company_id: int
    record_key: str
    at: float


class Trickle(threading.Thread):
    """Publishes until end(). `problem` says why it gave up, when it did."""

    def __init__(self, platform: Platform, tenants: dict[str, Tenant], poisoned: Tenant) -> None:
        """`tenants` beside Acme, which is the platform's own company; broken and late files are those of `poisoned`."""
        super().__init__(name="trickle", daemon=True)
        self.published: Final[list[Published]] = []
        self.poison: Final[list[str]] = []
        self.is_poisoned = False
        self.is_early = False
        """Events come before their files."""
        self.problem: str | None = None
        self._platform: Final = platform
        self._tenants: Final = tenants
        self._poisoned: Final = poisoned
        if not isinstance(poisoned.store, FolderStore):
            raise TypeError("The company whose files come late keeps them in a folder.")
        self._folder: Final = poisoned.store.folder
        self._withheld: Final[list[tuple[Path, bytes]]] = []
        self._ended: Final = threading.Event()
        self._producer: Final = Producer(
            # While the broker is away the platform keeps its events, as any producer of it must.
            {
                "bootstrap.servers": platform.bootstrap_servers,
                "acks": "all",
                "partitioner": "murmur2_random",
                "log_level": 0,
            }
        )
        pictures = [picture(number) for number in range(12)]
        platform.use_samples([_jpeg(image) for image in pictures], [clip_of(_even(image)) for image in pictures])
        platform.add_rows(range(1, MEDIA_EACH + 1))
        for tenant in tenants.values():
            begin = tenant.company_id * 10_000
            add_rows(platform, tenant, range(begin, begin + MEDIA_EACH))
        for first in (POISON_FROM, EARLY_FROM):
            add_rows(platform, poisoned, range(first, first + MEDIA_EACH))

    def deliver(self) -> None:
        """Store the files whose events came before them."""
        self.is_early = False
        while self._withheld:
            path, content = self._withheld.pop()
            path.write_bytes(content)

    def run(self) -> None:
        """One upload after the other, at a steady rate."""
        next_at = next_poison_at = time.monotonic()
        numbers, poison_numbers, early_numbers = (itertools.count(first) for first in (1, POISON_FROM, EARLY_FROM))
        try:
            while not self._ended.wait(max(0.0, min(next_at, next_poison_at) - time.monotonic())):
                now = time.monotonic()
                if now >= next_at:
                    self._publish_sound(next(numbers))
                    next_at += 1 / PER_S
                if now >= next_poison_at:
                    next_poison_at = now + 1 / POISON_PER_S
                    if self.is_poisoned:
                        self._publish_broken(next(poison_numbers))
                    if self.is_early:
                        self._publish_early(next(early_numbers))
                self._producer.poll(0)
            if self._producer.flush(60):
                self.problem = "not all events were acknowledged"
        except Exception as exc:  # noqa: BLE001 - reported by the drill, which this thread must not take along
            self.problem = f"{type(exc).__name__}: {exc}"

    def end(self) -> None:
        """Publish nothing more, and return when all is acknowledged."""
        self._ended.set()
        if self.ident is not None:  # it was started
            self.join(70)

    def ready(self) -> set[str]:
        """Record keys of all rows that show thumbnails. Raises sqlalchemy's OperationalError."""
        with self._platform.engine.connect() as connection:
            return {
                f"{kind}:{number}"
                for kind, table in (("video", "videos"), ("ar_content", "ar_contents"))
                for (number,) in connection.execute(
                    sa.text(f"SELECT id FROM {table} WHERE thumbnail_status = 'ready'")  # noqa: S608 - one of two names
                )
            }

    def unready_before(self, moment: float) -> int:
        """How many uploads that were published before it are not ready."""
        ready = self.ready()
        return sum(upload.at <= moment and upload.record_key not in ready for upload in list(self.published))

    def by_company_since(self, moment: float) -> dict[int, tuple[int, int]]:
        """How many uploads were published since, and how many of these are ready, by company."""
        ready = self.ready()
        uploads = [upload for upload in list(self.published) if upload.at >= moment]
        return {
            company: (
                sum(upload.company_id == company for upload in uploads),
                sum(upload.company_id == company and upload.record_key in ready for upload in uploads),
            )
            for company in sorted({upload.company_id for upload in uploads})
        }

    def problems(self) -> list[str]:
        """What is wrong when all work is done; empty when every sound upload is ready in its own company's storage."""
        found = self._platform.problems()
        for tenant in self._tenants.values():
            found += problems_of(self._platform, tenant)
        rows = [(key, self._platform.row(key)) for key in self.poison]
        found += [
            f"poison {key}: not failed" for key, row in rows if row is None or row["thumbnail_status"] != "failed"
        ]
        return found + ([f"the platform gave up: {self.problem}"] if self.problem else [])

    def _publish_sound(self, number: int) -> None:
        tenants = [None, *self._tenants.values()]
        tenant, media = tenants[number % len(tenants)], number // len(tenants) + 1
        kind = "video" if media % 4 == 0 else "image"
        if tenant is None:
            upload, company = self._platform.upload(media, kind), ACME
        else:
            company = tenant.company_id
            upload = upload_for(self._platform, tenant, company * 10_000 + media, kind, number)
        self._send(upload.record_key, upload.event)
        self.published.append(Published(company, upload.record_key, time.monotonic()))

    def _publish_broken(self, media_id: int) -> None:
        upload: Upload = upload_for(self._platform, self._poisoned, media_id)
        del self._poisoned.expected[upload.record_key]  # it must fail
        self._poisoned.store.put(upload.event["media"]["key"], _BROKEN)
        self._send(upload.record_key, upload.event)
        self.poison.append(upload.record_key)

    def _publish_early(self, media_id: int) -> None:
        upload = upload_for(self._platform, self._poisoned, media_id, number=media_id)
        path = self._folder / upload.event["media"]["key"]
        self._withheld.append((path, path.read_bytes()))
        path.unlink()
        self._send(upload.record_key, upload.event)
        self.published.append(Published(self._poisoned.company_id, upload.record_key, time.monotonic()))

    def _send(self, key: str, event: dict[str, Any]) -> None:
        self._producer.produce(f"{self._platform.topic_prefix}media.uploaded", key=key, value=json.dumps(event))


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def _even(image: Image.Image) -> Image.Image:
    return image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
