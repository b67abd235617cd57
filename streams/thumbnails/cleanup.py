"""Removes stored thumbnails that no row shows: of lost, stale, replaced and given-up uploads."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.errors import ErrorCode, TransientError
from schemas.events import CleanupReason, ThumbnailCleanup, upload_version
from storage.keys import is_folder_of, thumbnails_prefix
from storage.tenants import TenantStorage
from streams.rows.queries import RowStates, ShownRow
from streams.rows.versions import upload_of, version_in
from streams.thumbnails.grace import NO_GRACE, Grace
from streams.thumbnails.storage_calls import StorageCalls

_LONGEST_LEAD: Final = timedelta(days=1)
"""Far more than clocks differ: a version whose time lies so far ahead of ours belongs to no upload on its way."""
_LAST_DAY: Final = datetime(9999, 12, 30, tzinfo=UTC)
"""A lead can still be added to it: Python's times end with that year."""


class CleanupService:
    """Deletes versions of a media's thumbnails. Idempotent: what is gone already is no error.

    The row decides, and it is asked right before each delete: a folder that it shows is never touched, and neither is
    one that is newer than the request's, for its own result may be on its way. A folder that the row does not show
    when it is asked may not come to be shown afterwards, or the delete would take it away: a row never goes back to an
    older upload, or to a version that it says was given up (docs/decisions.md). The upload's other versions go as soon
    as that is known of them, too. A version that may have been shown until a moment ago is left to the cleanup of its
    successor: see Grace. Where the row is another company's, nothing goes but the request's own version, in
    the storages of the company that stored it.
    """

    def __init__(
        self,
        calls: StorageCalls,
        rows: RowStates,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        grace: Grace = NO_GRACE,
    ) -> None:
        self._calls: Final = calls
        self._grace: Final = grace
        self._rows: Final = rows
        self._now: Final = now

    async def clean(self, request: ThumbnailCleanup) -> int:
        """Delete what `request` asks for; return how many objects.

        Raises ThumbnailError when a store or the row cannot be asked.
        """
        return await self._calls.in_thread(lambda: self._clean(request))

    def _clean(self, request: ThumbnailCleanup) -> int:
        deleted = 0
        for tenant in self._storages_of(request.company_id):
            with tenant:
                deleted += self._clean_storage(tenant, request)
        self._calls.metrics.cleaned_objects_total.labels(request.reason).inc(deleted)
        return deleted

    def _storages_of(self, company_id: int) -> tuple[TenantStorage, ...]:
        """Return no storage of a company that is not there: it may be made up, and what a deleted one had is out of reach."""
        try:
            return self._calls.tenants.storages_of(company_id)
        except TransientError as error:
            if error.code is not ErrorCode.TENANT_UNKNOWN:
                raise
            return ()

    def _clean_storage(self, tenant: TenantStorage, request: ThumbnailCleanup) -> int:
        prefix = thumbnails_prefix(tenant.prefix, request.media.kind.value, request.media.row_id)
        keys = self._calls.retry.call(lambda: list(tenant.list_files(prefix)))
        unclaimed_from = min(max(self._now(), request.produced_at), _LAST_DAY) + _LONGEST_LEAD
        deleted = 0
        for key in keys:
            folder = key.removeprefix(f"{prefix}/").partition("/")[0]
            if _is_asked_for(folder, request, unclaimed_from):
                deleted += self._calls.retry.call(lambda key=key, of=folder: self._delete(tenant, request, key, of))  # type: ignore[misc]
        return deleted

    def _delete(self, tenant: TenantStorage, request: ThumbnailCleanup, key: str, folder: str) -> bool:
        """Delete `key` unless its folder belongs to the row at this moment, or may later; return whether it was deleted."""
        row = self._rows.shown(request.media)
        if self._grace.protects(request, row, is_own=upload_of(folder) == upload_of(request.version)):
            return False
        if row is not None:
            is_anothers = row.company_id not in (None, request.company_id)
            is_own = is_folder_of(folder, request.version, request.company_id)
            if folder in row.versions or (is_anothers and not is_own):
                return False
            if not is_own and upload_of(folder) == upload_of(request.version) and not _is_over(folder, request, row):
                return False
        tenant.delete_file(key)
        return True


def _is_asked_for(folder: str, request: ThumbnailCleanup, unclaimed_from: datetime) -> bool:
    """Return whether `request` is about a folder: one of its company's upload, or an outdated one."""
    is_its_uploads = upload_of(folder) == upload_of(request.version)
    versions = {request.version} | ({version_in(folder) or ""} if is_its_uploads else set())
    is_its_companys = any(is_folder_of(folder, version, request.company_id) for version in versions)
    return is_its_companys or _is_outdated(folder, request.version, unclaimed_from)


def _is_over(folder: str, request: ThumbnailCleanup, row: ShownRow) -> bool:
    """Return whether another version of the request's upload cannot come to be shown any more.

    The row has gone on to a newer upload, shows this one already by another version, or remembers that this version
    was given up. All others may have a result on its way.
    """
    is_shown = upload_of(folder) in {upload_of(shown) for shown in row.versions}
    return request.reason is CleanupReason.STALE or is_shown or version_in(folder) in row.given_up


def _is_outdated(folder: str, requested: str, unclaimed_from: datetime) -> bool:
    """Return whether a request for `requested` is also one for a folder of another upload, unless the row shows it.

    No upload that is accepted has a time from `unclaimed_from` on: its row gave way to an upload with a right time.
    Objects with another name are not the pipeline's: the storage is the company's, and others use it too.
    """
    if version_in(folder) is None:
        return False
    moment = _moment(folder)
    return moment < _moment(requested) or moment >= _moment(upload_version(unclaimed_from, ""))


def _moment(version: str) -> str:
    """Return the upload's time in a version, which sorts as text."""
    return version.partition("-")[0]
