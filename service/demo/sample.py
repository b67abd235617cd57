"""`thumbnails sample`: one small upload through an installation that runs, so that it has a picture to show."""

import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from confluent_kafka import Producer

from schemas.events import Media, MediaKind, MediaUploaded
from schemas.tables import ar_contents, videos
from service import bootstrap, bootstrap_storage
from service.demo.media import write_meadow
from service.kafka_clients import producer_config
from service.kafka_connection import connect
from service.settings import Settings
from service.tenant_rows import add_company, list_companies, new_company
from service.uploads import Uploader, publish_uploads
from streams.row_changes import FAILED, READY
from streams.row_state import aware

SLUG: Final = "sample"
TITLE: Final = "sample.mp4"
_POLL_S: Final = 0.2


class SampleError(Exception):
    """The sample has no picture; the message says why and what to do."""


def show_sample(settings: Settings, *, timeout_s: float) -> str | None:
    """Return the URL of the sample's thumbnail; without one, upload the sample and wait for it.

    None where companies exist and the sample's is not among them: an installation in use gets no company that nobody
    asked for. It may be repeated: the company and the row are looked for first. A run that was interrupted before the
    event was sent, or whose event failed, leaves a row without a thumbnail, and the next run announces that row's file
    again. Raises SampleError, and what a command that publishes raises.
    """
    with bootstrap.open_engine(settings) as engine:
        company_id = _company(engine)
        if company_id is None:
            return None
        row = _newest(engine, company_id)
        if row is not None and row.thumbnail_status == READY:
            return str(row.thumbnail_url)
        connect(settings.kafka)  # before anything is stored
        upload = _upload(settings, engine, company_id) if row is None else _announced_again(row, company_id)
        prefix = settings.kafka.kafka_topic_prefix
        publish_uploads(Producer(producer_config(settings.kafka)), [upload], topic_prefix=prefix)
        return _url(engine, upload, timeout_s)


def _company(engine: sa.Engine) -> int | None:
    known = {str(row["slug"]): int(row["id"]) for row in list_companies(engine)}
    return known.get(SLUG) if known else add_company(engine, new_company("Sample", SLUG, None, None))


def _newest(engine: sa.Engine, company_id: int) -> sa.Row[Any] | None:
    is_sample = sa.and_(ar_contents.c.company_id == company_id, videos.c.title == TITLE)
    query = sa.select(videos).join(ar_contents).where(is_sample).order_by(videos.c.id.desc()).limit(1)
    with engine.connect() as connection:
        return connection.execute(query).one_or_none()


def _upload(settings: Settings, engine: sa.Engine, company_id: int) -> MediaUploaded:
    uploader = Uploader(engine, bootstrap_storage.build_tenants(settings, engine))
    with tempfile.TemporaryDirectory(prefix="thumbnails-sample-") as folder:
        return uploader.upload(company_id, write_meadow(Path(folder) / TITLE))


def _announced_again(row: sa.Row[Any], company_id: int) -> MediaUploaded:
    """Return a newer upload of the row's own file: whatever became of the earlier one, the newest upload wins."""
    media = Media(
        kind=MediaKind.VIDEO,
        id=row.id,
        ar_content_id=row.ar_content_id,
        key=row.video_path,
        content_type=row.mime_type,
        size_bytes=row.size_bytes,
    )
    return MediaUploaded(event_id=str(uuid.uuid4()), occurred_at=datetime.now(UTC), company_id=company_id, media=media)


def _url(engine: sa.Engine, upload: MediaUploaded, timeout_s: float) -> str:
    """Return the row's URL when it shows this upload or a newer one."""
    deadline = time.monotonic() + timeout_s
    while True:
        row = _newest(engine, upload.company_id)
        if row is None:
            raise SampleError("The row of the sample was deleted meanwhile: run it again.")
        moment = aware(row.thumbnail_occurred_at)
        if moment is not None and moment >= upload.occurred_at:
            if row.thumbnail_status == READY:
                return str(row.thumbnail_url)
            if row.thumbnail_status == FAILED:
                raise SampleError(f"The sample failed with {row.thumbnail_error} See docs/errors.md.")
        if time.monotonic() > deadline:
            raise SampleError(
                f"The sample has no thumbnail after {timeout_s:g} s: `thumbnails status` shows what waits, and why."
            )
        time.sleep(_POLL_S)
