"""ThumbnailService: one upload in, its stored thumbnails out. Knows no Kafka."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Final, Protocol, TypeVar

from processors.types import Kind, Rendition, Source, ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, Stage, ThumbnailError, TransientError
from schemas.events import (
    FrameInfo,
    MediaUploaded,
    RenditionInfo,
    SourceInfo,
    StorageInfo,
    ThumbnailReady,
    TimingsMs,
    derived_event_id,
)
from schemas.metrics import Metrics
from storage.keys import thumbnail_key, thumbnails_prefix
from storage.tenants import Tenants, TenantStorage
from streams.patience import Patience

CONTENT_TYPES: Final = {"webp": "image/webp", "jpeg": "image/jpeg", "avif": "image/avif"}
EXTENSIONS: Final = {"webp": "webp", "jpeg": "jpg", "avif": "avif"}

T = TypeVar("T")


class ThumbnailMaker(Protocol):
    """What turns a source into pictures; in production `processors.decode_slots.DecodeSlots`."""

    async def create_thumbnails(self, source: Source, spec: ThumbnailSpec, *, kind: Kind | None) -> ThumbnailSet:
        """The renditions of `spec`, or a ThumbnailError with a media.* code, or the source's own error unchanged."""


@dataclass
class Progress:
    """How far an upload has come; read when it fails."""

    stage: Stage = Stage.EVENT


class PatientSource:
    """A source whose failed reads are tried again for a moment before they fail the event."""

    def __init__(self, source: Source, patience: Patience) -> None:
        self._source: Final = source
        self._patience: Final = patience

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """As the source's own."""
        return self._patience.call(lambda: self._source.read_at(offset, length))


