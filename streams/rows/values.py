"""What a result looks like in a row's columns."""

from typing import Final

from pydantic import TypeAdapter

from schemas.events import RenditionInfo, ThumbnailFailed, ThumbnailReady
from streams.rows.last_write_wins import FAILED, READY, Result

_RENDITIONS: Final = TypeAdapter(tuple[RenditionInfo, ...])


def status_of(result: Result) -> str:
    """thumbnail_status."""
    return READY if isinstance(result, ThumbnailReady) else FAILED


def error_text(result: Result) -> str | None:
    """thumbnail_error."""
    return f"{result.error.code}: {result.error.message}" if isinstance(result, ThumbnailFailed) else None


def renditions_json(result: ThumbnailReady) -> str:
    """thumbnails, as JSON text: several times as fast as by way of dictionaries."""
    return _RENDITIONS.dump_json(result.renditions).decode()
