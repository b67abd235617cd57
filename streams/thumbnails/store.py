"""Puts the renditions of one upload into a tenant's storage: all of them, confirmed, or none."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from processors.types import Rendition
from schemas.errors import ErrorCode, ThumbnailError, TransientError
from schemas.events import MediaUploaded, RenditionInfo
from storage.keys import is_folder_of, thumbnail_key, thumbnails_prefix, version_folder
from storage.tenants import TenantStorage
from streams.thumbnails.storage_calls import StorageCalls

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Stored:
    """The storage that holds the renditions now, and what it confirmed of each."""

    tenant: TenantStorage
    infos: tuple[RenditionInfo, ...]
    is_beside_others: bool
    """Whether it held other pictures of the same upload before: one of the two is to be cleaned up."""
    version: str
    """That of their folder."""


class RenditionStore:
    """Stores under keys that are derived from the upload and the pictures, so that a repetition writes the same ones.

    Other pictures of the same upload have other keys: its id may come again with another file, or its file be replaced
    between two deliveries. The row shows those of the first result, and nothing changes what they are.

    A failure takes away the objects that this attempt was the first to write, and only those: an earlier delivery of
    the same upload may have announced the others already. After `lease_s` it takes nothing away: a process that was
    stopped for so long may have lost its partition, and another have announced the same objects. They are then left to
    the next attempt, which writes the same keys, or to the cleanup that follows when the upload is given up.
    """

    def __init__(
        self,
        calls: StorageCalls,
        *,
        lease_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Within `lease_s` of its begin, by `clock`, nobody else can have got an upload that is being stored."""
        self._calls: Final = calls
        self._metrics: Final = calls.metrics
        self._lease_s: Final = lease_s
        self._clock: Final = clock

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
        Raises ThumbnailError where neither can be.
        """
        try:
            return await self._put_all(upload, version, tenant, renditions)
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
        return await self._put_all(upload, version, fallback, renditions)

    async def _put_all(
        self, upload: MediaUploaded, version: str, tenant: TenantStorage, renditions: tuple[Rendition, ...]
    ) -> Stored:
        media_folder = thumbnails_prefix(tenant.prefix, upload.media.kind.value, upload.media.row_id)
        pictures = [(f"{one.name}.{one.format.extension}", one.content) for one in renditions]
        folder = version_folder(version, upload.company_id, pictures)
        began = self._clock()  # before it is asked what is there: the answer may be old when it comes
        there_before = await self._calls.retried(lambda: frozenset(tenant.list_files(media_folder)))
        others = _folders_of(version, upload.company_id, there_before, media_folder) - {folder}
        if others:
            media = upload.media.record_key
            log.warning("upload_has_other_pictures", company_id=upload.company_id, media=media, folders=sorted(others))
        written: list[str] = []
        infos: list[RenditionInfo] = []
        try:
            for rendition in renditions:
                key = thumbnail_key(media_folder, folder, rendition.name, rendition.format.extension)
                if key not in there_before:
                    written.append(key)
                infos.append(await self._put(tenant, key, rendition))
        except (ThumbnailError, asyncio.CancelledError):
            await asyncio.shield(
                self._calls.in_thread(lambda: self._take_back(tenant, written, until=began + self._lease_s))
            )
            raise
        return Stored(tenant, tuple(infos), is_beside_others=bool(others), version=version)

    async def _put(self, tenant: TenantStorage, key: str, rendition: Rendition) -> RenditionInfo:
        provider, content = tenant.provider.name, rendition.content
        try:
            with self._metrics.upload_duration_seconds.labels(provider).time():
                stored = await self._calls.retried(
                    lambda: tenant.upload_file(key, content, content_type=rendition.format.media_type)
                )
            sha256 = hashlib.sha256(content).hexdigest()
            if (stored.size_bytes, stored.sha256) != (len(content), sha256):
                raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"The store confirmed other content for {key!r}.")
            url = await self._calls.retried(lambda: tenant.get_file_url(key))  # some stores must be asked
        except ThumbnailError:
            self._metrics.upload_total.labels(provider, "failed").inc()
            raise
        self._metrics.upload_total.labels(provider, "success").inc()
        return RenditionInfo(
            name=rendition.name,
            key=key,
            url=url,
            width=rendition.width,
            height=rendition.height,
            format=rendition.format,
            bytes=len(content),
            sha256=sha256,
        )

    def _take_back(self, tenant: TenantStorage, keys: list[str], *, until: float) -> None:
        for key in keys:
            if self._clock() >= until:
                log.warning("object_cleanup_deferred", objects=len(keys), prefix=tenant.prefix)
                return
            try:
                self._calls.retry.call(lambda key=key: tenant.delete_file(key))  # type: ignore[misc]
            except ThumbnailError:
                # The retry writes the same key again, and giving up asks for a cleanup of the whole version.
                continue


def _folders_of(version: str, company_id: int, keys: Iterable[str], media_folder: str) -> set[str]:
    """Return the folders with pictures of the company's upload `version`, of those of its media."""
    folders = {key.removeprefix(f"{media_folder}/").partition("/")[0] for key in keys}
    return {folder for folder in folders if is_folder_of(folder, version, company_id)}
