"""What `publish` leaves when something fails half way, and how it knows what a file is."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.database import create_engine_for
from schemas.events import MediaKind, MediaUploaded
from schemas.migrations import upgrade
from schemas.tables import ar_contents, companies, videos
from service.publish import publisher as publish
from service.publish.files import kind_of, shown
from service.publish.publisher import Publisher, outcome_of
from service.publish.uploads import PublishError
from service.settings import Settings
from streams.tracing import NO_TRACING
from tests.system.platform import a_clip, a_photo, files_below


class Cluster:
    """Takes events, until it refuses."""

    def __init__(self) -> None:
        self.sent: list[MediaUploaded] = []
        self.refuses_after = 10**6
        self.error: BaseException = PublishError("1 of 1 events were not acknowledged: the broker is gone.")

    def publish(self, _producer: object, uploads: list[MediaUploaded], **_: Any) -> None:
        if len(self.sent) >= self.refuses_after:
            raise self.error
        self.sent += uploads


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(Publisher, "_producer", lambda *_: None)
    monkeypatch.setattr(publish, "publish_uploads", made.publish)
    return made


@pytest.fixture
def engine(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[sa.Engine]:
    upgrade(sqlite_url)
    monkeypatch.setenv("LOCAL_STORAGE_ROOT", str(tmp_path / "storage"))
    made = create_engine_for(sqlite_url)
    with made.begin() as connection:
        connection.execute(sa.insert(companies).values(id=1, name="Acme", slug="acme"))
    yield made
    made.dispose()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    contents = {"one.mp4": a_clip(1), "two.jpg": a_photo(2), "three.mp4": a_clip(3)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in contents]


def counts(engine: sa.Engine, folder: Path) -> tuple[int, int, int]:
    with engine.connect() as connection:
        rows = [
            connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in (videos, ar_contents)
        ]
    return rows[0], rows[1], len(files_below(folder / "storage"))


def published(engine: sa.Engine, paths: list[Path]) -> list[str]:
    publisher = Publisher(Settings(), engine, NO_TRACING)
    return [path.name for path, _ in publisher.publish_files(1, paths)]


def test_each_event_is_sent_before_the_next_file_is_touched(
    engine: sa.Engine, cluster: Cluster, paths: list[Path], tmp_path: Path
) -> None:
    made = Publisher(Settings(), engine, NO_TRACING).publish_files(1, paths)
    for number, _ in enumerate(made, start=1):
        assert len(cluster.sent) == number
        assert len(files_below(tmp_path / "storage")) == number


@pytest.mark.parametrize(("after", "left"), [(0, (0, 0, 0)), (1, (1, 1, 1)), (2, (1, 2, 2))])
def test_a_broker_that_refuses_half_way_leaves_no_row_without_its_event(
    engine: sa.Engine, cluster: Cluster, paths: list[Path], tmp_path: Path, after: int, left: tuple[int, int, int]
) -> None:
    cluster.refuses_after = after
    with pytest.raises(PublishError) as refused:
        published(engine, paths)
    assert counts(engine, tmp_path) == left
    done = ", ".join(map(str, paths[:after])) or "none"
    assert str(refused.value) == (
        f"1 of 1 events were not acknowledged: the broker is gone. Published: {done}."
        f" Not published: {', '.join(map(str, paths[after:]))}."
    )


def test_ctrl_c_while_an_event_is_sent_leaves_no_row_without_it(
    engine: sa.Engine, cluster: Cluster, paths: list[Path], tmp_path: Path
) -> None:
    cluster.refuses_after, cluster.error = 0, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        published(engine, paths)
    assert counts(engine, tmp_path) == (0, 0, 0)


def test_a_file_that_vanishes_meanwhile_is_named_with_what_was_published(
    engine: sa.Engine, cluster: Cluster, paths: list[Path]
) -> None:
    made = Publisher(Settings(), engine, NO_TRACING).publish_files(1, paths)
    next(made)
    paths[1].unlink()
    with pytest.raises(PublishError) as refused:
        next(made)
    assert str(refused.value).startswith(
        f"{paths[1]}: No such file or directory. Published: {paths[0]}. Not published:"
    )
    assert len(cluster.sent) == 1


def test_a_row_that_the_database_refuses_leaves_no_object(
    engine: sa.Engine, cluster: Cluster, paths: list[Path], tmp_path: Path
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE videos"))
    with pytest.raises(PublishError, match=r"run `thumbnails db upgrade` \(no such table: videos\)\. Published: none"):
        published(engine, paths)
    assert files_below(tmp_path / "storage") == []
    assert cluster.sent == []


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (a_clip(1), "clip.mp4", (MediaKind.VIDEO, "video/mp4")),
        (a_clip(1), "no-suffix", (MediaKind.VIDEO, "application/octet-stream")),
        (a_clip(1), "clip.mxf", (MediaKind.VIDEO, "application/octet-stream")),
        (a_clip(1), "wrong.jpg", (MediaKind.VIDEO, "application/octet-stream")),
        (b"OggS" + bytes(60), "clip.ogg", (MediaKind.VIDEO, "application/octet-stream")),
        (a_photo(1), "photo.JPG", (MediaKind.IMAGE, "image/jpeg")),
        (a_photo(1), "wrong.mp4", (MediaKind.IMAGE, "application/octet-stream")),
        ((b"\0" * 187 + b"\x47") * 5, "begun-inside-a-packet", (MediaKind.VIDEO, "application/octet-stream")),
        (b"nobody knows", "clip.mp4", (MediaKind.VIDEO, "video/mp4")),
        (b"nobody knows", "notes.txt", (MediaKind.IMAGE, "application/octet-stream")),
        (b"", "empty", (MediaKind.IMAGE, "application/octet-stream")),
    ],
)
def test_the_bytes_of_a_file_decide_what_it_is(content: bytes, name: str, expected: tuple[MediaKind, str]) -> None:
    assert kind_of(content, name) == expected


def test_a_name_that_is_no_text_stays_on_its_line() -> None:
    assert shown(Path("a\nb\x1b[31m\udcff.mp4")) == "a\ufffdb\ufffd[31m\ufffd.mp4"


def test_a_suffix_that_no_key_may_have_is_left_out(engine: sa.Engine, cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "clip.m\np4"
    path.write_bytes(a_clip(1))
    assert published(engine, [path]) == [path.name]
    assert cluster.sent[0].media.key.startswith("acme/uploads/")
    assert "." not in cluster.sent[0].media.key


def test_the_outcome_is_that_of_this_upload_and_of_no_other(
    engine: sa.Engine, cluster: Cluster, paths: list[Path]
) -> None:
    published(engine, paths[:1])
    (upload,) = cluster.sent

    def set_row(**values: object) -> None:
        with engine.begin() as connection:
            connection.execute(sa.update(videos).where(videos.c.id == upload.media.id).values(values))

    assert outcome_of(engine, upload, time.monotonic()) is None
    set_row(thumbnail_status="ready", thumbnail_url="http://x/y.webp", thumbnail_event_id="another")
    assert outcome_of(engine, upload, time.monotonic()) is None
    set_row(thumbnail_event_id=upload.event_id)
    assert outcome_of(engine, upload, time.monotonic()) == ("ready", "http://x/y.webp")
    set_row(thumbnail_status="failed", thumbnail_error="media.corrupt: It is damaged.")
    assert outcome_of(engine, upload, time.monotonic()) == ("failed", "media.corrupt: It is damaged.")
