"""Names of the companies that the page shows: from the database where it answers; the page does without them where not."""

import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.periodic import Periodic
from service.settings import Settings
from service.status.database import existing_database
from streams.rows.queries import names_of

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
AGAIN_S: Final = 60.0
"""After a database that did not answer, and for companies that it does not know."""
MOST_AT_ONCE: Final = 200
MOST_WANTED: Final = 5000
MAX_NAME_CHARS: Final = 80

LookUp = Callable[[Collection[int]], dict[int, str]]


class CompanyNames:
    """Looks wanted names up in a thread of its own, and hands on those that are new. Any thread may want()."""

    def __init__(self, look_up: LookUp, on_names: Callable[[dict[int, str]], None]) -> None:
        """`look_up` raises SQLAlchemyError where there is no answer."""
        self._look_up: Final = look_up
        self._on_names: Final = on_names
        self._lock: Final = threading.Lock()
        self._asked_at: Final[dict[int, float]] = {}
        self._wanted: Final[set[int]] = set()
        self._named: Final[set[int]] = set()
        self._periodic: Final = Periodic("company names", self._ask, LOOK_S)
        self.start: Final = self._periodic.start

    def stop(self) -> None:
        """Ask no more. A database that hangs is not waited for."""
        self._periodic.stop(wait=False)

    def want(self, companies: Iterable[int]) -> None:
        """Ask for these names soon."""
        with self._lock:
            for company in companies:
                if company not in self._named and len(self._wanted) < MOST_WANTED:
                    self._wanted.add(company)

    def _ask(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [company for company in self._wanted if now - self._asked_at.get(company, -AGAIN_S) >= AGAIN_S]
            chosen = due[:MOST_AT_ONCE]
            self._asked_at.update(dict.fromkeys(chosen, now))
        if not chosen:
            return
        try:
            found = self._look_up(chosen)
        except SQLAlchemyError as exc:
            log.info("company_names_unknown", reason=type(exc).__name__)
            return
        with self._lock:
            self._named.update(found)
            self._wanted.difference_update(found)
        if found and not self._periodic.is_stopping:
            self._on_names({company: name[:MAX_NAME_CHARS] for company, name in found.items()})


def names_from_database(settings: Settings) -> LookUp:
    """Return a look-up in the platform's database; it finds nothing where DATABASE_URL names none."""

    def look_up(companies: Collection[int]) -> dict[int, str]:
        engine = existing_database(settings)
        if engine is None:
            return {}
        try:
            return names_of(engine, companies)
        finally:
            engine.dispose()

    return look_up
