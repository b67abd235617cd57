"""A library in SQLite and in memory, and a reconciliation of it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from schemas.database import create_engine_for
from schemas.events import MediaUploaded, ThumbnailReady
from schemas.migrations import upgrade
from service.reconcile.fixes import Announcer, FixResult
from service.reconcile.judge import Finding
from service.reconcile.look import LookOptions
from service.reconcile.pace import LookPace
from service.reconcile.rows import CompanyRows
from service.reconcile.runner import ReconcileOptions, Reconciler
from service.reconcile.state import CompanyProgress, NotCompared, Reconciliation, StateFile, Todo, record_key
from storage.connections import LocalStorageSettings
from storage.factory import ProviderSettings
from storage.memory import MemoryStorageProvider
from storage.tenants import Tenants, TenantStorage
from streams.rows.companies import SqlCompanyDirectory
from tests.doubles.library import Library, Shelf, Workers, add_company

OLD = timedelta(0)


class MemoryTenants(Tenants):
    """Companies whose storages are in memory."""

    def __init__(self, engine: sa.Engine, shelves: dict[int, Shelf]) -> None:
        settings = ProviderSettings(LocalStorageSettings(Path("/nowhere"), "http://x"))
        super().__init__(SqlCompanyDirectory(engine), settings=settings)
        self.shelves = shelves

    def storages_of(self, company_id: int) -> tuple[TenantStorage, ...]:
        shelf = self.shelves[company_id]
        local = TenantStorage(shelf.local, shelf.slug, None, "local_disk", "no_connection")
        if not shelf.has_own:
            return (local,)
        substitute = TenantStorage(shelf.local, shelf.slug, None, "minio", "fallback")
        return TenantStorage(shelf.own, shelf.slug, company_id, "minio"), substitute

    def open(self, company_id: int) -> TenantStorage:
        return self.storages_of(company_id)[0]


@dataclass
class Notes:
    """Remembers what was shown."""

    findings: list[tuple[str, str, str | None, str]] = field(default_factory=list)
    """Media, trouble, what was done, why."""
    companies: dict[str, str | None] = field(default_factory=dict)
    compared_last: dict[str, CompanyProgress] = field(default_factory=dict)

    def found(self, _company: CompanyProgress, media: str, finding: Finding, result: FixResult | None) -> None:
        done, why = (None, finding.detail) if result is None else (str(result.done), result.why)
        self.findings.append((media, str(finding.trouble), done, why))

    def counted(self, _company: CompanyProgress, todo: Todo, result: FixResult) -> None:
        media = record_key(todo.kind, todo.row_id)
        self.findings += [(media, str(trouble), str(result.done), result.why) for trouble in todo.troubles]

    def compared(self, company: CompanyProgress, problem: NotCompared | None) -> None:
        self.companies[company.slug] = None if problem is None else problem.reason
        self.compared_last[company.slug] = company

    def advance(self) -> None:
        pass


@dataclass
class Installation:
    """Companies 1 (acme: a storage of its own) and 2 (globex: local storage)."""

    engine: sa.Engine
    library: Library
    tenants: MemoryTenants
    file: StateFile
    announced: list[MediaUploaded | ThumbnailReady] = field(default_factory=list)
    oldest_waiting: datetime | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def own(self) -> MemoryStorageProvider:
        return _memory(self.library.shelves[0].own)

    @property
    def local(self) -> MemoryStorageProvider:
        return _memory(self.library.shelves[0].local)

    def reconcile(self, run: Reconciliation | None = None, **changes: Any) -> tuple[Reconciliation, Notes]:
        """Go on with a run, or begin one that repairs nothing."""
        run, notes = run or Reconciliation(), Notes()
        self.reconciler(notes, **changes).run(run)
        return run, notes

    def fix(self, **changes: Any) -> tuple[Reconciliation, Notes]:
        return self.reconcile(Reconciliation(fix=True), **changes)

    def reconciler(
        self,
        notes: Notes,
        *,
        max_fixes: int = 1000,
        grace: timedelta = OLD,
        stuck_after: timedelta = OLD,
        checksums: bool = False,
        keep: timedelta = timedelta(0),
        save_every_s: float = 2.0,
        save: Callable[[Reconciliation], None] | None = None,
        **changes: Any,
    ) -> Reconciler:
        announcer = Announcer(
            before_each=lambda: None,
            upload=self.announced.append,
            ready=self.announced.append,
            oldest_waiting=lambda: self.oldest_waiting,
        )
        parts: dict[str, Any] = {
            "directory": SqlCompanyDirectory(self.engine),
            "tenants": self.tenants,
            "rows": CompanyRows(self.engine, page=7),
            "options": ReconcileOptions(LookOptions(grace, stuck_after, checksums, keep), max_fixes, 0.0, save_every_s),
            "announcer": announcer,
            "pace": LookPace(1e6, self.stop),
            "stop": self.stop,
            "save": save or self.file.save,
            "watcher": notes,
        }
        return Reconciler(**(parts | changes))

    def work(self) -> None:
        """Let workers and persist do all that was announced."""
        announced, self.announced = self.announced, []
        Workers(self.engine, self.tenants).work(announced)


def _memory(provider: object) -> MemoryStorageProvider:
    assert isinstance(provider, MemoryStorageProvider)
    return provider


def an_installation(url: str, folder: Path, media: int = 60, troubles: int = 0) -> Installation:
    upgrade(url)
    engine = create_engine_for(url)
    local = MemoryStorageProvider("memory://local")
    shelves = [Shelf(1, "acme", MemoryStorageProvider("memory://own"), local), Shelf(2, "globex", local, local)]
    for shelf in shelves:
        add_company(engine, shelf.company_id, shelf.slug)
    library = Library(engine, shelves)
    library.fill(media, troubles)
    long_ago = datetime.now(UTC) - timedelta(days=2)
    for provider in (shelves[0].own, local):
        memory = _memory(provider)
        memory.modified_at.update(dict.fromkeys(memory.modified_at, long_ago))
    return Installation(
        engine, library, MemoryTenants(engine, {1: shelves[0], 2: shelves[1]}), StateFile(folder / "s.json")
    )
