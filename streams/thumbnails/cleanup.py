"""Removes stored thumbnails that no row shows: of lost, stale, replaced and given-up uploads."""

from collections.abc import Iterable, Iterator
from typing import Final

from schemas.events import ThumbnailCleanup
from storage.keys import thumbnails_prefix
from storage.tenants import TenantStorage
from streams.rows.queries import RowStates
from streams.thumbnails.storage_calls import StorageCalls


class CleanupService:
    """Deletes versions of a media's thumbnails. Idempotent: what is gone already is no error.

    The row decides, and it is asked before anything is deleted: a version that it shows is never touched, and neither
    is one that is newer than the request's, for its own result may be on its way.
    """

    def __init__(self, calls: StorageCalls, rows: RowStates) -> None:
        self._calls: Final = calls
        self._rows: Final = rows

    async def clean(self, request: ThumbnailCleanup) -> int:
        """Delete what `request` asks for; return how many objects.

        Raises ThumbnailError when a store or the row cannot be asked.
        """
        return await self._calls.in_thread(lambda: self._clean(request))

    def _clean(self, request: ThumbnailCleanup) -> int:
        shown = self._rows.shown(request.media)
        kept = shown.versions if shown is not None else frozenset[str]()
        deleted = 0
        for tenant in self._calls.tenants.storages_of(request.company_id):
            with tenant:
                deleted += self._clean_storage(tenant, request, kept)
        self._calls.metrics.cleaned_objects_total.labels(request.reason).inc(deleted)
        return deleted

    def _clean_storage(self, tenant: TenantStorage, request: ThumbnailCleanup, kept: frozenset[str]) -> int:
        prefix = thumbnails_prefix(tenant.prefix, request.media.kind.value, request.media.row_id)
        keys = self._calls.retry.call(lambda: list(tenant.list_files(prefix)))
        unwanted = list(_unwanted(keys, prefix, request.version, kept))
        for key in unwanted:
            self._calls.retry.call(lambda key=key: tenant.delete_file(key))  # type: ignore[misc]
        return len(unwanted)


def _unwanted(keys: Iterable[str], prefix: str, version: str, kept: frozenset[str]) -> Iterator[str]:
    moment = _moment(version)
    for key in keys:
        found = key.removeprefix(f"{prefix}/").partition("/")[0]
        if found not in kept and (found == version or _moment(found) < moment):
            yield key


def _moment(version: str) -> str:
    """Return the upload's time in a version, which sorts as text."""
    return version.partition("-")[0]
