"""Which dead letters cannot succeed by a replay, by what the database says now: their company or their media is gone."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas import headers as h
from schemas.database import DatabaseUrlError
from schemas.events import MediaKind
from schemas.tables import companies
from schemas.topics import Topics
from service.roles.build import build_engine
from service.settings import Settings
from streams.dlq.read import DeadLetter
from streams.rows.queries import TOMBSTONE, table_of

AHEAD: Final = 500
"""Dead letters that are looked up at once: three queries."""
_KINDS: Final = {"video": MediaKind.VIDEO, "ar_content": MediaKind.IMAGE}


class Prospects:
    """Looks up uploads among dead letters. Close it. Where the database does not answer, `problem` says so, and nothing is doomed."""

    def __init__(self, settings: Settings) -> None:
        """Connect at the first look-up."""
        self._topics: Final[Topics] = settings.kafka.topics
        self.problem: str | None = None
        self._reasons: dict[str, str] = {}
        self._engine: sa.Engine | None = None
        try:
            self._engine = build_engine(settings)
        except DatabaseUrlError as exc:
            self.problem = str(exc)
        else:
            if self._engine.url.get_backend_name() == "sqlite" and not Path(self._engine.url.database or "").is_file():
                self.problem = "DATABASE_URL names no database that is there."  # asking would make an empty one

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.dispose()

    def ahead_of(self, dead_letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
        """Yield `dead_letters`; what is known of each is known by then."""
        left = iter(dead_letters)
        while chunk := list(islice(left, AHEAD)):
            self._look_up(chunk)
            yield from chunk

    def reason(self, dead_letter: DeadLetter) -> str | None:
        """Return why a replay of one that was yielded just now fails again or is dropped, as a sentence; else None."""
        return self._reasons.get(dead_letter.position)

    def _look_up(self, chunk: Sequence[DeadLetter]) -> None:
        self._reasons = {}
        uploads = [one for one in chunk if one.header(h.ORIGINAL_TOPIC) == self._topics.uploads]
        if not uploads or self._engine is None or self.problem is not None:
            return
        try:
            with self._engine.connect() as connection:
                known = _companies(connection, uploads)
                rows = {kind: _rows(connection, kind, uploads) for kind in MediaKind}
        except SQLAlchemyError as exc:
            self.problem = f"it does not answer ({type(exc).__name__})."
            return
        for one in uploads:
            reason = _of_company(one, known) or _of_media(one, rows)
            if reason is not None:
                self._reasons[one.position] = reason


def _companies(connection: sa.Connection, chunk: Sequence[DeadLetter]) -> dict[int, bool]:
    ids = {one.company_id for one in chunk if one.company_id is not None and 0 < one.company_id < 2**31}
    query = sa.select(companies.c.id, companies.c.is_active).where(companies.c.id.in_(ids))
    return {row.id: bool(row.is_active) for row in connection.execute(query)}


def _rows(connection: sa.Connection, kind: MediaKind, chunk: Sequence[DeadLetter]) -> dict[int, str | None]:
    """Return the rows that there are, with the id of the upload whose outcome each holds."""
    ids = {place[1] for one in chunk if (place := _row_of(one)) is not None and place[0] is kind}
    table = table_of(kind)
    query = sa.select(table.c.id, table.c.thumbnail_event_id).where(table.c.id.in_(ids))
    return {row.id: row.thumbnail_event_id for row in connection.execute(query)} if ids else {}


def _row_of(dead_letter: DeadLetter) -> tuple[MediaKind, int] | None:
    name, _, number = (dead_letter.media or "").partition(":")
    is_row = name in _KINDS and number.isascii() and number.isdigit() and len(number) < 10
    return (_KINDS[name], int(number)) if is_row else None


def _of_company(one: DeadLetter, known: dict[int, bool]) -> str | None:
    if one.company_id is None:
        return None
    if one.company_id not in known:
        return f"Company {one.company_id} is not in the database."
    return None if known[one.company_id] else f"Company {one.company_id} is not active."


def _of_media(one: DeadLetter, rows: dict[MediaKind, dict[int, str | None]]) -> str | None:
    place = _row_of(one)
    if place is None:
        return None
    if place[1] not in rows[place[0]]:
        return "The row of the media is gone."
    return "The media was deleted upstream." if rows[place[0]][place[1]] == TOMBSTONE else None
