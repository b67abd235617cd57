"""Removes stored thumbnails that no row shows: of lost, stale, replaced and given-up uploads."""

from dataclasses import dataclass
from typing import Final

from schemas.events import ThumbnailCleanup
from storage.keys import is_folder_of, thumbnails_prefix
from storage.tenants import TenantStorage
from streams.rows.queries import RowStates, ShownRow
from streams.thumbnails.storage_calls import StorageCalls


class CleanupService:
    """Deletes versions of a media's thumbnails. Idempotent: what is gone already is no error.

    The row decides, and it is asked before anything is deleted: a version that it shows is never touched, and neither
    is one that is newer than the request's, for its own result may be on its way. Where the row is another company's,
    nothing goes but the request's own upload, in the storages of the company that stored it.
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
        rule = _Rule(request, self._rows.shown(request.media))
        deleted = 0
        for tenant in self._calls.tenants.storages_of(request.company_id):
            with tenant:
                deleted += self._clean_storage(tenant, rule)
        self._calls.metrics.cleaned_objects_total.labels(request.reason).inc(deleted)
        return deleted

    def _clean_storage(self, tenant: TenantStorage, rule: "_Rule") -> int:
        media = rule.request.media
        prefix = thumbnails_prefix(tenant.prefix, media.kind.value, media.row_id)
        keys = self._calls.retry.call(lambda: list(tenant.list_files(prefix)))
        unwanted = [key for key in keys if rule.is_unwanted(key.removeprefix(f"{prefix}/").partition("/")[0])]
        for key in unwanted:
            self._calls.retry.call(lambda key=key: tenant.delete_file(key))  # type: ignore[misc]
        return len(unwanted)


@dataclass(frozen=True)
class _Rule:
    """Which folders of a media go."""

    request: ThumbnailCleanup
    shown: ShownRow | None

    def is_unwanted(self, folder: str) -> bool:
        request, shown = self.request, self.shown
        if shown is not None and folder in shown.versions:
            return False
        if is_folder_of(folder, request.version, request.company_id):
            return True
        is_anothers = shown is not None and shown.company_id not in (None, request.company_id)
        return not is_anothers and _moment(folder) < _moment(request.version)


def _moment(version: str) -> str:
    """Return the upload's time in a version, which sorts as text."""
    return version.partition("-")[0]
