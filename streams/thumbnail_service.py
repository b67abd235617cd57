"""ThumbnailService: one upload in, its stored thumbnails out. Knows no Kafka."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic, perf_counter
from typing import Final, Protocol, TypeVar

from processors.renditions import main_index
from processors.types import Kind, Source, ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, ObjectNotFoundError, Stage, ThumbnailError, TransientError
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
from storage.base import SourceReader
from storage.tenants import Tenants, TenantStorage
from streams.patience import Patience
from streams.rendition_store import RenditionStore

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
        lease_s: float = 15.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Within `lease_s` of its begin, by `clock`, nobody else can have got an upload that is being stored."""
        self._tenants: Final = tenants
        self._maker: Final = maker
        self._spec: Final = spec
        self._executor: Final = executor
        self._metrics: Final = metrics
        self._patience: Final = patience or Patience()
        self._store: Final = RenditionStore(tenants, executor, metrics, self._patience, lease_s=lease_s, clock=clock)
        self._now: Final = now

    async def create(
        self,
        upload: MediaUploaded,
        progress: Progress,
        *,
        attempt: int,
        is_final: Callable[[ThumbnailError], bool],
    ) -> ThumbnailReady:
        """The announcement of `upload`'s stored thumbnails; raises ThumbnailError, `progress` says at which stage.

        `attempt` is 1-based. Where an error of the upload `is_final`, thumbnails go to local storage rather than nowhere.
        """
        started = perf_counter()
        progress.stage = Stage.TENANT
        tenant = await self._in_thread(lambda: self._tenants.open(upload.company_id))
        try:
            made = await self._make(upload, tenant, progress)
            progress.stage = Stage.UPLOAD
            upload_started = perf_counter()
            used, stored = await self._store.store(upload, tenant, made.renditions, is_final=is_final)
        finally:
            tenant.close()
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
        source = await self._open(tenant, key)
        try:
            progress.stage = Stage.DECODE
            spec = replace(self._spec, frame_time_s=upload.frame_time_s)
            kind: Kind = upload.media.kind.value
            return await self._maker.create_thumbnails(PatientSource(source, self._patience), spec, kind=kind)
        finally:
            source.close()

    async def _open(self, tenant: TenantStorage, key: str) -> SourceReader:
        try:
            return await self._in_thread(lambda: self._patience.call(lambda: tenant.open_source(key)))
        except ObjectNotFoundError as error:
            if tenant.fallback_reason in (None, "no_connection"):
                raise
            # Its absence here is no news: it is where the company's own connection would lead.
            raise TransientError(
                ErrorCode.SOURCE_MISSING,
                f"Local storage stands in for the company's own ({tenant.fallback_reason}), and has no {key!r}.",
            ) from error

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
        shown = stored[main_index([info.name for info in stored])]
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
