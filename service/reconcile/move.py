"""Brings pictures from local storage home to the company's own: copied, confirmed, and described as a newer result."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from processors.output.renditions import main_index
from processors.types import PictureFormat
from schemas.errors import ErrorCode, TransientError
from schemas.events import (
    FrameInfo,
    MediaUploaded,
    RenditionInfo,
    SourceInfo,
    StorageInfo,
    ThumbnailReady,
    TimingsMs,
    result_event_id,
)
from service.reconcile.rows import MediaRow
from storage.keys import thumbnail_key, thumbnails_prefix, version_folder
from storage.tenants import TenantStorage
from streams.thumbnails.storage_calls import InlineRetry

METHOD: Final = "moved"
"""In place of the way in which a frame was found: nobody has looked at the source."""
UNKNOWN: Final = "unknown"
_TYPES: Final = {member.extension: member.media_type for member in PictureFormat}


def moved(
    event: MediaUploaded, row: MediaRow, contents: Sequence[bytes], own: TenantStorage, retry: InlineRetry
) -> ThumbnailReady:
    """Write the row's pictures to the company's own storage, and return the result that announces them.

    `event` has the place in the order of uploads that the result takes. Raises ThumbnailError; what was written until
    then has no row, and is written again or deleted by the next run.
    """
    began = datetime.now(UTC)
    names = [picture.key.rpartition("/")[2] for picture in row.pictures]
    folder = version_folder(event.version, event.company_id, zip(names, contents, strict=True))
    media_folder = thumbnails_prefix(own.prefix, event.media.kind.value, event.media.row_id)
    infos = []
    for picture, name, content in zip(row.pictures, names, contents, strict=True):
        stem, _, extension = name.rpartition(".")
        key = thumbnail_key(media_folder, folder, stem, extension)
        _store(own, key, content, _TYPES.get(extension, "application/octet-stream"), retry)
        facts = {"key": key, "url": retry.call(lambda key=key: own.get_file_url(key))}  # type: ignore[misc]
        size = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        infos.append(RenditionInfo.model_validate({**picture.info, **facts, **size}))
    now = datetime.now(UTC)
    largest = max(infos, key=lambda info: info.width * info.height)
    took_ms = round((now - began).total_seconds() * 1000, 1)
    return ThumbnailReady(
        event_id=result_event_id(event, "ready", event.version),
        upload_event_id=event.event_id,
        occurred_at=event.occurred_at,
        produced_at=max(now, event.occurred_at),  # see rows.last_write_wins.counted_time
        company_id=event.company_id,
        media=event.media,
        thumbnail_url=infos[main_index([info.name for info in infos])].url,
        renditions=tuple(infos),
        storage=StorageInfo(provider=own.provider.name, connection_id=own.connection_id),
        source=SourceInfo(width=largest.width, height=largest.height, codec=UNKNOWN, format=UNKNOWN),
        frame=FrameInfo(method=METHOD, candidates=0),
        placeholder=row.found.thumbnail_placeholder,
        attempt=1,
        timings_ms=TimingsMs(read=0, decode=0, render=0, upload=took_ms, total=took_ms),
        version=event.version,
    )


def _store(own: TenantStorage, key: str, content: bytes, content_type: str, retry: InlineRetry) -> None:
    stored = retry.call(lambda: own.upload_file(key, content, content_type=content_type))
    if (stored.size_bytes, stored.sha256) != (len(content), hashlib.sha256(content).hexdigest()):
        raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"The store confirmed other content for {key!r}.")
