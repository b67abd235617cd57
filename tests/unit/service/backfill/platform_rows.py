"""A database with the rows of an old library, for the tests of the backfill."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.events import MediaKind
from schemas.tables import ar_contents, companies, videos
from service.backfill.rows import RowPages
from service.backfill.state import Mode, RowChoice, Run, run_name
from tests.doubles.results import a_database

SHOWN_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
READY = {
    "thumbnail_status": "ready",
    "thumbnail_url": "http://x/m.webp",
    "thumbnail_event_id": "upload-0",
    "thumbnail_occurred_at": SHOWN_AT,
    "thumbnail_updated_at": SHOWN_AT,
}
FAILED = READY | {"thumbnail_status": "failed", "thumbnail_url": None}
VIDEO = {"video_path": "acme/uploads/v.mp4"}
PHOTO = {"image_path": "acme/uploads/p.jpg"}


def a_library(url: str, rows: dict[int, dict[str, Any]]) -> sa.Engine:
    """Companies 1 (acme) and 2 (globex), and a row for each id: a photograph where `image_path` is given, else a video."""
    engine = a_database(url, range(1, max(rows) + 1))
    with write_transaction(engine) as connection:
        kept = [number for number, values in rows.items() if "image_path" not in values]
        connection.execute(sa.delete(videos).where(videos.c.id.not_in(kept)))
        for number, values in rows.items():
            owner = {name: value for name, value in values.items() if name == "company_id"}
            shown = {name: value for name, value in values.items() if name != "company_id"}
            table = ar_contents if "image_path" in values else videos
            if owner:
                connection.execute(sa.update(ar_contents).where(ar_contents.c.id == number).values(owner))
            if shown:
                connection.execute(sa.update(table).where(table.c.id == number).values(shown))
    return engine


def set_row(engine: sa.Engine, table: sa.Table, row_id: int, **values: object) -> None:
    with write_transaction(engine) as connection:
        connection.execute(sa.update(table).where(table.c.id == row_id).values(values))


def deactivate(engine: sa.Engine, company_id: int) -> None:
    set_row(engine, companies, company_id, is_active=False)


def a_run(engine: sa.Engine, mode: Mode = Mode.MISSING, **choice: Any) -> Run:
    chosen = RowChoice(mode=mode, **choice)
    return Run(name=run_name(mode), topic="t", choice=chosen, last_ids=RowPages(engine).last_ids(chosen))


VIDEOS = (MediaKind.VIDEO,)
