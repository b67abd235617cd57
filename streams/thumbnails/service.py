"""ThumbnailService: one upload in, its stored thumbnails out. Knows no Kafka."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Final, Protocol

from processors.output.fingerprint import settings_fingerprint
from processors.output.renditions import main_index
from processors.types import Kind, Source, ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, Stage, ThumbnailError
from schemas.events import (
    FrameInfo,
    MediaUploaded,
    SourceInfo,
    StorageInfo,
    ThumbnailReady,
    TimingsMs,
    result_event_id,
)
from storage.base import SourceReader
from storage.tenants import TenantStorage
from streams.thumbnails.claims import source_info
from streams.thumbnails.stage_times import made_stages, read_stage, upload_stage
from streams.thumbnails.storage_calls import RetryingSource, StorageCalls, open_source
from streams.thumbnails.store import RenditionStore, Stored
from streams.tracing import StageTime


class ThumbnailMaker(Protocol):
    """Turns a source into pictures; in production `processors.sandbox.pool.DecodeSlots`."""

    async def create_thumbnails(
        self, source: Source, spec: ThumbnailSpec, *, kind: Kind | None, tenant: str | None
    ) -> ThumbnailSet:
        """Return the renditions of `spec`, or raise a ThumbnailError with a media.* code, or the source's own error unchanged."""


@dataclass
class Progress:
    """The stage that an upload has reached; read when it fails. `stages` are those that are over, for its trace."""

    stage: Stage = Stage.EVENT
    stage_began_s: float = field(default_factory=perf_counter)
    stages: list[StageTime] = field(default_factory=list)
    is_beside_others: bool = False
    """Whether the company's storages may hold other pictures of the same upload."""

    def enter(self, stage: Stage) -> None:
        """Begin the next stage now."""
        self.stage, self.stage_began_s = stage, perf_counter()

    def failed(self, code: ErrorCode) -> tuple[StageTime, ...]:
        """Return all stages, with the one that failed just now."""
        return *self.stages, StageTime(self.stage, self.stage_began_s, perf_counter(), error=code)


@dataclass(frozen=True)
class _Facts:
    """The facts that are announced beside the pictures and their places."""

    source: SourceInfo
    attempt: int
    timings: TimingsMs


class ThumbnailService:
    """Reads, decodes, renders and stores the thumbnails of one upload.

    Side effects, in this order:
    1. Renditions are put into the tenant's storage, each confirmed by size and checksum. Dying here leaves objects
       under keys that are derived from the upload and the pictures: its redelivery writes the same keys again.
    2. Nothing else. The caller announces the result, and acknowledges the upload after the broker has the announcement.
    """

    def __init__(
        self,
        calls: StorageCalls,
        store: RenditionStore,
        maker: ThumbnailMaker,
        spec: ThumbnailSpec,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._calls: Final = calls
        self._store: Final = store
        self._maker: Final = maker
        self._spec: Final = spec
        self._fingerprint: Final = settings_fingerprint(spec)
        self._metrics: Final = calls.metrics
        self._now: Final = now

    async def create(
        self,
        upload: MediaUploaded,
        progress: Progress,
        *,
        attempt: int,
        is_final: Callable[[ThumbnailError], bool],
        version: str | None = None,
    ) -> ThumbnailReady:
        """Return the announcement of `upload`'s stored thumbnails; raise ThumbnailError, `progress` says at which stage.

        `attempt` is 1-based. Where an error of the upload `is_final`, thumbnails go to local storage rather than nowhere.
        They are stored in a folder of `version`, by default that of the upload's first start.
        """
        started = perf_counter()
        progress.enter(Stage.TENANT)
        tenant, reader = await self._calls.in_thread(lambda: self._open(upload, progress))
        try:
            made, source = await self._make(upload, reader, progress)
            progress.enter(Stage.UPLOAD)
            folder = version or upload.version
            stored = await self._store.store(upload, tenant, made.renditions, is_final=is_final, version=folder)
        finally:
            tenant.close()
        finished = perf_counter()
        progress.stages.append(upload_stage(progress.stage_began_s, finished, stored.infos, stored.tenant))
        # An earlier attempt may have failed half-way in the company's own storage.
        progress.is_beside_others = stored.is_beside_others or (attempt > 1 and stored.tenant.is_substitute)
        timings = TimingsMs(
            read=round(made.read_ms, 1),
            decode=round(made.decode_ms, 1),
            render=round(made.render_ms, 1),
            upload=round((finished - progress.stage_began_s) * 1000, 1),
            total=round((finished - started) * 1000, 1),
        )
        self._count(stored.tenant, made)
        return self._ready(upload, made, stored, _Facts(source, attempt, timings))

    def _open(self, upload: MediaUploaded, progress: Progress) -> tuple[TenantStorage, SourceReader]:
        """Open the company's storage, and the object in it: in one thread, without a way back to the event loop."""
        tenant = self._calls.tenants.open(upload.company_id)
        try:
            progress.enter(Stage.READ)
            return tenant, self._calls.retry.call(lambda: open_source(tenant, upload.media.key))
        except BaseException:
            tenant.close()
            raise

    async def _make(
        self, upload: MediaUploaded, source: SourceReader, progress: Progress
    ) -> tuple[ThumbnailSet, SourceInfo]:
        opening_s = progress.stage_began_s
        counted = RetryingSource(source, self._calls.retry)
        try:
            progress.enter(Stage.DECODE)
            spec = replace(self._spec, frame_time_s=upload.frame_time_s)
            kind: Kind = upload.media.kind.value
            made = await self._maker.create_thumbnails(counted, spec, kind=kind, tenant=str(upload.company_id))
            progress.stages += made_stages(progress.stage_began_s, perf_counter(), made)
            self._metrics.source_bytes_read_total.labels(kind).inc(made.bytes_read)
            self._metrics.source_size_bytes_total.labels(kind).inc(source.size)
            return made, source_info(upload.media, source.size, made)
        finally:
            progress.stages.append(read_stage(opening_s, counted, progress.stage_began_s))
            source.close()

    def _count(self, used: TenantStorage, made: ThumbnailSet) -> None:
        self._metrics.decoder_used_total.labels(made.frame.method).inc()
        if used.fallback_reason is not None:
            self._metrics.fallbacks_total.labels(used.wanted_provider, used.fallback_reason).inc()

    def _ready(self, upload: MediaUploaded, made: ThumbnailSet, stored: Stored, facts: _Facts) -> ThumbnailReady:
        tenant, frame = stored.tenant, made.frame
        shown = stored.infos[main_index([info.name for info in stored.infos])]
        return ThumbnailReady(
            event_id=result_event_id(upload, "ready", stored.version),
            upload_event_id=upload.event_id,
            occurred_at=upload.occurred_at,
            produced_at=max(self._now(), upload.occurred_at),  # see rows.last_write_wins.counted_time
            company_id=upload.company_id,
            media=upload.media,
            thumbnail_url=shown.url,
            renditions=stored.infos,
            storage=StorageInfo(
                provider=tenant.provider.name, connection_id=tenant.connection_id, fallback=tenant.fallback_reason
            ),
            source=facts.source,
            frame=FrameInfo(time_s=frame.time_s, method=frame.method, score=frame.score, candidates=frame.candidates),
            degraded=made.degraded_reason is not None,
            degraded_reason=made.degraded_reason,
            placeholder=made.placeholder,
            attempt=facts.attempt,
            timings_ms=facts.timings,
            version=stored.version,
            settings=self._fingerprint,
        )
