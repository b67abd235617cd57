"""The platform's side of a campaign: stores sources, deletes rows, publishes records, at the planned times."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from tests.campaign.chaos.cluster import Cluster
from tests.campaign.chaos.oracle.facts import BASE_PATHS, Published
from tests.campaign.chaos.sources import content_of
from tests.campaign.chaos.uploads import ACME, SLUGS, Case, PlannedUpload
from tests.campaign.chaos.writing import RecordWriter

PATIENCE_S: Final = 90.0
REPEAT_AFTER_S: Final = 1.5
LATE: Final = frozenset({Case.LATE, Case.DELETED, Case.TOMBSTONE, Case.REPAIRED})
"""The source comes after the record."""


class Publisher(threading.Thread):
    """Publishes `uploads` within `lasts_s` seconds, and as much later as `behind_s` says. `problem` says why it gave up."""

    def __init__(
        self,
        cluster: Cluster,
        uploads: Iterable[PlannedUpload],
        lasts_s: float,
        behind_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__(name="publisher", daemon=True)
        self.published: Final[list[Published]] = []
        self.problem: str | None = None
        self._cluster: Final = cluster
        self._s3: Final = cluster.places.s3()
        self._writer: Final = RecordWriter(cluster.places.bootstrap_servers)
        self._order: Final = itertools.count()
        self._jobs: Final[list[tuple[float, int, Callable[[], object]]]] = []
        self._began_at = 0.0
        self._behind_s: Final = behind_s
        self._ended: Final = threading.Event()
        for upload in uploads:
            self._at(upload.at * lasts_s, lambda upload=upload: self._begin(upload))  # type: ignore[misc]

    def end(self) -> None:
        """Publish nothing more."""
        self._ended.set()

    def repair(self) -> None:
        """Store the objects that come last. To be called when run() has ended, with storage that works."""
        for upload in self.published:
            if upload.planned.comes_last and (content := content_of(upload.planned)) is not None:
                self._put_late(upload, _key_of(upload.planned), content)

    def run(self) -> None:
        """Do each job when its time has come."""
        self._began_at = time.monotonic()
        try:
            while self._jobs and not self._ended.is_set():
                at_s, _, job = heapq.heappop(self._jobs)
                if not self._ended.wait(max(0.0, at_s - self._now_s())):
                    job()
        except Exception as exc:  # noqa: BLE001 - reported by the campaign, which this thread must not take along
            self.problem = f"{type(exc).__name__}: {exc}"
        finally:
            self._s3.close()

    def _now_s(self) -> float:
        """By the plan: it stands still while the campaign is held up."""
        return time.monotonic() - self._began_at - self._behind_s()

    def _at(self, at_s: float, job: Callable[[], object]) -> None:
        heapq.heappush(self._jobs, (at_s, next(self._order), job))

    def _begin(self, planned: PlannedUpload) -> None:
        """The record and its source, in the order that the case asks for."""
        content = content_of(planned)
        key = _key_of(planned)
        is_late = planned.case in LATE
        if not is_late and content is not None:
            self._put(planned, key, content)
        upload = self._make(planned, key)
        self.published.append(upload)
        self._writer.write(upload)
        now_s = self._now_s()
        if planned.case is Case.DELETED:
            self._patiently(lambda: self._delete_row(planned))
        if planned.case is Case.TOMBSTONE or (planned.case is Case.REVIVED and planned.age_s):
            self._writer.write_tombstone(planned.record_key)
        if (
            is_late and content is not None and not planned.comes_last
        ):  # never before the row is deleted, so that no result can reach the row
            self._at(now_s + planned.source_late_s, lambda: self._put_late(upload, key, content))
        if planned.case is Case.REPEATED:
            self._at(now_s + REPEAT_AFTER_S, lambda: self._writer.write(upload))

    def _make(self, planned: PlannedUpload, key: str) -> Published:
        now = datetime.now(UTC)
        age = timedelta(seconds=planned.age_s - self._cluster.clock_skew_s)
        media = {"kind": planned.kind, "id": planned.media_id, "ar_content_id": planned.media_id, "key": key}
        event = {
            "event_id": planned.event_id,
            "occurred_at": (now - age).isoformat(),
            "company_id": planned.company_id,
            "media": media,
        }
        return Published(planned, event, now)

    def _put_late(self, upload: Published, key: str, content: bytes) -> None:
        self._put(upload.planned, key, content)
        upload.source_late_s.append((datetime.now(UTC) - upload.published_at).total_seconds())

    def _put(self, planned: PlannedUpload, key: str, content: bytes) -> None:
        if planned.company_id == ACME:
            self._patiently(lambda: self._put_file(key, content))
        else:
            bucket = self._cluster.places.bucket
            self._s3.put_object(Bucket=bucket, Key=f"{BASE_PATHS[planned.company_id]}/{key}", Body=content)

    def _put_file(self, key: str, content: bytes) -> None:
        """Whole at once: on a full disk a worker must not see half of it."""
        path = self._cluster.places.storage_root / BASE_PATHS[ACME] / key
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
        """The database may be down or read-only, the disk full: the platform tries again until they are not."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return job()
            except (OSError, DBAPIError):
                if time.monotonic() > deadline or self._ended.wait(0.2):
                    raise


def _key_of(planned: PlannedUpload) -> str:
    """Of its object, within the company's storage."""
    return f"{SLUGS[planned.company_id]}/uploads/{planned.event_id}"


def add_rows(cluster: Cluster, uploads: Iterable[PlannedUpload]) -> None:
    """A row for each media, as the platform makes them before it announces an upload."""
    rows = {upload.media_id: upload.company_id for upload in uploads if upload.is_upload}
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
