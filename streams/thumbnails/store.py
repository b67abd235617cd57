"""Puts the renditions of one upload into a tenant's storage: all of them, confirmed, or it fails."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from threading import Event
from typing import Final

import structlog

from processors.types import Rendition
from schemas.errors import ErrorCode, ThumbnailError
from schemas.events import MediaUploaded, RenditionInfo
from storage.keys import is_folder_of, thumbnail_key, thumbnails_prefix, version_folder
from storage.tenants import TenantStorage
from streams.thumbnails.confirmed_put import put_confirmed
from streams.thumbnails.storage_calls import StorageCalls

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Stored:
    """The storage that holds the renditions now, and what it confirmed of each."""

    tenant: TenantStorage
    infos: tuple[RenditionInfo, ...]
    is_beside_others: bool
    """Whether it held other pictures of the same upload before, or the tenant's own storage may: one of them is to go."""
    version: str
    """That of their folder."""


class RenditionStore:
    """Stores under keys that are derived from the upload and the pictures, so that a repetition writes the same ones.

    Other pictures of the same upload have other keys: its id may come again with another file, or its file be replaced
    between two deliveries. The row shows those of the first result, and nothing changes what they are.

    A failure takes nothing away. Another delivery of the same upload, in this process or in another one, writes the same
    keys and may have announced them; only the row tells later what will not be shown. Objects that are left behind are written
    again by the next attempt, or deleted by the cleanup that follows when the upload is given up, overtaken or shown otherwise.
    """

    def __init__(self, calls: StorageCalls) -> None:
        self._calls: Final = calls

    async def store(
        self,
        upload: MediaUploaded,
        tenant: TenantStorage,
        renditions: tuple[Rendition, ...],
        *,
        is_final: Callable[[ThumbnailError], bool],
        version: str,
    ) -> Stored:
        """Store the renditions in a folder of `version`; return where they are now, and what the store confirmed of each.

        In `tenant`, or in its fallback when the tenant's own storage fails with what `is_final`, the end of the event.
        The tenant's own storage may then hold what this attempt has left. Raises ThumbnailError where neither can be.
        """
        tried: list[str] = []
        try:
            return await self._put_all(upload, version, tenant, renditions, tried)
        except ThumbnailError as error:
            if error.code is ErrorCode.STORAGE_BAD_KEY or not is_final(error):
                raise
            log.warning(
                "storage_fallback_used",
                company_id=upload.company_id,
                media=upload.media.record_key,
                connection_id=tenant.connection_id,
                error_code=error.code,
                error=error.message,
            )
            fallback = self._calls.tenants.fallback_for(tenant, error.code)
            if fallback is None:
                raise
        stored = await self._put_all(upload, version, fallback, renditions, [])
        return replace(stored, is_beside_others=stored.is_beside_others or bool(tried))

    async def _put_all(
        self,
        upload: MediaUploaded,
        version: str,
        tenant: TenantStorage,
        renditions: tuple[Rendition, ...],
        tried: list[str],
    ) -> Stored:
        """Put them into `tenant` alone. Each key is added to `tried` before it is written."""
        is_cancelled = Event()
        try:
            return await self._calls.in_thread(
                lambda: self._put_each(_Wanted(upload, version, tenant, renditions), tried, is_cancelled)
            )
        except asyncio.CancelledError:
            is_cancelled.set()
            raise

    def _put_each(self, wanted: "_Wanted", tried: list[str], is_cancelled: Event) -> Stored:
        """Put them, in one thread from beginning to end: a hop for each call took longer than what it did."""
        upload, version, tenant = wanted.upload, wanted.version, wanted.tenant
        media_folder = thumbnails_prefix(tenant.prefix, upload.media.kind.value, upload.media.row_id)
        pictures = [(f"{one.name}.{one.format.extension}", one.content) for one in wanted.renditions]
        folder = version_folder(version, upload.company_id, pictures, is_substitute=tenant.is_substitute)
        call = self._calls.retry.call
        there_before = call(lambda: frozenset(tenant.list_files(media_folder)))
        others = _folders_of(version, upload.company_id, there_before, media_folder) - {folder}
        if others:
            media = upload.media.record_key
            log.warning("upload_has_other_pictures", company_id=upload.company_id, media=media, folders=sorted(others))
        infos: list[RenditionInfo] = []
        for rendition in wanted.renditions:
            if is_cancelled.is_set():
                raise asyncio.CancelledError  # nobody waits for the rest: the upload is handed back
            key = thumbnail_key(media_folder, folder, rendition.name, rendition.format.extension)
            tried.append(key)
            infos.append(put_confirmed(self._calls, tenant, key, rendition))
        return Stored(tenant, tuple(infos), is_beside_others=bool(others), version=version)


@dataclass(frozen=True)
class _Wanted:
    """The renditions of an upload's version, and where they go."""

    upload: MediaUploaded
    version: str
    tenant: TenantStorage
    renditions: tuple[Rendition, ...]


def _folders_of(version: str, company_id: int, keys: Iterable[str], media_folder: str) -> set[str]:
    """Return the folders with pictures of the company's upload `version`, of those of its media."""
    folders = {key.removeprefix(f"{media_folder}/").partition("/")[0] for key in keys}
    return {folder for folder in folders if is_folder_of(folder, version, company_id)}
