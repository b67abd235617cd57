"""Reads the rows of a backfill by their ids, a bounded number of them at a time, and makes the event of each."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from pydantic import ValidationError

from schemas.events import BACKFILL_PREFIX, Media, MediaKind, MediaUploaded, derived_event_id
from schemas.tables import ar_contents, companies, videos
from service.backfill.state import Mode, Reason, RowChoice, Run
from service.tenants.explained import explained
from service.tenants.values import company_prefix
from storage.keys import is_inside, is_key
from streams.rows.last_write_wins import FAILED, READY, counted_time
from streams.rows.queries import TOMBSTONE, aware, table_of

WINDOW: Final = 5_000
"""So many ids one query looks at, whether it wants their rows or not: the time of each is bounded, in any table."""
BEFORE_ALL_UPLOADS: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of an upload whose own time no row knows. Every live upload is later, and so wins."""


@dataclass(frozen=True)
class Page:
    """Some rows in the order of their ids, and the id up to which all were seen. `is_last`: nothing comes after it."""

    rows: list[sa.Row[Any]]
    after_id: int
    is_last: bool


class RowPages:
    """Reads pages of rows; every method raises RowError."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine: Final = engine

    def last_ids(self, choice: RowChoice) -> dict[MediaKind, int]:
        """Return the greatest id of each table that is chosen; 0 where it is empty."""
        tables = {kind: table_of(kind) for kind in choice.kinds}
        with explained(), self._engine.connect() as connection:
            return {kind: connection.scalar(sa.select(sa.func.max(table.c.id))) or 0 for kind, table in tables.items()}

    def page(self, run: Run, kind: MediaKind, limit: int) -> Page:
        """Return up to `limit` of the next rows that `run` wants, as they are at this moment; maybe none of a window."""
        column = table_of(kind).c.id
        within = sa.select(column).where(column > run.after_id, column <= run.last_ids[kind])
        window = within.order_by(column).limit(WINDOW).subquery()
        with explained(), self._engine.connect() as connection:
            end = connection.scalar(sa.select(sa.func.max(window.c.id)))
            if end is None:
                return Page([], run.after_id, is_last=True)
            query = media_rows(kind).where(column > run.after_id, column <= end, *_wanted(kind, run.choice))
            rows = list(connection.execute(query.order_by(column).limit(limit)))
        return Page(rows, rows[-1].id if len(rows) == limit else end, is_last=False)


def media_rows(kind: MediaKind, *more: str) -> sa.Select[Any]:
    """Return the query for all that `event_of` needs of the rows of a table, and for the columns `more` of that table."""
    table, is_video = table_of(kind), kind is MediaKind.VIDEO
    columns: tuple[sa.ColumnElement[Any], ...] = (
        table.c.id,
        (videos.c.ar_content_id if is_video else table.c.id).label("ar_content_id"),
        (videos.c.video_path if is_video else ar_contents.c.image_path).label("key"),
        (videos.c.mime_type if is_video else sa.null()).label("content_type"),
        (videos.c.size_bytes if is_video else sa.null()).label("size_bytes"),
        table.c.thumbnail_event_id,
        table.c.thumbnail_occurred_at,
        table.c.thumbnail_updated_at,
        table.c.thumbnail_external_id,
        companies.c.id.label("company_id"),
        companies.c.slug,
        companies.c.storage_path,
        companies.c.is_active,
        *(table.c[name] for name in more),
    )
    source: Any = videos.outerjoin(ar_contents, videos.c.ar_content_id == ar_contents.c.id) if is_video else table
    return sa.select(*columns).select_from(source.outerjoin(companies, ar_contents.c.company_id == companies.c.id))


def has_photograph() -> sa.ColumnElement[bool]:
    """Return whether an AR content is a media: without a photograph it is the folder of its videos."""
    texts = sa.func.coalesce(ar_contents.c.image_path, ""), sa.func.coalesce(ar_contents.c.image_url, "")
    return sa.or_(*(text != "" for text in texts))


def _wanted(kind: MediaKind, choice: RowChoice) -> list[sa.ColumnElement[bool]]:
    columns, conditions = table_of(kind).c, list[sa.ColumnElement[bool]]()
    if kind is MediaKind.IMAGE:
        conditions.append(has_photograph())
    if choice.mode is Mode.FAILED:
        conditions.append(columns.thumbnail_status == FAILED)
    elif choice.mode is Mode.MISSING:
        has_not_failed = sa.func.coalesce(columns.thumbnail_status, "") != FAILED
        conditions += [columns.thumbnail_url.is_(None), has_not_failed]
    elif choice.mode is Mode.OLDER:
        is_other = columns.thumbnail_settings.is_distinct_from(choice.settings)
        conditions += [columns.thumbnail_status == READY, is_other]
    if choice.company_id is not None:
        conditions.append(ar_contents.c.company_id == choice.company_id)
    if choice.since is not None:
        conditions.append(columns.thumbnail_updated_at >= choice.since.astimezone(UTC))
    if choice.until is not None:
        conditions.append(columns.thumbnail_updated_at < choice.until.astimezone(UTC))
    return conditions


def record_key_of(kind: MediaKind, row: sa.Row[Any]) -> str:
    """Return the name of a row, whatever is wrong with it."""
    return f"{'video' if kind is MediaKind.VIDEO else 'ar_content'}:{row.id}"


def event_of(
    kind: MediaKind, row: sa.Row[Any], run_name: str, *, not_before: datetime = BEFORE_ALL_UPLOADS
) -> MediaUploaded | Reason:
    """Return the event that asks for the row's thumbnails, or why there is none.

    Its time is a microsecond after that of the upload whose outcome the row holds, but not before `not_before`: it takes
    the place of that one, and every later upload takes its place, also one whose event is still on its way. The id is made
    of the row, the key and the run: the same event, however often it is sent.
    """
    if row.thumbnail_event_id == TOMBSTONE:
        return Reason.DELETED
    if row.company_id is None:
        return Reason.NO_COMPANY
    if not row.is_active:
        return Reason.COMPANY_INACTIVE
    if not row.key:
        return Reason.NO_KEY
    if not is_key(row.key) or not is_inside(row.key, company_prefix(row.storage_path, row.slug)):
        return Reason.BAD_KEY
    size_bytes = row.size_bytes if row.size_bytes is None or row.size_bytes >= 0 else None
    try:
        media = Media(
            kind=kind,
            id=row.id,
            ar_content_id=row.ar_content_id,
            key=row.key,
            content_type=row.content_type or None,
            size_bytes=size_bytes,
            external_id=row.thumbnail_external_id,
        )
        derived = derived_event_id(f"{run_name}:{media.key}", row.company_id, media, "backfill")
        event_id = f"{BACKFILL_PREFIX}{derived}"
        if row.thumbnail_event_id == event_id:
            return Reason.DONE_BEFORE
        shown = counted_time(aware(row.thumbnail_occurred_at), aware(row.thumbnail_updated_at))
        occurred_at = max(shown + timedelta(microseconds=1), not_before)
        return MediaUploaded(event_id=event_id, occurred_at=occurred_at, company_id=row.company_id, media=media)
    except ValidationError:
        return Reason.NO_EVENT
