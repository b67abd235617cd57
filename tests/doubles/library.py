"""A library of thumbnails with planted troubles, workers that do what is asked of them, and an oracle that compares by itself."""

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from processors.types import ThumbnailSpec
from schemas.cloudevents import read_event
from schemas.database import write_transaction
from schemas.events import (
    THUMBNAIL_CLEANUP_TYPE,
    MediaKind,
    MediaUploaded,
    ThumbnailCleanup,
    ThumbnailReady,
    upload_version,
)
from schemas.metrics import Metrics
from schemas.tables import ar_contents, companies, projects, videos
from storage.base import StorageProvider
from storage.keys import thumbnail_key, thumbnails_prefix, version_folder
from storage.tenants import Tenants
from streams.rows.queries import RowStates
from streams.rows.upsert import apply_results
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.cleanup_requests import cleanup_request, needs_cleanup
from streams.thumbnails.service import Progress, ThumbnailService
from streams.thumbnails.storage_calls import InlineRetry, StorageCalls
from streams.thumbnails.store import RenditionStore
from tests.doubles.pipeline import FakeMaker

UPLOADED_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
SIZES = {"small": (150, 112), "medium": (320, 240), "large": (640, 480)}
TROUBLES = ("missing", "incomplete", "damaged", "overtaken", "given_up", "ownerless", "away", "stuck")
GIVEN_UP_BY = "thumbnail.dlq/0/1"


@dataclass(frozen=True)
class Shelf:
    """One company: where its thumbnails are, and where they go when that fails; the same without a storage of its own."""

    company_id: int
    slug: str
    own: StorageProvider
    local: StorageProvider

    @property
    def has_own(self) -> bool:
        return self.own is not self.local


