"""What a media's row shows at this moment: asked before anything of it is deleted."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import ErrorCode, TransientError
from schemas.events import Media, MediaKind
from schemas.tables import ar_contents, videos


@dataclass(frozen=True)
class ShownRow:
    """The versions (folders of renditions) that a row shows; usually one, none before the first result."""

    versions: frozenset[str]


class RowStates:
    """Reads rows of videos and ar_contents."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine: Final = engine

    def shown(self, media: Media) -> ShownRow | None:
        """What the row shows, or None when the row is gone. Raises TransientError database.unavailable."""
        table = table_of(media.kind)
        query = sa.select(table.c.thumbnails).where(table.c.id == media.row_id)
        try:
            with self._engine.connect() as connection:
                row = connection.execute(query).one_or_none()
        except SQLAlchemyError as exc:
            raise TransientError(
                ErrorCode.DATABASE_UNAVAILABLE, f"The media's row could not be read: {type(exc).__name__}."
            ) from exc
        return None if row is None else ShownRow(shown_versions(row.thumbnails or ()))


def table_of(kind: MediaKind) -> sa.Table:
    """The table whose rows show thumbnails of this kind."""
    return videos if kind is MediaKind.VIDEO else ar_contents


def shown_versions(renditions: Iterable[Any]) -> frozenset[str]:
    """The version folders in the keys of a row's renditions."""
    keys = [item.get("key", "") for item in renditions if isinstance(item, dict)]
    return frozenset(key.split("/")[-2] for key in keys if key.count("/") >= 1)
