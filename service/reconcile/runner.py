"""Goes through the companies: compares each to its end, and only then repairs what it found, one media after another."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from schemas.errors import ErrorCode, ThumbnailError, TransientError
from service.reconcile.fixes import Announcer, Done, FixResult, Repairs
from service.reconcile.judge import Finding, StoragePlace
from service.reconcile.look import CompanyMedia, LookOptions
from service.reconcile.pace import LookPace, StoppedError
from service.reconcile.rows import CompanyRows
from service.reconcile.state import KINDS, CompanyProgress, NotCompared, Reconciliation, Todo, record_key
from storage.tenants import CompanyDirectory, Tenants, TenantStorage
from streams.thumbnails.storage_calls import InlineRetry

LISTING_TRIES: Final = 4
"""So often a listing fails in a row, without one more media, before its company is left."""
_NOT_WHOLE: Final = FixResult(Done.WAITS, "the company could not be compared whole: nothing of it is changed")


@dataclass(frozen=True, slots=True)
class ReconcileOptions:
    """`max_fixes` media of one company are repaired at most. When more need it, none is: that is no everyday trouble."""

    look: LookOptions
    max_fixes: int
    listing_wait_s: float = 1.0
    save_every_s: float = 2.0


class Watcher(Protocol):
    """Is shown what is found, and how far it is."""

    def found(self, company: CompanyProgress, /, media: str, finding: Finding, result: FixResult | None) -> None:
        """Show a trouble; `result` is None where nothing was to be done about it."""

    def counted(self, company: CompanyProgress, /, todo: Todo, result: FixResult) -> None:
        """Show troubles that were found, and are not repaired."""

    def compared(self, company: CompanyProgress, problem: NotCompared | None) -> None:
        """Show the end of a company."""

    def advance(self) -> None:
        """Show how far it is."""


@dataclass(frozen=True)
class Reconciler:
    """Compares, and repairs where there is an `announcer`.

    `save` is called every few seconds, and at each end. When the process dies in between, the next one compares, or
    repairs, a few media again: that changes nothing.
    """

    directory: CompanyDirectory
    tenants: Tenants
    rows: CompanyRows
    options: ReconcileOptions
    announcer: Announcer | None
    pace: LookPace
    stop: threading.Event
    save: Callable[[Reconciliation], None]
    watcher: Watcher
    failed_connections: set[int | None] = field(default_factory=set)
    """Storages that failed for a company, for good: the next one with the same connection waits for nothing."""

    def run(self, run: Reconciliation) -> bool:
        """Go on with `run`; return whether it is through, False when it was stopped.

        Raises RowError, PublishError, TransientError database.unavailable and what `save` raises: it can then go on from
        its state. A failure in one company's storage is noted, and the next company follows.
        """
        try:
            while not self.stop.is_set() and self._begin_company(run):
                self._company(run, _current(run))
                run.after_company, run.current = _current(run).company_id, None
                self.save(run)
        except StoppedError:
            pass
        self.save(run)
        return run.is_through

    def _begin_company(self, run: Reconciliation) -> bool:
        while run.current is None:
            found = [run.company_id] if run.company_id is not None else self.rows.company_ids(run.after_company, 1)
            if not found or found[0] <= run.after_company:
                run.is_through = True
                return False
            company = self.directory.find_company(found[0])
            if company is None:
                run.after_company = found[0]
            else:
                run.current = CompanyProgress(company_id=company.id, slug=company.slug)
        return True

    def _company(self, run: Reconciliation, company: CompanyProgress) -> None:
        problem = None
        try:
            with self._opened(company) as storages:
                media = CompanyMedia(
                    company.company_id, self.rows, storages, self.options.look, InlineRetry(), company.see_foreign
                )
                self._scan(run, company, media)
                problem = self._too_many(company) if run.fix else None
                if run.fix and problem is None:
                    self._repair(run, company, media)
        except ThumbnailError as error:
            if error.code is ErrorCode.DATABASE_UNAVAILABLE:
                raise
            problem = NotCompared(company_id=company.company_id, slug=company.slug, reason=error.message)
        except _LeftOutError as left_out:
            problem = left_out.problem
        if problem is not None:
            run.not_compared.append(problem)
            self._leave(run, company)
        run.companies += problem is None
        run.media += company.media
        self.watcher.compared(company, problem)

    @contextmanager
    def _opened(self, company: CompanyProgress) -> Iterator[dict[StoragePlace, TenantStorage]]:
        with ExitStack() as stack:
            storages = [stack.enter_context(one) for one in self.tenants.storages_of(company.company_id)]
            own, local = storages[0], storages[1] if len(storages) > 1 else None
            if own.is_substitute:
                is_fault = own.fallback_reason != "connection_inactive"
                raise _LeftOutError(
                    NotCompared(
                        company_id=company.company_id,
                        slug=company.slug,
                        reason=f"its storage connection cannot be used ({own.fallback_reason}):"
                        " thumbnails check --tenants says why",
                        is_fault=is_fault,
                    )
                )
            if local is None or _is_same_place(own, local):
                yield {StoragePlace.OWN: own}
            else:
                yield {StoragePlace.OWN: own, StoragePlace.LOCAL: local}

    def _scan(self, run: Reconciliation, company: CompanyProgress, media: CompanyMedia) -> None:
        failures, saved_at = 0, time.monotonic()
        connection_id = media.storages[StoragePlace.OWN].connection_id
        while not company.is_scanned:
            kind, before = KINDS[company.kind_index], company.after
            try:
                for suspect in media.suspects(kind, company.after):
                    if suspect.is_suspect:
                        self._look(run, company, media, Todo(kind=kind, row_id=suspect.row_id, troubles=[]))
                    company.after = str(suspect.row_id)
                    company.media += 1
                    company.objects += suspect.objects
                    company.size_bytes += suspect.size_bytes
                    if self.stop.is_set():
                        raise StoppedError
                    if time.monotonic() - saved_at >= self.options.save_every_s:
                        self.save(run)
                        self.watcher.advance()
                        saved_at = time.monotonic()
            except TransientError as error:
                failures = failures + 1 if company.after == before else 1
                tries = 1 if connection_id in self.failed_connections else LISTING_TRIES
                if failures >= tries or error.code is ErrorCode.DATABASE_UNAVAILABLE:
                    self.failed_connections.add(connection_id)
                    raise
                wait_s = self.options.listing_wait_s * 2 ** (failures - 1)
                if self.stop.wait(max(wait_s, error.retry_after_s or 0.0)):
                    raise StoppedError from error
                continue
            self.failed_connections.discard(connection_id)
            company.kind_index, company.after = company.kind_index + 1, ""

    def _look(self, run: Reconciliation, company: CompanyProgress, media: CompanyMedia, todo: Todo) -> None:
        self.pace.wait()
        seen = media.look(todo.kind, todo.row_id)
        if seen is None or not seen.findings:
            return
        if run.fix:
            todo.troubles = [finding.trouble for finding in seen.findings]
            if len(company.todo) < self.options.max_fixes:
                company.todo.append(todo)
            else:
                company.too_many += 1
                self._count_unfixed(run, company, todo, _NOT_WHOLE)
            return
        for finding in seen.findings:
            self._count(run, company, todo, finding, None)

    def _too_many(self, company: CompanyProgress) -> NotCompared | None:
        if not company.too_many:
            return None
        count = len(company.todo) + company.too_many
        return NotCompared(
            company_id=company.company_id,
            slug=company.slug,
            reason=f"{count} media need a repair, more than --max-fixes {self.options.max_fixes}: nothing of it is changed."
            " Look whether database and storage belong together, then give a larger number",
        )

    def _repair(self, run: Reconciliation, company: CompanyProgress, media: CompanyMedia) -> None:
        if self.announcer is None:
            return
        repairs, saved_at = Repairs(media, self.announcer), 0.0
        while company.done < len(company.todo):
            todo = company.todo[company.done]
            self.pace.wait()
            try:
                seen = media.look(todo.kind, todo.row_id)
                for finding in seen.findings if seen is not None else ():
                    self._count(run, company, todo, finding, repairs.repair(seen, finding))  # type: ignore[arg-type]  # there are findings
            except ThumbnailError as error:
                if error.code is ErrorCode.DATABASE_UNAVAILABLE:
                    raise
                self._count_unfixed(run, company, todo, FixResult(Done.WAITS, error.message))
            company.done += 1
            if time.monotonic() - saved_at >= self.options.save_every_s:
                self.save(run)
                self.watcher.advance()
                saved_at = time.monotonic()

    def _leave(self, run: Reconciliation, company: CompanyProgress) -> None:
        """Count what is not repaired of a company that is left."""
        for todo in company.todo[company.done :]:
            self._count_unfixed(run, company, todo, _NOT_WHOLE)

    def _count(
        self,
        run: Reconciliation,
        company: CompanyProgress,
        todo: Todo,
        finding: Finding,
        result: FixResult | None,
    ) -> None:
        name, is_fixed = record_key(todo.kind, todo.row_id), result is not None and result.done.is_fix
        run.count(finding.trouble, name, len(finding.objects), finding.size_bytes, is_fixed=is_fixed)
        self.watcher.found(company, name, finding, result)

    def _count_unfixed(self, run: Reconciliation, company: CompanyProgress, todo: Todo, result: FixResult) -> None:
        for trouble in todo.troubles:
            run.count(trouble, record_key(todo.kind, todo.row_id), 0, 0, is_fixed=False)
        self.watcher.counted(company, todo, result)


class _LeftOutError(Exception):
    def __init__(self, problem: NotCompared) -> None:
        super().__init__(problem.reason)
        self.problem: Final = problem


def _current(run: Reconciliation) -> CompanyProgress:
    if run.current is None:
        raise AssertionError("no company is under way")
    return run.current


def _is_same_place(own: TenantStorage, local: TenantStorage) -> bool:
    """Return whether a connection leads to the very folder that local storage is."""
    probe = f"{own.prefix}/thumbnails"
    return own.provider.name == local.provider.name and own.get_file_url(probe) == local.get_file_url(probe)
