"""Removes stored thumbnails that no row shows: of lost, stale, replaced and given-up uploads."""

import asyncio
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from typing import Final

from schemas.events import ThumbnailCleanup
from schemas.metrics import Metrics
from storage.keys import thumbnails_prefix
from storage.tenants import Tenants, TenantStorage
from streams.rows.queries import RowStates
from streams.thumbnails.patience import Patience


class CleanupService:
    """Deletes versions of a media's thumbnails. Idempotent: what is gone already is no error.

    The row decides, and it is asked before anything is deleted: a version that it shows is never touched, and neither
    is one that is newer than the request's, for its own result may be on its way.
    """

    def __init__(
        self, tenants: Tenants, rows: RowStates, executor: Executor, metrics: Metrics, patience: Patience | None = None
    ) -> None:
        self._tenants: Final = tenants
        self._rows: Final = rows
        self._executor: Final = executor
        self._metrics: Final = metrics
        self._patience: Final = patience or Patience()

    async def clean(self, request: ThumbnailCleanup) -> int:
        """Delete what `request` asks for; returns how many objects.

        Raises ThumbnailError when a store or the row cannot be asked.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._clean, request)

    def _clean(self, request: ThumbnailCleanup) -> int:
        shown = self._rows.shown(request.media)
        kept = shown.versions if shown is not None else frozenset[str]()
        deleted = 0
        for tenant in self._tenants.storages_of(request.company_id):
            with tenant:
                deleted += self._clean_place(tenant, request, kept)
        self._metrics.cleaned_objects_total.labels(request.reason).inc(deleted)
        return deleted

    def _clean_place(self, tenant: TenantStorage, request: ThumbnailCleanup, kept: frozenset[str]) -> int:
        prefix = thumbnails_prefix(tenant.prefix, request.media.kind.value, request.media.row_id)
        keys = self._patience.call(lambda: list(tenant.list_files(prefix)))
        doomed = list(_doomed(keys, prefix, request.version, kept))
        for key in doomed:
            self._patience.call(lambda key=key: tenant.delete_file(key))  # type: ignore[misc]
        return len(doomed)


def _doomed(keys: Iterable[str], prefix: str, version: str, kept: frozenset[str]) -> Iterator[str]:
    moment = _moment(version)
    for key in keys:
        found = key.removeprefix(f"{prefix}/").partition("/")[0]
        if found not in kept and (found == version or _moment(found) < moment):
            yield key


def _moment(version: str) -> str:
    """The upload's time in a version, which sorts as text."""
    return version.partition("-")[0]
