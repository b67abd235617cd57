"""The present content of a media's row, read before any of its objects is deleted, and before a retry."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas.database import write_transaction
from schemas.errors import ErrorCode, TransientError
from schemas.events import Media, MediaKind
from schemas.tables import ar_contents, companies, videos
from streams.rows.last_write_wins import READY, RowState, counted_time
from streams.rows.versions import given_up_versions


@dataclass(frozen=True)
class ShownRow:
    """The folders of renditions that a row shows; usually one, none before the first result.

    `company_id` is None for a video without its AR content. The versions in `given_up` come never to be shown.
    """

    versions: frozenset[str]
    company_id: int | None = None
    given_up: tuple[str, ...] = ()
    changed_at: datetime | None = None
    """When a role wrote the row for the last time; None before the first."""


@dataclass(frozen=True)
class NewestUpload:
    """The newest upload whose outcome a row holds, with its counted time; the year 1 and no id before the first.

    The versions in `given_up`, of that upload or an older one, come never to be shown.
    """

    occurred_at: datetime
    event_id: str
    is_ready: bool = False
    given_up: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeletedRow:
    """The row of a media that was deleted upstream. `company_id` is None for a video without its AR content."""

    company_id: int | None
    ar_content_id: int


TOMBSTONE: Final = "tombstone"
"""In place of an upload's id, in a row whose media was deleted upstream."""


_SHOWN: Final = ("url", "placeholder", "status", "error")
_SHOWS_NOTHING: Final[dict[str, Any]] = {
    **{f"thumbnail_{name}": sa.null() for name in _SHOWN},
    **{name: sa.null() for name in ("thumbnails", "thumbnail_details")},
}


class RowStates:
    """Reads rows of videos and ar_contents; each method raises TransientError database.unavailable."""

    def __init__(self, engine: sa.Engine, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine: Final = engine
        self._now: Final = now

    def shown(self, media: Media) -> ShownRow | None:
        """Return what the row shows, or None when the row is gone."""
        table = table_of(media.kind)
        names = ("thumbnails", "thumbnail_given_up", "thumbnail_updated_at")
        columns = *(table.c[name] for name in names), ar_contents.c.company_id
        query = sa.select(*columns).where(table.c.id == media.row_id)
        if media.kind is MediaKind.VIDEO:
            query = query.outerjoin_from(videos, ar_contents, videos.c.ar_content_id == ar_contents.c.id)
        row = self._one(query)
        if row is None:
            return None
        given_up = given_up_versions(row.thumbnail_given_up)
        return ShownRow(
            shown_versions(row.thumbnails or ()),
            row.company_id,
            given_up,
            changed_at=aware(row.thumbnail_updated_at),
        )

    def newest(self, media: Media) -> NewestUpload | None:
        """Return the newest upload that the row knows of, or None when the row is gone."""
        table = table_of(media.kind)
        row = self._one(sa.select(*state_columns(table)).where(table.c.id == media.row_id))
        if row is None:
            return None
        given_up = given_up_versions(row.thumbnail_given_up)
        return NewestUpload(_moment_of(row), row.thumbnail_event_id or "", row.thumbnail_status == READY, given_up)

    def mark_deleted(
        self, kind: MediaKind, row_id: int, at: datetime, company_id: int | None = None
    ) -> DeletedRow | None:
        """Let the row show nothing, as if an upload without pictures had come at `at`, unless it knows a newer one.

        Return whose it is; None when it is gone. A row of another company than `company_id` stays as it is.
        """
        table = table_of(kind)
        # NO KEY: the platform may go on adding videos to a locked AR content.
        is_video = kind is MediaKind.VIDEO
        owner = videos.c.ar_content_id if is_video else table.c.id
        of_video = sa.select(ar_contents.c.company_id).where(ar_contents.c.id == owner).scalar_subquery()
        of_row = of_video if is_video else table.c.company_id
        columns = *state_columns(table), owner.label("ar_content_id"), of_row.label("company_id")
        lock = sa.select(*columns).where(table.c.id == row_id).with_for_update(key_share=True, of=table)
        try:
            with write_transaction(self._engine) as connection:
                row = connection.execute(lock).one_or_none()
                if row is None:
                    return None
                is_anothers = company_id is not None and row.company_id not in (None, company_id)
                if not is_anothers and (_moment_of(row) < at or _is_upload_of(row, at)):
                    written_at = max(self._now(), aware(row.thumbnail_updated_at) or at, at)  # see counted_time
                    change: dict[str, Any] = {"thumbnail_occurred_at": at, "thumbnail_updated_at": written_at}
                    change |= {"thumbnail_event_id": TOMBSTONE, "thumbnail_revision": next_revision(table)}
                    update = sa.update(table).where(table.c.id == row_id)
                    connection.execute(update.values(change | _SHOWS_NOTHING))
                return DeletedRow(row.company_id, row.ar_content_id)
        except SQLAlchemyError as exc:
            raise _unavailable(exc) from exc

    def _one(self, query: sa.Select[Any]) -> sa.Row[Any] | None:
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).one_or_none()
        except SQLAlchemyError as exc:
            raise _unavailable(exc) from exc


def _is_upload_of(row: sa.Row[Any], at: datetime) -> bool:
    """Return whether the row's upload has the time `at`: many clocks count seconds, and what is deleted was there before."""
    return row.thumbnail_event_id != TOMBSTONE and _moment_of(row) == at


def _unavailable(exc: SQLAlchemyError) -> TransientError:
    return TransientError(ErrorCode.DATABASE_UNAVAILABLE, f"The media's row could not be read: {type(exc).__name__}.")


def aware(moment: datetime | None) -> datetime | None:
    """`moment` with its time zone: SQLite keeps none, and what we write is UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def next_revision(table: sa.Table) -> sa.ColumnElement[int]:
    """Return thumbnail_revision after a change of the row; rows of 0.1 have none."""
    return sa.func.coalesce(table.c.thumbnail_revision, 0) + 1


def state_columns(table: sa.Table) -> tuple[sa.Column[Any], ...]:
    """Return the columns that `state_of` reads."""
    names = ("occurred_at", "updated_at", "event_id", "status", "given_up")
    return tuple(table.c[f"thumbnail_{name}"] for name in names)


def state_of(row: Any, company_id: int) -> RowState:
    """Return the state of a row that has the state columns."""
    given_up = given_up_versions(row.thumbnail_given_up)
    return RowState.of(company_id, _moment_of(row), row.thumbnail_event_id, row.thumbnail_status, given_up)


def _moment_of(row: sa.Row[Any]) -> datetime:
    return counted_time(aware(row.thumbnail_occurred_at), aware(row.thumbnail_updated_at))


def table_of(kind: MediaKind) -> sa.Table:
    """Return the table whose rows show thumbnails of this kind."""
    return videos if kind is MediaKind.VIDEO else ar_contents


def shown_versions(renditions: Iterable[Any]) -> frozenset[str]:
    """Return the version folders in the keys of a row's renditions."""
    keys = [item.get("key", "") for item in renditions if isinstance(item, dict)]
    return frozenset(key.split("/")[-2] for key in keys if key.count("/") >= 1)


def names_of(engine: sa.Engine, ids: Collection[int]) -> dict[int, str]:
    """Return the names of the companies that exist, by id. Raises SQLAlchemyError."""
    query = sa.select(companies.c.id, companies.c.name).where(companies.c.id.in_(ids))
    with engine.connect() as connection:
        return {row.id: row.name for row in connection.execute(query)}