class ThumbnailService:
    """Reads, decodes, renders and stores the thumbnails of one upload.

    Side effects, in this order:
    1. Renditions are put into the tenant's storage, each confirmed by size and checksum. Dying here leaves objects
       under keys that are derived from the upload: its redelivery writes the same keys again.
    2. Nothing else. The caller announces the result, and acknowledges the upload after the broker has the announcement.
    A failure takes away the objects that this attempt was the first to write, and only those: an earlier delivery of
    the same upload may have announced the others already.
    """

    def __init__(
        self,
        tenants: Tenants,
        maker: ThumbnailMaker,
        spec: ThumbnailSpec,
        executor: Executor,
        metrics: Metrics,
        *,
        patience: Patience | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tenants: Final = tenants
        self._maker: Final = maker
        self._spec: Final = spec
        self._executor: Final = executor
        self._metrics: Final = metrics
        self._patience: Final = patience or Patience()
        self._now: Final = now

    async def create(
        self, upload: MediaUploaded, progress: Progress, *, attempt: int, is_last_attempt: bool
    ) -> ThumbnailReady:
        """The announcement of `upload`'s stored thumbnails; raises ThumbnailError, `progress` says at which stage.

        `attempt` is 1-based. On the last attempt thumbnails go to local storage rather than nowhere.
        """
        started = perf_counter()
        progress.stage = Stage.TENANT
        tenant = await self._in_thread(lambda: self._tenants.open(upload.company_id))
        made = await self._make(upload, tenant, progress)
        progress.stage = Stage.UPLOAD
        upload_started = perf_counter()
        used, stored = await self._store(upload, tenant, made.renditions, is_last_attempt=is_last_attempt)
        finished = perf_counter()
        timings = TimingsMs(
            read=round(made.read_ms, 1),
            decode=round(made.decode_ms, 1),
            render=round(made.render_ms, 1),
            upload=round((finished - upload_started) * 1000, 1),
            total=round((finished - started) * 1000, 1),
        )
        self._metrics.source_bytes_read_total.labels(upload.media.kind).inc(made.bytes_read)
        self._metrics.decoder_used_total.labels(made.frame.method).inc()
        return self._announcement(upload, used, made, stored, attempt=attempt, timings=timings)

    async def _make(self, upload: MediaUploaded, tenant: TenantStorage, progress: Progress) -> ThumbnailSet:
        progress.stage = Stage.READ
        key = upload.media.key
        source = await self._in_thread(lambda: self._patience.call(lambda: tenant.open_source(key)))
        try:
            progress.stage = Stage.DECODE
            spec = replace(self._spec, frame_time_s=upload.frame_time_s)
            kind: Kind = upload.media.kind.value
            return await self._maker.create_thumbnails(PatientSource(source, self._patience), spec, kind=kind)
        finally:
            source.close()

    async def _store(
        self,
        upload: MediaUploaded,
        tenant: TenantStorage,
        renditions: tuple[Rendition, ...],
        *,
        is_last_attempt: bool,
    ) -> tuple[TenantStorage, tuple[RenditionInfo, ...]]:
        try:
            return tenant, await self._store_all(upload, tenant, renditions)
        except ThumbnailError as error:
            if error.code is ErrorCode.STORAGE_BAD_KEY or (isinstance(error, TransientError) and not is_last_attempt):
                raise
            fallback = self._tenants.fallback_for(tenant, error.code)
            if fallback is None:
                raise
        return fallback, await self._store_all(upload, fallback, renditions)

    async def _store_all(
        self, upload: MediaUploaded, tenant: TenantStorage, renditions: tuple[Rendition, ...]
    ) -> tuple[RenditionInfo, ...]:
        keys = {rendition.name: self._key(upload, tenant, rendition) for rendition in renditions}
        folder = next(iter(keys.values())).rpartition("/")[0]
        there_before = await self._in_thread(lambda: self._patience.call(lambda: frozenset(tenant.list_files(folder))))
        written: list[str] = []
        try:
            infos = []
            for rendition in renditions:
                key = keys[rendition.name]
                if key not in there_before:
                    written.append(key)
                infos.append(await self._put(tenant, key, rendition))
            return tuple(infos)
        except (ThumbnailError, asyncio.CancelledError):
            await asyncio.shield(self._in_thread(lambda: self._take_back(tenant, written)))
            raise

    async def _put(self, tenant: TenantStorage, key: str, rendition: Rendition) -> RenditionInfo:
        provider = tenant.provider.name
        content, content_type = rendition.content, CONTENT_TYPES[rendition.format]
        put = lambda: tenant.upload_file(key, content, content_type=content_type)  # noqa: E731 - bound once, called twice
        with self._metrics.upload_duration_seconds.labels(provider).time():
            try:
                stored = await self._in_thread(lambda: self._patience.call(put))
            except ThumbnailError:
                self._metrics.upload_total.labels(provider, "failed").inc()
                raise
        sha256 = hashlib.sha256(content).hexdigest()
        if (stored.size_bytes, stored.sha256) != (len(content), sha256):
            self._metrics.upload_total.labels(provider, "failed").inc()
            raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"The store confirmed other content for {key!r}.")
        self._metrics.upload_total.labels(provider, "success").inc()
        return RenditionInfo(
            name=rendition.name,
            key=key,
            url=tenant.get_file_url(key),
            width=rendition.width,
            height=rendition.height,
            format=rendition.format,
            bytes=len(content),
            sha256=sha256,
        )

    def _take_back(self, tenant: TenantStorage, keys: list[str]) -> None:
        for key in keys:
            try:
                self._patience.call(lambda key=key: tenant.delete_file(key))  # type: ignore[misc]
            except ThumbnailError:
                # The retry writes the same key again, and giving up asks for a cleanup of the whole version.
                continue

    def _key(self, upload: MediaUploaded, tenant: TenantStorage, rendition: Rendition) -> str:
        kind, row_id = upload.media.kind.value, upload.media.row_id
        extension = EXTENSIONS[rendition.format]
        folder = thumbnails_prefix(tenant.prefix, kind, row_id)
        return thumbnail_key(folder, upload.version, rendition.name, extension)

    def _announcement(
        self,
        upload: MediaUploaded,
        tenant: TenantStorage,
        made: ThumbnailSet,
        stored: tuple[RenditionInfo, ...],
        *,
        attempt: int,
        timings: TimingsMs,
    ) -> ThumbnailReady:
        facts, frame = made.source, made.frame
        if tenant.fallback_reason is not None:
            self._metrics.fallbacks_total.labels(tenant.wanted_provider, tenant.fallback_reason).inc()
        shown = next((info for info in stored if info.name == "medium"), stored[0])
        return ThumbnailReady(
            event_id=derived_event_id(upload.event_id, "ready"),
            upload_event_id=upload.event_id,
            occurred_at=upload.occurred_at,
            produced_at=self._now(),
            company_id=upload.company_id,
            media=upload.media,
            thumbnail_url=shown.url,
            renditions=stored,
            storage=StorageInfo(
                provider=tenant.provider.name, connection_id=tenant.connection_id, fallback=tenant.fallback_reason
            ),
            source=SourceInfo(
                width=facts.width,
                height=facts.height,
                duration_s=facts.duration_s,
                codec=facts.codec,
                format=facts.format,
                rotation=facts.rotation,
                bytes_read=made.bytes_read,
            ),
            frame=FrameInfo(time_s=frame.time_s, method=frame.method, score=frame.score, candidates=frame.candidates),
            degraded=made.degraded,
            placeholder=made.placeholder,
            attempt=attempt,
            timings_ms=timings,
        )

    def _in_thread(self, call: Callable[[], T]) -> Awaitable[T]:
        # Providers block; the event loop must go on for the heartbeats and for the other events.
        return asyncio.get_running_loop().run_in_executor(self._executor, call)
