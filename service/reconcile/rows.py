"""Reads the rows of one company in the order of a storage's keys, and one row anew before anything is changed."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from schemas.events import MAX_DATABASE_ID, MediaKind, upload_version
from schemas.tables import ar_contents, companies
from service.backfill.rows import has_photograph, media_rows
from service.tenants.explained import explained
from streams.rows.last_write_wins import FAILED, NEVER, READY, counted_time
from streams.rows.queries import TOMBSTONE, aware, shown_versions, table_of
from streams.rows.versions import given_up_versions

PAGE: Final = 500
STATEMENT_TIMEOUT_MS: Final = 300_000
"""Where the platform has no index on the company, the rows of a small one are searched for in the whole table."""
_COLUMNS: Final = ("thumbnails", "thumbnail_url", "thumbnail_placeholder", "thumbnail_status", "thumbnail_given_up")
_MOST_DIGITS: Final = len(str(MAX_DATABASE_ID))


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """A rendition as the row has it; `size_bytes` and `sha256` are None where the row does not say."""

    name: str
    key: str
    size_bytes: int | None
    sha256: str | None
    info: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MediaRow:
    """A row of videos or ar_contents, with its company. `found` has the columns that `event_of` reads."""

    kind: MediaKind
    found: sa.Row[Any]
    pictures: tuple[ShownPicture, ...]
    versions: frozenset[str]
    given_up: tuple[str, ...]
    """Versions of uploads that come never to be shown."""

    @property
    def company_id(self) -> int | None:
        """Return the owner; None for a video without its AR content."""
        company_id: int | None = self.found.company_id
        return company_id

    @property
    def changed_at(self) -> datetime | None:
        """Return when a role wrote the row for the last time; None before the first."""
        return aware(self.found.thumbnail_updated_at)

    @property
    def is_ready(self) -> bool:
        """Return whether the row shows the newest upload that it knows of."""
        return bool(self.found.thumbnail_status == READY) and not self.is_deleted

    @property
    def is_deleted(self) -> bool:
        """Return whether a tombstone came for the media."""
        return bool(self.found.thumbnail_event_id == TOMBSTONE)

    @property
    def has_failed(self) -> bool:
        """Return whether the newest upload failed."""
        return bool(self.found.thumbnail_status == FAILED)

    @property
    def waits_for_outcome(self) -> bool:
        """Return whether there is a media, and nothing has become of it yet."""
        found = self.found
        has_media = self.kind is MediaKind.VIDEO or bool(found.key) or bool(found.image_url)
        is_settled = self.is_ready or self.has_failed or self.is_deleted
        return has_media and not is_settled and not found.thumbnail_url and found.company_id is not None

    @property
    def newest(self) -> str | None:
        """Return the version of the newest upload that the row knows of; None before the first."""
        found = self.found
        if not found.thumbnail_event_id:
            return None
        moment = counted_time(aware(found.thumbnail_occurred_at), aware(found.thumbnail_updated_at))
        return None if moment == NEVER else upload_version(moment, found.thumbnail_event_id)

    @property
    def state(self) -> tuple[object, ...]:
        """Return what changes whenever the pipeline, or the platform, changes what the row shows."""
        found = self.found
        return (
            *(
                found.company_id,
                found.key,
                found.thumbnail_event_id,
                found.thumbnail_status,
                found.thumbnail_occurred_at,
            ),
            *(found.thumbnail_given_up, tuple(picture.key for picture in self.pictures)),
        )


class CompanyRows:
    """Reads rows; every method raises RowError."""

    def __init__(self, engine: sa.Engine, page: int = PAGE) -> None:
        self._engine: Final = engine
        self._page: Final = page

    def company_ids(self, after: int, limit: int) -> list[int]:
        """Return the next ids of companies."""
        query = sa.select(companies.c.id).where(companies.c.id > after).order_by(companies.c.id).limit(limit)
        with explained(), self._engine.connect() as connection:
            return list(connection.scalars(query))

    def in_key_order(self, company_id: int, kind: MediaKind, after: str = "") -> Iterator[MediaRow]:
        """Return the company's rows with ids that come after `after` as text: so storages sort the folders of the media.

        All ids of one length sort as numbers do, so the table is read by its primary key, a page of each length at a time.
        """
        columns = table_of(kind).c
        with explained(), self._engine.connect() as connection:
            last_id = connection.scalar(sa.select(sa.func.max(columns.id))) or 0
        lengths = range(1, len(str(last_id)) + 1)
        found = heapq.merge(*(self._of_length(company_id, kind, digits, after) for digits in lengths), key=_as_text)
        return (_row(kind, row) for row in found)

    def _of_length(self, company_id: int, kind: MediaKind, digits: int, after: str) -> Iterator[sa.Row[Any]]:
        first, last = first_after(after, digits), min(10**digits - 1, MAX_DATABASE_ID)
        column = table_of(kind).c.id
        while first <= last:
            query = _query(kind).where(ar_contents.c.company_id == company_id, column >= first, column <= last)
            if kind is MediaKind.IMAGE:
                query = query.where(sa.or_(has_photograph(), ar_contents.c.thumbnail_event_id.is_not(None)))
            with explained(), self._engine.connect() as connection:
                rows = list(connection.execute(query.order_by(column).limit(self._page)))
            yield from rows
            if len(rows) < self._page:
                return
            first = rows[-1].id + 1

    def one(self, kind: MediaKind, row_id: int) -> MediaRow | None:
        """Return the row as it is at this moment, whichever company it belongs to; None where it is gone."""
        with explained(), self._engine.connect() as connection:
            row = connection.execute(_query(kind).where(table_of(kind).c.id == row_id)).one_or_none()
        return None if row is None else _row(kind, row)


def first_after(after: str, digits: int) -> int:
    """Return the first number of so many digits that comes after the number `after` as text; any of them after ""."""
    if len(after) >= digits:
        return int(after[:digits]) + 1
    return int(after.ljust(digits, "0")) if after else 10 ** (digits - 1)


def _as_text(row: sa.Row[Any]) -> str:
    return str(row.id)


def _query(kind: MediaKind) -> sa.Select[Any]:
    return media_rows(kind, *_COLUMNS, *(() if kind is MediaKind.VIDEO else ("image_url",)))


def _row(kind: MediaKind, found: sa.Row[Any]) -> MediaRow:
    items = [item for item in found.thumbnails or () if isinstance(item, dict) and isinstance(item.get("key"), str)]
    pictures = tuple(
        ShownPicture(str(item.get("name")), item["key"], _number(item.get("bytes")), _text(item.get("sha256")), item)
        for item in items
    )
    return MediaRow(kind, found, pictures, shown_versions(items), given_up_versions(found.thumbnail_given_up))


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
