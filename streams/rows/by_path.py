"""Finds the rows of media by the paths of their files, as the platform writes them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from schemas.events import MediaKind
from schemas.tables import ar_contents, videos

PATHS_A_QUERY: Final = 500
"""SQLite takes 32,766 values in a statement, PostgreSQL 65,535."""


@dataclass(frozen=True)
class PathRow:
    """A row of videos or ar_contents, by the ids that its events have."""

    kind: MediaKind
    id: int
    ar_content_id: int
    company_id: int


class RowsByPath:
    """Reads video_path and image_path. They want an index each: without one every query reads the tables."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine: Final = engine

    def find(self, paths: Collection[str]) -> Mapping[str, tuple[PathRow, ...]]:
        """Return the rows of each path that has some. Raises SQLAlchemyError."""
        found: dict[str, tuple[PathRow, ...]] = {}
        left = iter(sorted(set(paths)))
        while some := list(islice(left, PATHS_A_QUERY)):
            with self._engine.connect() as connection:
                for query, kind in ((_videos(some), MediaKind.VIDEO), (_photographs(some), MediaKind.IMAGE)):
                    for row in connection.execute(query):
                        media = PathRow(kind, row.id, row.ar_content_id, row.company_id)
                        found[row.path] = (*found.get(row.path, ()), media)
        return found


def _videos(paths: list[str]) -> sa.Select[Any]:
    columns = videos.c.id, videos.c.ar_content_id, ar_contents.c.company_id, videos.c.video_path.label("path")
    source = videos.join(ar_contents, videos.c.ar_content_id == ar_contents.c.id)
    return sa.select(*columns).select_from(source).where(videos.c.video_path.in_(paths)).order_by(videos.c.id)


def _photographs(paths: list[str]) -> sa.Select[Any]:
    columns = ar_contents.c.id, ar_contents.c.id.label("ar_content_id"), ar_contents.c.company_id
    path = ar_contents.c.image_path
    return sa.select(*columns, path.label("path")).where(path.in_(paths)).order_by(ar_contents.c.id)
