"""ThumbnailService: one upload in, its stored thumbnails out. Knows no Kafka."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import monotonic, perf_counter
from typing import Final, Protocol, TypeVar

from processors.output.renditions import main_index
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
from streams.thumbnails.patience import Patience
from streams.thumbnails.stage_times import made_stages, read_stage, upload_stage
from streams.thumbnails.store import RenditionStore
from streams.tracing import StageTime

T = TypeVar("T")


class ThumbnailMaker(Protocol):
    """What turns a source into pictures; in production `processors.sandbox.pool.DecodeSlots`."""

    async def create_thumbnails(self, source: Source, spec: ThumbnailSpec, *, kind: Kind | None) -> ThumbnailSet:
        """The renditions of `spec`, or a ThumbnailError with a media.* code, or the source's own error unchanged."""


@dataclass
class Progress:
    """How far an upload has come; read when it fails. `stages` are those that are over, for its trace."""

    stage: Stage = Stage.EVENT
    stage_began_s: float = field(default_factory=perf_counter)
    stages: list[StageTime] = field(default_factory=list)

    def enter(self, stage: Stage) -> None:
        """The next stage begins now."""
        self.stage, self.stage_began_s = stage, perf_counter()

    def failed(self, code: ErrorCode) -> tuple[StageTime, ...]:
        """All stages, with the one that failed just now."""
        return *self.stages, StageTime(self.stage, self.stage_began_s, perf_counter(), error=code)


class PatientSource:
    """A source whose failed reads are tried again for a moment before they fail the event. It counts what it reads."""

    def __init__(self, source: Source, patience: Patience) -> None:
        self._source: Final = source
        self._patience: Final = patience
        self.reads = 0
        self.bytes_read = 0
        self.busy_s = 0.0
        self.last_read_s: float | None = None
        """When the last read ended, in seconds of time.perf_counter()."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """As the source's own."""
        began_s = perf_counter()
        try:
            data = self._patience.call(lambda: self._source.read_at(offset, length))
            self.bytes_read += len(data)
            return data
        finally:
            self.reads += 1
            self.last_read_s = perf_counter()
            self.busy_s += self.last_read_s - began_s


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
        progress.enter(Stage.TENANT)
        tenant = await self._in_thread(lambda: self._tenants.open(upload.company_id))
        try:
            made = await self._make(upload, tenant, progress)
            progress.enter(Stage.UPLOAD)
            used, stored = await self._store.store(upload, tenant, made.renditions, is_final=is_final)
        finally:
            tenant.close()
        finished = perf_counter()
        progress.stages.append(upload_stage(progress.stage_began_s, finished, stored, used))
        timings = TimingsMs(
            read=round(made.read_ms, 1),
            decode=round(made.decode_ms, 1),
            render=round(made.render_ms, 1),
            upload=round((finished - progress.stage_began_s) * 1000, 1),
            total=round((finished - started) * 1000, 1),
        )
        self._metrics.decoder_used_total.labels(made.frame.method).inc()
        return self._announcement(upload, used, made, stored, attempt=attempt, timings=timings)

    async def _make(self, upload: MediaUploaded, tenant: TenantStorage, progress: Progress) -> ThumbnailSet:
        progress.enter(Stage.READ)
        opening_s = progress.stage_began_s
        source = await self._open(tenant, upload.media.key)
        patient = PatientSource(source, self._patience)
        try:
            progress.enter(Stage.DECODE)
            spec = replace(self._spec, frame_time_s=upload.frame_time_s)
            kind: Kind = upload.media.kind.value
            made = await self._maker.create_thumbnails(patient, spec, kind=kind)
            progress.stages += made_stages(progress.stage_began_s, perf_counter(), made)
            self._metrics.source_bytes_read_total.labels(kind).inc(made.bytes_read)
            self._metrics.source_size_bytes_total.labels(kind).inc(source.size)
            return made
        finally:
            progress.stages.append(read_stage(opening_s, patient, progress.stage_began_s))
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
