"""The platform's side of a campaign: stores sources, deletes rows, publishes events, at the planned times."""

import heapq
import io
import itertools
import random
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from PIL import Image
from sqlalchemy.exc import OperationalError

from tests.campaign.chaos.cluster import Cluster
from tests.campaign.chaos.oracle import Published
from tests.campaign.chaos.uploads import ACME, Case, PlannedUpload
from tests.system.platform import Upload, a_clip

PATIENCE_S: Final = 60.0
REPEAT_AFTER_S: Final = 1.5
_SLUGS: Final = {ACME: "acme"}


class Publisher(threading.Thread):
    """Publishes `uploads` within `lasts_s` seconds. `problem` says why it gave up, when it did."""

    def __init__(self, cluster: Cluster, uploads: Iterable[PlannedUpload], lasts_s: float) -> None:
        super().__init__(name="publisher", daemon=True)
        self.published: Final[list[Published]] = []
        self.problem: str | None = None
        self._cluster: Final = cluster
        self._s3: Final = cluster.places.s3()
        self._samples: Final = _samples()
        self._order: Final = itertools.count()
        self._jobs: Final[list[tuple[float, int, Callable[[], object]]]] = []
        self._began_at = 0.0
        self._ended: Final = threading.Event()
        for upload in uploads:
            self._at(upload.at * lasts_s, lambda upload=upload: self._begin(upload))  # type: ignore[misc]

    def end(self) -> None:
        """Publish nothing more."""
        self._ended.set()

    def run(self) -> None:
        """Do each job when its time has come."""
        self._began_at = time.monotonic()
        try:
            while self._jobs and not self._ended.is_set():
                at_s, _, job = heapq.heappop(self._jobs)
                if not self._ended.wait(max(0.0, self._began_at + at_s - time.monotonic())):
                    job()
        except Exception as exc:  # noqa: BLE001 - reported by the campaign, which this thread must not take along
            self.problem = f"{type(exc).__name__}: {exc}"
        finally:
            self._s3.close()

    def _at(self, at_s: float, job: Callable[[], object]) -> None:
        heapq.heappush(self._jobs, (at_s, next(self._order), job))

    def _begin(self, planned: PlannedUpload) -> None:
        """The event and its source, in the order that the case asks for."""
        content = self._samples[_sample_name(planned)][len(self.published) % 4]
        key = f"{_SLUGS.get(planned.company_id, 'globex')}/uploads/{planned.event_id}"
        is_late = planned.case in (Case.LATE, Case.DELETED)
        if not is_late and planned.case is not Case.MISSING:
            self._put(planned, key, content)
        upload = self._publish(planned, key)
        now_s = time.monotonic() - self._began_at
        if planned.case is Case.DELETED:
            self._patiently(lambda: self._delete_row(planned))
        if is_late:  # never before the row is deleted, so that no result can reach the row
            self._at(now_s + planned.source_late_s, lambda: self._put(planned, key, content))
        if planned.case is Case.REPEATED:
            self._at(now_s + REPEAT_AFTER_S, lambda: self._cluster.platform.publish([upload]))

    def _publish(self, planned: PlannedUpload, key: str) -> Upload:
        age = timedelta(seconds=planned.age_s - self._cluster.clock_skew_s)
        media = {"kind": planned.kind, "id": planned.media_id, "ar_content_id": planned.media_id, "key": key}
        event = {
            "event_id": planned.event_id,
            "occurred_at": (datetime.now(UTC) - age).isoformat(),
            "company_id": planned.company_id,
            "media": media,
        }
        upload = Upload(event, sound=planned.error_code is None)
        self.published.append(Published(planned, event))
        self._cluster.platform.publish([upload])
        return upload

    def _put(self, planned: PlannedUpload, key: str, content: bytes) -> None:
        if planned.company_id == ACME:
            self._patiently(lambda: self._put_file(key, content))
        else:
            bucket = self._cluster.places.bucket
            self._s3.put_object(Bucket=bucket, Key=f"globex/{key}", Body=content)

    def _put_file(self, key: str, content: bytes) -> None:
        """Whole at once: on a full disk a worker must not see half of it."""
        path = self._cluster.places.storage_root / "vault" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.upstream")
        unfinished.write_bytes(content)
        unfinished.rename(path)

    def _delete_row(self, planned: PlannedUpload) -> None:
        with self._cluster.platform.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM videos WHERE id = :id"), {"id": planned.media_id})
            if planned.kind == "image":
                connection.execute(sa.text("DELETE FROM ar_contents WHERE id = :id"), {"id": planned.media_id})

    def _patiently(self, job: Callable[[], None]) -> None:
        """The database may be down, the disk full: the platform tries again until they are not."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return job()
            except (OSError, OperationalError):
                if time.monotonic() > deadline or self._ended.wait(0.2):
                    raise


def add_rows(cluster: Cluster, uploads: Iterable[PlannedUpload]) -> None:
    """A row for each media, as the platform makes them before it announces an upload."""
    rows = {upload.media_id: upload.company_id for upload in uploads}
    contents = [{"id": number, "company": company, "unique": f"u{number}"} for number, company in rows.items()]
    with cluster.platform.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO ar_contents (id, project_id, company_id, unique_id)"
                " VALUES (:id, :company, :company, :unique)"
            ),
            contents,
        )
        connection.execute(sa.text("INSERT INTO videos (id, ar_content_id) VALUES (:id, :id)"), contents)


def _sample_name(planned: PlannedUpload) -> str:
    return planned.case if planned.case in (Case.BROKEN, Case.BOMB) else planned.kind


def _samples() -> dict[str, list[bytes]]:
    """Four files of each sort, small ones, so that the faults and not the decoding are the work."""
    return {
        "image": [_photo(seed) for seed in range(4)],
        "video": [a_clip(seed) for seed in range(4)],
        Case.BROKEN: [b"\xff\xd8\xff\xe0" + bytes(300 + seed) for seed in range(4)],
        Case.BOMB: [_bomb(60_000 + seed) for seed in range(4)],
    }


def _photo(seed: int) -> bytes:
    out = io.BytesIO()
    small = Image.frombytes("RGB", (8, 6), random.Random(seed).randbytes(144))
    small.resize((320, 240), Image.Resampling.BICUBIC).save(out, "JPEG")
    return out.getvalue()


def _bomb(side: int) -> bytes:
    """A PNG of a hundred bytes that says it has side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