@dataclass
class Library:
    """Rows and objects; `planted` has the trouble of each media that has one."""

    engine: sa.Engine
    shelves: list[Shelf]
    planted: dict[str, str] = field(default_factory=dict)
    _puts: list[tuple[StorageProvider, str, bytes]] = field(default_factory=list)
    _videos: list[dict[str, Any]] = field(default_factory=list)
    _contents: list[dict[str, Any]] = field(default_factory=list)

    def fill(self, media: int, troubles: int, threads: int = 1, *, own_every: int = 2) -> None:
        """Make `media` media, so many of which have a trouble: each kind of them equally often. Ids are of several lengths.

        Of each `own_every` media one is the first company's.
        """
        with write_transaction(self.engine) as connection:
            for shelf in self.shelves:
                connection.execute(
                    sa.insert(projects).values(id=shelf.company_id, company_id=shelf.company_id, name="p")
                )
        kinds = itertools.cycle(TROUBLES)
        every = max(1, media // max(1, troubles))
        left = troubles
        for number in range(1, media + 1):
            trouble = None
            if number % every == 0 and left:
                trouble, left = next(kinds), left - 1
            # Only the first company has a storage of its own to go home to.
            is_first = number % own_every == 0 or trouble == "away"
            self._add(self.shelves[0 if is_first else -1], number, trouble)
        with write_transaction(self.engine) as connection:
            for table, rows in ((ar_contents, self._contents), (videos, self._videos)):
                for first in range(0, len(rows), 5000):
                    connection.execute(sa.insert(table), rows[first : first + 5000])
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda put: put[0].upload_file(put[1], put[2], content_type="image/webp"), self._puts))
        self._videos, self._contents, self._puts = [], [], []

    def _add(self, shelf: Shelf, number: int, trouble: str | None) -> None:
        kind = MediaKind.IMAGE if number % 5 == 0 else MediaKind.VIDEO
        name = f"{'video' if kind is MediaKind.VIDEO else 'ar_content'}:{number}"
        source = f"{shelf.slug}/uploads/{number}.bin"
        moment = UPLOADED_AT + timedelta(seconds=number % 86_400)
        if trouble is not None:
            self.planted[name] = trouble
            self._puts.append((shelf.own, source, b"the whole source"))
        values: dict[str, Any] = dict.fromkeys(_COLUMNS)
        where = shelf.local if trouble == "away" else shelf.own
        pictures = self._pictures(shelf, where, kind, number, upload_version(moment, f"upload-{number}"), trouble)
        if trouble not in ("stuck", "ownerless"):
            values |= {
                "thumbnail_url": pictures[1]["url"],
                "thumbnails": pictures,
                "thumbnail_status": "ready",
                "thumbnail_event_id": f"upload-{number}",
                "thumbnail_occurred_at": moment,
                "thumbnail_updated_at": moment + timedelta(seconds=2),
            }
        if trouble == "overtaken":
            self._pictures(shelf, shelf.own, kind, number, upload_version(moment - timedelta(hours=1), "old"), "extra")
        if trouble == "given_up":
            version = upload_version(moment, f"upload-{number}", GIVEN_UP_BY)
            values["thumbnail_given_up"] = version
            self._pictures(shelf, shelf.own, kind, number, version, "extra")
        if trouble == "ownerless":
            return
        is_image = kind is MediaKind.IMAGE
        self._contents.append(
            {
                **({} if not is_image else values),
                "id": number,
                "project_id": shelf.company_id,
                "company_id": shelf.company_id,
                "unique_id": str(number),
                "image_path": source if is_image else None,
                **(dict.fromkeys(_COLUMNS) if not is_image else {}),
            }
        )
        if not is_image:
            self._videos.append({"id": number, "ar_content_id": number, "video_path": source, **values})

    def _pictures(
        self, shelf: Shelf, where: StorageProvider, kind: MediaKind, number: int, version: str, trouble: str | None
    ) -> list[dict[str, Any]]:
        """Plan the objects of one version, and return the renditions that a row shows of it."""
        contents = {f"{name}.webp": f"{name} of {number} {version}".encode() for name in SIZES}
        is_substitute = where is shelf.local and shelf.has_own
        folder = version_folder(version, shelf.company_id, contents.items(), is_substitute=is_substitute)
        media_folder = thumbnails_prefix(shelf.slug, kind.value, number)
        found = []
        for place, (name, (width, height)) in enumerate(SIZES.items()):
            key, content = thumbnail_key(media_folder, folder, name, "webp"), contents[f"{name}.webp"]
            is_there = not (trouble in ("missing", "stuck") or (trouble == "incomplete" and place == number % 3))
            if trouble == "stuck" and number % 2:
                is_there = True  # stored, but nobody told
            if is_there:
                cut = trouble == "damaged" and place == number % 3
                self._puts.append((where, key, content[:-1] if cut else content))
            found.append(
                {
                    "name": name,
                    "key": key,
                    "url": where.get_file_url(key),
                    "width": width,
                    "height": height,
                    "format": "webp",
                    "bytes": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
            )
        return found

    def rows(self) -> dict[str, tuple[Any, ...]]:
        """Every row of a media with what it shows, by its name."""
        found = {}
        with self.engine.connect() as connection:
            for table, name, path in ((videos, "video", "video_path"), (ar_contents, "ar_content", "image_path")):
                columns = [table.c[column] for column in (path, *_COLUMNS)]
                for row in connection.execute(sa.select(table.c.id, *columns).where(table.c[path].is_not(None))):
                    found[f"{name}:{row.id}"] = tuple(row)[2:]
        return found

    def objects(self) -> dict[tuple[str, str], tuple[int, datetime]]:
        """Every thumbnail by provider and key, with its size and time: so nobody has written it again."""
        return {
            (place, found.key): (found.size_bytes, found.modified_at)
            for shelf in self.shelves
            for place, provider in _places(shelf)
            for found in provider.list_objects(f"{shelf.slug}/thumbnails")
        }

    def untouched(self, name_or_key: str) -> bool:
        """Whether a media, by its record key, or by the key of an object, had no trouble."""
        if "/" in name_or_key:
            _, _, kind, number, *_ = name_or_key.split("/")
            name_or_key = f"{'video' if kind == 'video' else 'ar_content'}:{number}"
        return name_or_key not in self.planted


def _places(shelf: Shelf) -> Iterator[tuple[str, StorageProvider]]:
    yield f"{shelf.slug} own", shelf.own
    if shelf.has_own:
        yield f"{shelf.slug} local", shelf.local


_COLUMNS = (
    *("thumbnail_url", "thumbnails", "thumbnail_status", "thumbnail_event_id"),
    *("thumbnail_occurred_at", "thumbnail_updated_at", "thumbnail_given_up"),
)


def add_company(engine: sa.Engine, company_id: int, slug: str, connection_id: int | None = None) -> None:
    with write_transaction(engine) as connection:
        row = {"id": company_id, "name": slug, "slug": slug, "storage_path": slug}
        connection.execute(sa.insert(companies).values(**row, storage_connection_id=connection_id))


def problems_of(library: Library) -> list[str]:
    """What an outside judge finds: rows against objects, and objects against rows, of everything."""
    there = library.objects()
    shown: set[tuple[str, str]] = set()
    found = []
    slugs = {shelf.slug: shelf for shelf in library.shelves}
    for name, (url, pictures, status, *_) in library.rows().items():
        if status != "ready" or not pictures:
            found.append(f"{name}: {status}")
            continue
        shelf = slugs[pictures[0]["key"].split("/")[0]]
        for picture in pictures:
            place = (f"{shelf.slug} own", picture["key"])
            shown.add(place)
            if picture["url"] != shelf.own.get_file_url(picture["key"]):
                found.append(f"{name}: its URL leads elsewhere")
            if place not in there:
                found.append(f"{name}: {picture['key']} is missing")
            elif there[place][0] != picture["bytes"]:
                found.append(f"{name}: {picture['key']} has {there[place][0]} bytes")
        if url not in {picture["url"] for picture in pictures}:
            found.append(f"{name}: {url} is none of its pictures")
    return found + [f"{place}: {key} is shown by no row" for place, key in sorted(there.keys() - shown)]


class Workers:
    """What worker and persist make of events, but for the decoder: real storage calls, rows and cleanups."""

    def __init__(self, engine: sa.Engine, tenants: Tenants) -> None:
        self._engine = engine
        self._calls = StorageCalls(tenants, ThreadPoolExecutor(2), Metrics(), InlineRetry())
        self._service = ThumbnailService(self._calls, RenditionStore(self._calls), FakeMaker(), ThumbnailSpec())
        self._cleanup = CleanupService(self._calls, RowStates(engine))

    def work(self, events: Iterable[MediaUploaded | ThumbnailReady]) -> None:
        for event in events:
            self._persist(event if isinstance(event, ThumbnailReady) else self._make(event))

    def _make(self, upload: MediaUploaded) -> ThumbnailReady:
        return asyncio.run(self._service.create(upload, Progress(), attempt=1, is_final=lambda _: False))

    def _persist(self, result: ThumbnailReady) -> None:
        now = datetime.now(UTC)
        with write_transaction(self._engine) as connection:
            (outcome,) = apply_results(connection, [result], now=now)
        if needs_cleanup(result, outcome):
            record = cleanup_request("thumbnail.cleanup", result, outcome, (), now)
            request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, record.value, record.headers)
            asyncio.run(self._cleanup.clean(request))
