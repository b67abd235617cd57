"""Does what the platform does on an upload: a row, an object in the company's storage, an event. For trying and demos."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.events import Media, MediaKind, MediaUploaded
from schemas.headers import Headers
from schemas.producing import record_of
from schemas.tables import ar_contents, projects, videos
from service.publish.files import kind_of, shown
from service.tenants.explained import explained
from storage.tenants import Tenants
from streams.kafka.client import NotAcknowledgedError, send_and_wait
from streams.kafka.ports import KafkaProducer
from streams.kafka.records import OutboundRecord
from streams.tracing import NO_TRACING, Tracing

PUBLISH_TIMEOUT_S: Final = 30.0
_PLAIN_SUFFIX: Final = re.compile(r"\.[a-z0-9]{1,10}")


class PublishError(Exception):
    """An upload cannot be made, or the broker did not acknowledge its event; the message says why."""


@dataclass(frozen=True)
class Uploader:
    """Stores files as a company's uploads, with the rows that will show their thumbnails."""

    engine: sa.Engine
    tenants: Tenants

    def upload(self, company_id: int, path: Path) -> MediaUploaded:
        """Store the file's bytes, make the row and return the event to publish.

        Raises ThumbnailError, RowError and OSError, with nothing left behind.
        """
        content = path.read_bytes()
        kind, content_type = kind_of(content, path.name)
        suffix = found[0] if (found := _PLAIN_SUFFIX.fullmatch(path.suffix.lower())) else ""
        with self.tenants.open(company_id) as tenant:
            key = f"{tenant.prefix}/uploads/{uuid.uuid4().hex[:12]}{suffix}"
            tenant.upload_file(key, content, content_type=content_type)
            try:
                media = self._insert_row(company_id, kind, key, shown(Path(path.name)), content_type, len(content))
            except BaseException:
                tenant.delete_file(key)
                raise
        return MediaUploaded(
            event_id=str(uuid.uuid4()), occurred_at=datetime.now(UTC), company_id=company_id, media=media
        )

    def withdraw(self, upload: MediaUploaded) -> None:
        """Remove the row and the object of an upload whose event was not published. Raises ThumbnailError, RowError."""
        with explained(), write_transaction(self.engine) as connection:
            if upload.media.kind is MediaKind.VIDEO:
                connection.execute(sa.delete(videos).where(videos.c.id == upload.media.id))
            connection.execute(sa.delete(ar_contents).where(ar_contents.c.id == upload.media.ar_content_id))
        with self.tenants.open(upload.company_id) as tenant:
            tenant.delete_file(upload.media.key)

    def _insert_row(
        self, company_id: int, kind: MediaKind, key: str, title: str, content_type: str, size_bytes: int
    ) -> Media:
        with explained(), write_transaction(self.engine) as connection:
            project_id = connection.scalar(sa.select(projects.c.id).where(projects.c.company_id == company_id).limit(1))
            if project_id is None:
                project = {"company_id": company_id, "name": "Uploads"}
                project_id = _insert(connection, projects, project)
            content = {
                "project_id": project_id,
                "company_id": company_id,
                "unique_id": str(uuid.uuid4()),
                "title": title,
                "image_path": key if kind is MediaKind.IMAGE else None,
            }
            ar_content_id = _insert(connection, ar_contents, content)
            media_id = ar_content_id
            if kind is MediaKind.VIDEO:
                video = {
                    "ar_content_id": ar_content_id,
                    "video_path": key,
                    "title": title,
                    "size_bytes": size_bytes,
                    "mime_type": content_type,
                }
                media_id = _insert(connection, videos, video)
        return Media(
            kind=kind,
            id=media_id,
            ar_content_id=ar_content_id,
            key=key,
            content_type=content_type,
            size_bytes=size_bytes,
        )


def _insert(connection: sa.Connection, table: sa.Table, values: dict[str, object]) -> int:
    key = connection.execute(sa.insert(table).values(values)).inserted_primary_key
    if key is None:
        raise AssertionError(f"{table.name} has no primary key")
    return int(key[0])


def publish_uploads(
    producer: KafkaProducer, uploads: list[MediaUploaded], *, topic: str, tracing: Tracing = NO_TRACING
) -> None:
    """Publish the events to `topic`, and return when the broker has all of them. Raises PublishError."""
    records = [record_of(upload) for upload in uploads]
    publish_records(producer, topic, [(record.key, record.value, record.headers) for record in records], tracing)


def publish_records(
    producer: KafkaProducer,
    topic: str,
    records: Sequence[tuple[bytes | None, bytes, Headers]],
    tracing: Tracing = NO_TRACING,
) -> None:
    """Send raw records (key, value, headers), and return when the broker has all of them. Raises PublishError.

    A record without a trace begins one.
    """
    try:
        send_and_wait(
            producer, (OutboundRecord(topic, *record) for record in records), tracing, timeout_s=PUBLISH_TIMEOUT_S
        )
    except NotAcknowledgedError as exc:
        what = "The event was not" if len(records) == 1 else f"Not all of the {len(records)} events were"
        raise PublishError(f"{what} acknowledged: {exc.args[0].str()}.") from exc
