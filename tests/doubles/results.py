"""Results, and a database with two companies' rows, for the tests of persistence."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from schemas.database import create_engine_for, write_transaction
from schemas.errors import ErrorCode, Stage
from schemas.events import (
    DeadLetterInfo,
    ErrorInfo,
    FrameInfo,
    Media,
    MediaKind,
    RenditionInfo,
    SourceInfo,
    StorageInfo,
    ThumbnailFailed,
    ThumbnailReady,
    TimingsMs,
    derived_event_id,
    upload_version,
)
from schemas.migrations import upgrade
from schemas.tables import ar_contents, companies, projects, videos
from tests.doubles.pipeline import NOW


def a_media(media_id: int = 42, kind: MediaKind = MediaKind.VIDEO) -> Media:
    return Media(kind=kind, id=media_id, ar_content_id=media_id, key="acme/uploads/a.mp4")


def moment(number: int) -> datetime:
    return NOW + timedelta(seconds=number)


def version(number: int = 1, started_by: str | None = None) -> str:
    """The version of upload `number` at its first start, or at the one by the record at a position."""
    return upload_version(moment(number), f"upload-{number}", started_by)


def ready(
    number: int = 1,
    media: Media | None = None,
    company_id: int = 1,
    *,
    started_by: str | None = None,
    **changes: object,
) -> ThumbnailReady:
    """The result of upload `number`; a higher number is a later upload."""
    media = media or a_media()
    upload_id = f"upload-{number}"
    key = f"acme/thumbnails/{media.kind}/{media.row_id}/{version(number, started_by)}/medium.webp"
    rendition = RenditionInfo(
        name="medium", key=key, url=f"http://x/{key}", width=320, height=240, format="webp", bytes=9, sha256="00"
    )
    fields: dict[str, object] = {
        "event_id": derived_event_id(upload_id, company_id, media, "ready"),
        "upload_event_id": upload_id,
        "occurred_at": moment(number),
        "produced_at": max(NOW, moment(number)),
        "company_id": company_id,
        "media": media,
        "thumbnail_url": rendition.url,
        "renditions": (rendition,),
        "storage": StorageInfo(provider="memory"),
        "source": SourceInfo(width=640, height=480, codec="h264", format="mov"),
        "frame": FrameInfo(time_s=1.0, method="pyav-smart"),
        "attempt": 1,
        "timings_ms": TimingsMs(read=1, decode=1, render=1, upload=1, total=4),
    }
    return ThumbnailReady.model_validate(fields | changes)


def failed(
    number: int = 1,
    media: Media | None = None,
    message: str = "Broken.",
    *,
    code: ErrorCode = ErrorCode.MEDIA_CORRUPT,
    company_id: int = 1,
    version: str | None = None,
) -> ThumbnailFailed:
    """The failure of upload `number`; one of 0.1 names no version."""
    upload_id = f"upload-{number}"
    return ThumbnailFailed(
        event_id=derived_event_id(upload_id, company_id, media or a_media(), "failed"),
        upload_event_id=upload_id,
        occurred_at=moment(number),
        produced_at=max(NOW, moment(number)),
        company_id=company_id,
        media=media or a_media(),
        error=ErrorInfo(code=code, message=message, stage=Stage.DECODE, retryable=False, next_action="Look."),
        attempts=1,
        first_failed_at=NOW,
        dead_letter=DeadLetterInfo(topic="thumbnail.dlq"),
        version=version,
    )


def a_database(url: str, media_ids: range = range(40, 50)) -> sa.Engine:
    """The schema, companies 1 and 2, and a video and an AR content of company 1 for each id."""
    upgrade(url)
    engine = create_engine_for(url)
    with write_transaction(engine) as connection:
        for number, slug in ((1, "acme"), (2, "globex")):
            company = {"id": number, "name": slug, "slug": slug, "storage_path": slug}
            connection.execute(sa.insert(companies).values(**company))
            connection.execute(sa.insert(projects).values(id=number, company_id=number, name="p"))
        contents = [{"id": n, "project_id": 1, "company_id": 1, "unique_id": str(n)} for n in media_ids]
        connection.execute(sa.insert(ar_contents), contents)
        connection.execute(sa.insert(videos), [{"id": n, "ar_content_id": n} for n in media_ids])
    return engine
