"""Hand-made stand-ins for the unit tests of the flow: one tenant in memory, and a maker that needs no decoder."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from processors.types import Frame, Kind, PictureFormat, Rendition, Source, SourceFacts, ThumbnailSet, ThumbnailSpec
from schemas.degraded import DegradedReason
from schemas.errors import ThumbnailError
from schemas.events import Media, MediaKind, MediaUploaded
from schemas.metrics import Metrics
from storage.base import StoredObject
from storage.connections import LocalStorageSettings
from storage.factory import ProviderSettings
from storage.memory import MemoryStorageProvider
from storage.tenants import Company, Tenants, TenantStorage
from streams.thumbnails.service import ThumbnailService
from streams.thumbnails.storage_calls import InlineRetry, StorageCalls
from streams.thumbnails.store import RenditionStore

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SOURCE_KEY = "acme/uploads/a.mp4"


def an_upload(
    *,
    event_id: str = "upload-1",
    occurred_at: datetime = NOW,
    key: str = SOURCE_KEY,
    video: int = 42,
    company_id: int = 1,
) -> MediaUploaded:
    media = Media(kind=MediaKind.VIDEO, id=video, ar_content_id=9, key=key)
    return MediaUploaded(event_id=event_id, occurred_at=occurred_at, company_id=company_id, media=media)


class ForgetfulStorage(MemoryStorageProvider):
    """Keeps all bytes but the last, and confirms what it keeps."""

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        return super().upload_file(key, content[:-1], content_type=content_type)


class NoCompanies:
    """A directory that knows nobody."""

    def find_company(self, company_id: int) -> Company | None:  # noqa: ARG002 - the port's signature
        return None


class OneTenant(Tenants):
    """Company 1, called acme, whose storage is in memory; its fallback is another memory."""

    def __init__(self, own: MemoryStorageProvider | None = None, *, fallback_allowed: bool = True) -> None:
        super().__init__(NoCompanies(), settings=ProviderSettings(LocalStorageSettings(Path("/nowhere"), "http://x")))
        self.own = own or MemoryStorageProvider()
        self.local = MemoryStorageProvider("memory://local")
        self._fallback_allowed = fallback_allowed

    def open(self, company_id: int) -> TenantStorage:
        if company_id != 1:
            return super().open(company_id)
        return TenantStorage(self.own, "acme", 5, "minio")

    def fallback_for(self, tenant: TenantStorage, reason: str) -> TenantStorage | None:
        if not self._fallback_allowed:
            return None
        return TenantStorage(self.local, tenant.prefix, None, tenant.wanted_provider, reason)

    def storages_of(self, company_id: int) -> tuple[TenantStorage, ...]:
        own = self.open(company_id)
        return own, TenantStorage(self.local, own.prefix, None, "minio", "fallback")


@dataclass
class FakeMaker:
    """Reads the source's first bytes, and gives back pictures that contain their names."""

    error: ThumbnailError | None = None
    picture: str = "picture"
    degraded_reason: DegradedReason | None = None
    seen: list[tuple[Kind | None, float | None]] = field(default_factory=list)
    tenants: list[str | None] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None
    """Called while it works."""

    async def create_thumbnails(
        self, source: Source, spec: ThumbnailSpec, *, kind: Kind | None, tenant: str | None
    ) -> ThumbnailSet:
        self.tenants.append(tenant)
        self.seen.append((kind, spec.frame_time_s))
        head = source.read_at(0, 8)
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return ThumbnailSet(
            renditions=tuple(
                Rendition(r.name, r.width, r.height, PictureFormat.WEBP, f"{r.name} {self.picture}".encode())
                for r in spec.renditions
            ),
            frame=Frame(1.5, "pyav-smart", 0.9, 2),
            source=SourceFacts("video", 1280, 720, 15.0, "h264", "mov", 0),
            degraded_reason=self.degraded_reason,
            bytes_read=len(head),
            read_ms=1.0,
            decode_ms=2.0,
            render_ms=3.0,
        )


@dataclass
class Flow:
    """A ThumbnailService with everything around it."""

    tenants: OneTenant
    maker: FakeMaker
    metrics: Metrics
    service: ThumbnailService
    calls: StorageCalls
    slept_s: list[float]


def a_flow(
    own: MemoryStorageProvider | None = None,
    *,
    fallback_allowed: bool = True,
    spec: ThumbnailSpec | None = None,
    tenants: OneTenant | None = None,
) -> Flow:
    tenants, maker, metrics = tenants or OneTenant(own, fallback_allowed=fallback_allowed), FakeMaker(), Metrics()
    tenants.own.objects[SOURCE_KEY] = b"the whole video"
    slept_s: list[float] = []
    calls = StorageCalls(tenants, ThreadPoolExecutor(2), metrics, InlineRetry(sleep=slept_s.append))
    service = ThumbnailService(calls, RenditionStore(calls), maker, spec or ThumbnailSpec(), now=lambda: NOW)
    return Flow(tenants, maker, metrics, service, calls, slept_s)
