"""Whose thumbnails go to local storage although the company has a storage connection, and what is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from schemas import headers as h
from schemas.errors import ThumbnailError
from service.settings import Settings
from service.status.database import existing_database
from service.status.failures import INACTIVE, stand_in_reason
from streams.dlq.read import ErrorGroup
from streams.dlq.retries import WaitingRetry

if TYPE_CHECKING:
    from storage.connections import StorageConnection
    from storage.tenants import Company

BROKEN: Final = "connection_broken"
MAX_ASKED: Final = 20
"""So many companies are looked up at a look: their connections are usually one and the same."""
MOST_NAMED: Final = 5


@dataclass(frozen=True)
class Fallback:
    """A company whose newest thumbnails went to local storage, `ready` of late, for `reason`.

    The rest is what the database says, None where it does not answer; `problem` only of a broken connection.
    """

    company_id: int
    reason: str
    ready: int
    connection_id: int | None = None
    provider: str | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what docs/status.md describes."""
        return asdict(self)


def find_fallbacks(settings: Settings, recent: Mapping[int, tuple[str, int]]) -> list[Fallback]:
    """Return the fallbacks of `recent` (reason and count, by company) with what the database knows of them."""
    found = [Fallback(company, _clean(reason), ready) for company, (reason, ready) in recent.items()]
    known = _companies(settings, [one.company_id for one in found[:MAX_ASKED]]) if found else {}
    return [_explained(settings, one, known.get(one.company_id)) for one in found]


def without_sources(
    dead_letters: Mapping[str, Sequence[ErrorGroup]], waiting: Iterable[WaitingRetry]
) -> dict[int, tuple[str, int]]:
    """Return the companies whose uploads cannot be read because local storage stands in, as `recent` of find_fallbacks.

    Only the newest dead letter of a code is known by its message.
    """
    failures = [(one.company_id, one.code, one.message) for one in waiting if one.cancelled is None]
    failures += [
        (group.example_company_id, group.code, group.example_message)
        for groups in dead_letters.values()
        for group in groups
        if group.waiting
    ]
    reasons = [(company, stand_in_reason(code, message)) for company, code, message in failures]
    return {company: (reason, 0) for company, reason in reasons if company is not None and reason is not None}


def _companies(settings: Settings, ids: Iterable[int]) -> dict[int, "Company"]:
    """Return those of the companies that the database knows; none when it does not answer, which the roles say louder."""
    # Here and below: the clients of all storages are loaded only where somebody's storage is not used.
    from streams.rows.companies import SqlCompanyDirectory

    engine = existing_database(settings)
    if engine is None:
        return {}
    try:
        directory = SqlCompanyDirectory(engine)
        found = [directory.find_company(company_id) for company_id in ids]
    except ThumbnailError:
        return {}
    finally:
        engine.dispose()
    return {company.id: company for company in found if company is not None}


def _explained(settings: Settings, found: Fallback, company: "Company | None") -> Fallback:
    if company is None or company.connection is None:
        return found
    connection = company.connection
    problem = _problem(settings, connection) if found.reason == BROKEN else None
    return replace(found, connection_id=connection.id, provider=_clean(connection.provider), problem=problem)


def _problem(settings: Settings, connection: "StorageConnection") -> str | None:
    """Return why no provider can be made of the connection; nothing is connected to."""
    from service.roles.build_storage import provider_settings
    from storage.credentials import CredentialsKeyError
    from storage.factory import get_provider

    try:
        get_provider(connection, settings=provider_settings(settings)).close()
    except ThumbnailError as exc:
        return _clean(exc.message.removeprefix(f"Storage connection {connection.id} cannot work: "))
    except CredentialsKeyError:  # of this command, and not of the worker
        return None
    return None


def sentences(fallbacks: Iterable[Fallback]) -> list[str]:
    """Return what is wrong, whose it is and what to do: a sentence for each connection, however many use it."""
    groups: dict[tuple[object, ...], list[Fallback]] = {}
    for one in fallbacks:
        if one.reason != INACTIVE:
            groups.setdefault((one.reason, one.connection_id, one.problem), []).append(one)
    return [_sentence(group) for group in groups.values()]


def _sentence(group: list[Fallback]) -> str:
    first, is_one = group[0], len(group) == 1
    label = "" if first.connection_id is None else f" {first.connection_id} ({first.provider})"
    ids = ", ".join(str(one.company_id) for one in group[:MOST_NAMED]) + (", …" if len(group) > MOST_NAMED else "")
    whose = f"Company {ids}'s storage connection{label}" if is_one else f"Storage connection{label} of companies {ids}"
    their = "its" if is_one else "their"
    are_stored = any(one.ready for one in group)
    effect = f"{their} thumbnails go to local storage" if are_stored else f"{their} uploads cannot be read, and wait"
    before = f"{their} newest thumbnails went to local storage" if are_stored else f"{their} uploads wait"
    if first.problem is not None:
        return (
            f"{whose} cannot be used: {first.problem.rstrip('.')}; {effect}."
            " Fix the row of storage_connections; `thumbnails check --tenants` proves it."
        )
    if first.reason == BROKEN and first.connection_id is not None:
        return (
            f"{whose} could not be used by a worker, and looks right from here; {before}."
            " `connection_broken` in the worker's log says why."
        )
    return f"{whose} cannot be used ({first.reason}); {effect}. `thumbnails check --tenants` says why."


def _clean(value: object) -> str:
    """Return it without what a terminal would obey: records and rows may hold anything."""
    return h.header_text(str(value)).decode()
