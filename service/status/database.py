"""The platform's database, for those who show what it knows and go on without it."""

from pathlib import Path
from typing import TYPE_CHECKING

from service.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa


def existing_database(settings: Settings) -> "sa.Engine | None":
    """Return an engine, which connects at its first use; dispose of it. None where DATABASE_URL names no database."""
    # Loaded only where the database is asked.
    from schemas.database import DatabaseUrlError
    from service.roles.build import build_engine

    try:
        engine = build_engine(settings)
    except DatabaseUrlError:
        return None
    if engine.url.get_backend_name() == "sqlite" and not Path(engine.url.database or "").is_file():
        engine.dispose()
        return None  # asking would make an empty database
    return engine
