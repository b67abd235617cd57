"""`thumbnails sample`: one small upload through an installation that runs, so that it has a picture to show."""

import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from schemas.cloudevents import write_event
from schemas.events import Media, MediaKind, MediaUploaded
from schemas.tables import ar_contents, videos
from service.demo.media import write_meadow
from service.publish.publisher import Publisher, outcome_of
from service.roles import build as bootstrap
from service.roles import build_storage
from service.settings import Settings
from service.tenants.company_rows import add_company, list_companies
from service.tenants.connection_rows import add_connection, list_connections
from service.tenants.explained import explained
from service.tenants.new_connection import new_connection, prove
from service.tenants.values import new_company
from streams.rows.last_write_wins import READY
from streams.tracing import NO_TRACING

SLUG: Final = "sample"
TITLE: Final = "sample.mp4"
CONNECTION: Final = "Sample S3"


class SampleError(Exception):
    """The sample has no picture; the message says why and what to do."""


def show_sample(settings: Settings, *, timeout_s: float, s3_credentials: str | None = None) -> str | None:
    """Return the URL of the sample's thumbnail; without one, upload the sample and wait for it.

    The company that it adds keeps its files in the S3 of `s3_credentials`, JSON text; without them, or without a
    STORAGE_CREDENTIALS_KEY to encrypt them, in local storage.

    None where companies exist and the sample's is not among them: an installation in use gets no company that nobody
    asked for, and neither does one whose platform adds the companies. It may be repeated: the company and the row are
    looked for first. A run that was killed before the event was sent, or whose event failed, leaves a row without a
    thumbnail, and the next run announces that row's file again. Raises SampleError, and what Publisher raises.
    """
    with bootstrap.open_engine(settings) as engine:
        company_id = _company(engine, settings, s3_credentials)
        if company_id is None:
            return None
        row = _newest(engine, company_id)
        if row is not None and row.thumbnail_status == READY:
            return str(row.thumbnail_url)
        publisher = Publisher(settings, engine, NO_TRACING)
        upload = _publish(publisher, company_id) if row is None else _publish_again(publisher, company_id, row)
        status, said = outcome_of(engine, upload, time.monotonic() + timeout_s) or ("waiting", "")
    if status == READY:
        return said
    if status == "waiting":
        raise SampleError(
            f"The sample has no thumbnail after {timeout_s:g} s: `thumbnails status` shows what waits, and why."
        )
    raise SampleError(f"The sample failed with {said} See docs/errors.md.")


def _company(engine: sa.Engine, settings: Settings, s3_credentials: str | None) -> int | None:
    known = {str(row["slug"]): int(row["id"]) for row in list_companies(engine)}
    if known or settings.database.tenant_tables_read_only:
        return known.get(SLUG)
    has_key = settings.connections.storage_credentials_key is not None
    connection = _connection(engine, settings, s3_credentials) if s3_credentials and has_key else None
    return add_company(engine, new_company("Sample", SLUG, None, connection))


def _connection(engine: sa.Engine, settings: Settings, credentials: str) -> str:
    """Return the id of the sample's connection, proved by use; a run that was killed after this step has left one."""
    for row in list_connections(engine):
        if row["name"] == CONNECTION:
            return str(row["id"])
    of_all_tenants = build_storage.provider_settings(settings)
    connection = new_connection(CONNECTION, "minio", credentials, "", of_all_tenants)
    prove(connection, of_all_tenants, not_done="added")
    return str(add_connection(engine, connection, None))


def _newest(engine: sa.Engine, company_id: int) -> sa.Row[Any] | None:
    is_sample = sa.and_(ar_contents.c.company_id == company_id, videos.c.title == TITLE)
    query = sa.select(videos).join(ar_contents).where(is_sample).order_by(videos.c.id.desc()).limit(1)
    with explained(), engine.connect() as connection:
        return connection.execute(query).one_or_none()


def _publish(publisher: Publisher, company_id: int) -> MediaUploaded:
    with tempfile.TemporaryDirectory(prefix="thumbnails-sample-") as folder:
        ((_, upload),) = publisher.publish_files(company_id, [write_meadow(Path(folder) / TITLE)])
    return upload


def _publish_again(publisher: Publisher, company_id: int, row: sa.Row[Any]) -> MediaUploaded:
    """Publish a newer upload of the row's own file: whatever became of the earlier one, the newest upload wins."""
    media = Media(
        kind=MediaKind.VIDEO,
        id=row.id,
        ar_content_id=row.ar_content_id,
        key=row.video_path,
        content_type=row.mime_type,
        size_bytes=row.size_bytes,
    )
    again = MediaUploaded(event_id=str(uuid.uuid4()), occurred_at=datetime.now(UTC), company_id=company_id, media=media)
    return publisher.publish_event(write_event(again))
