"""Removes stored thumbnails that no row shows: of lost, stale, replaced and given-up uploads."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.events import ThumbnailCleanup, upload_version
from storage.keys import is_folder_of, thumbnails_prefix
from storage.tenants import TenantStorage
from streams.rows.queries import RowStates
from streams.thumbnails.storage_calls import StorageCalls

_OF_AN_UPLOAD: Final = re.compile(r"\d+T\d{6}\.\d{6}Z-[0-9a-f]{12}(-|$)")
"""The beginning of every folder that the pipeline makes: see upload_version."""
_LONGEST_LEAD: Final = timedelta(days=1)
"""Far more than clocks differ: a version whose time lies so far ahead of ours belongs to no upload on its way."""
_LAST_DAY: Final = datetime(9999, 12, 30, tzinfo=UTC)
"""A lead can still be added to it: Python's times end with that year."""


class CleanupService:
    """Deletes versions of a media's thumbnails. Idempotent: what is gone already is no error.

    The row decides, and it is asked right before each delete: a folder that it shows is never touched, and neither is
    one that is newer than the request's, for its own result may be on its way. A folder that the row does not show
    when it is asked may not come to be shown afterwards, or the delete would take it away: a replay has folders of its
    own, and a row never goes back to an older upload (docs/decisions.md). Where the row is another company's, nothing
    goes but the request's own upload, in the storages of the company that stored it.
    """

    def __init__(
        self, calls: StorageCalls, rows: RowStates, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._calls: Final = calls
        self._rows: Final = rows
        self._now: Final = now

    async def clean(self, request: ThumbnailCleanup) -> int:
        """Delete what `request` asks for; return how many objects.

        Raises ThumbnailError when a store or the row cannot be asked.
        """
        return await self._calls.in_thread(lambda: self._clean(request))

    def _clean(self, request: ThumbnailCleanup) -> int:
        deleted = 0
        for tenant in self._calls.tenants.storages_of(request.company_id):
            with tenant:
                deleted += self._clean_storage(tenant, request)
        self._calls.metrics.cleaned_objects_total.labels(request.reason).inc(deleted)
        return deleted

    def _clean_storage(self, tenant: TenantStorage, request: ThumbnailCleanup) -> int:
        prefix = thumbnails_prefix(tenant.prefix, request.media.kind.value, request.media.row_id)
        keys = self._calls.retry.call(lambda: list(tenant.list_files(prefix)))
        unclaimed_from = min(max(self._now(), request.produced_at), _LAST_DAY) + _LONGEST_LEAD
        deleted = 0
        for key in keys:
            folder = key.removeprefix(f"{prefix}/").partition("/")[0]
            is_own = is_folder_of(folder, request.version, request.company_id)
            if is_own or _is_outdated(folder, request.version, unclaimed_from):
                deleted += self._calls.retry.call(lambda key=key, of=folder: self._delete(tenant, request, key, of))  # type: ignore[misc]
        return deleted

    def _delete(self, tenant: TenantStorage, request: ThumbnailCleanup, key: str, folder: str) -> bool:
        """Delete `key` unless its folder belongs to the row at this moment; return whether it was deleted."""
        row = self._rows.shown(request.media)
        if row is not None:
            is_anothers = row.company_id not in (None, request.company_id)
            is_own = is_folder_of(folder, request.version, request.company_id)
            if folder in row.versions or (is_anothers and not is_own):
                return False
        tenant.delete_file(key)
        return True


def _is_outdated(folder: str, requested: str, unclaimed_from: datetime) -> bool:
    """Return whether a request for `requested` is also one for a folder of another upload, unless the row shows it.

    No upload that is accepted has a time from `unclaimed_from` on: its row gave way to an upload with a right time.
    What lies there under another name is not the pipeline's: the storage is the company's, and others use it too.
    """
    if _OF_AN_UPLOAD.match(folder) is None:
        return False
    moment = _moment(folder)
    return moment < _moment(requested) or moment >= _moment(upload_version(unclaimed_from, ""))


def _moment(version: str) -> str:
    """Return the upload's time in a version, which sorts as text."""
    return version.partition("-")[0]
