"""`thumbnails publish` as a person and a script use it, on a real broker."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.system.platform import Platform, a_clip, a_photo, files_below
from tests.system.stack import run_cli, run_cli_here, settings_for


class Installation:
    """Topics, tables and one company, without a role."""

    def __init__(self, kafka: str, topic_prefix: str, folder: Path) -> None:
        self.folder = folder
        self.database_url = f"sqlite:///{folder / 'x.db'}"
        self.environment = settings_for(kafka, self.database_url, topic_prefix, folder)
        run_cli_here(self.environment, "topics", "create")
        run_cli_here(self.environment, "db", "upgrade")
        self.platform = Platform(self.database_url, folder / "storage", kafka, topic_prefix)
        self.engine = sa.create_engine(self.database_url)
        with self.engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO companies (id, name, slug) VALUES (1, 'Acme', 'acme')"))
            connection.execute(
                sa.text("INSERT INTO companies (id, name, slug, is_active) VALUES (2, 'Gone', 'gone', false)")
            )

    def close(self) -> None:
        self.engine.dispose()
        self.platform.close()

    def rows(self) -> list[str]:
        """The keys of all media, of videos and of photographs."""
        query = (
            "SELECT video_path FROM videos UNION ALL SELECT image_path FROM ar_contents WHERE image_path IS NOT NULL"
        )
        with self.engine.connect() as connection:
            return sorted(connection.execute(sa.text(query)).scalars())

    def objects(self) -> list[str]:
        root = self.folder / "storage"
        return sorted(str(path.relative_to(root)) for path in files_below(root) if "health-probe" not in path.parts)

    def events(self) -> list[str]:
        """The keys of all media that were announced."""
        records = self.platform.read_topic("media.uploaded")
        return sorted(json.loads(record.value() or b"{}")["media"]["key"] for record in records)


@pytest.fixture
def installation(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(kafka, topic_prefix, tmp_path)
    yield made
    made.close()


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "clip.mp4").write_bytes(a_clip(1))
    (tmp_path / "photo.jpg").write_bytes(a_photo(1))
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "problem"),
    [("nothere.mp4", "No such file or directory"), ("folder.mp4", "Not a file"), ("pipe.mp4", "Not a file")],
)
def test_one_file_that_cannot_be_read_leaves_everything_as_it_was(
    installation: Installation, media: Path, name: str, problem: str
) -> None:
    files = [str(media / part) for part in ("clip.mp4", "photo.jpg", name)]
    done = run_cli(installation.environment, "publish", *files)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{media / name}: {problem}. Nothing was published.\n"
    assert (installation.rows(), installation.objects(), installation.events()) == ([], [], [])


def test_each_file_is_one_line_with_its_row_its_object_and_its_event(installation: Installation, media: Path) -> None:
    long_name = media / f"{'long-' * 40}.mp4"
    long_name.write_bytes(a_clip(2))
    files = [str(media / "clip.mp4"), str(media / "photo.jpg"), str(long_name)]
    done = run_cli(installation.environment | {"COLUMNS": "80"}, "publish", *files)
    assert done.returncode == 0, done.stderr
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    assert [(line[1], line[3]) for line in lines] == [
        ("video:1", files[0]),
        ("ar_content:2", files[1]),
        ("video:2", files[2]),
    ]
    keys = sorted(line[2] for line in lines)
    assert installation.rows() == installation.objects() == installation.events() == keys
    assert "thumbnails status" in done.stderr


EVENT = {
    "event_id": "e-1",
    "occurred_at": "2026-11-23T10:00:00Z",
    "company_id": 1,
    "media": {"kind": "video", "id": 42, "ar_content_id": 9, "key": "acme/uploads/clip.mp4"},
}


def test_an_event_of_a_company_is_published_and_how_to_follow_it_is_said(installation: Installation) -> None:
    done = run_cli(installation.environment, "publish", "--event", json.dumps(EVENT))
    assert (done.returncode, done.stdout) == (0, "e-1  video:42\n")
    assert done.stderr == "`thumbnails follow e-1` shows what becomes of it.\n"
    assert installation.events() == ["acme/uploads/clip.mp4"]
    waited = run_cli(installation.environment, "publish", "--event", json.dumps(EVENT), "--wait", "0")
    assert waited.returncode == 1
    assert (
        waited.stdout.splitlines()[1] == "e-1  video:42  waiting  No outcome within 0 s: see `thumbnails follow e-1`."
    )


@pytest.mark.parametrize(("company", "words"), [(9, "No company has the id 9: `thumbnails company"), (2, "not active")])
def test_a_company_that_cannot_upload_is_said_before_anything_is_sent(
    installation: Installation, media: Path, company: int, words: str
) -> None:
    event = json.dumps(EVENT | {"company_id": company})
    for arguments in (["--event", event], [str(media / "clip.mp4"), "--company", str(company)]):
        done = run_cli(installation.environment, "publish", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    assert (installation.rows(), installation.objects(), installation.events()) == ([], [], [])


def test_a_cluster_without_the_topic_is_said_before_anything_is_written(
    installation: Installation, media: Path
) -> None:
    elsewhere = installation.environment | {"KAFKA_TOPIC_PREFIX": "nowhere."}
    done = run_cli(elsewhere, "publish", str(media / "clip.mp4"))
    assert done.returncode == 1
    assert done.stderr == "The topic nowhere.media.uploaded does not exist: run `thumbnails topics create`.\n"
    assert (installation.rows(), installation.objects()) == ([], [])


def test_an_event_in_a_file_that_is_not_there_is_one_sentence(installation: Installation) -> None:
    done = run_cli(installation.environment, "publish", "--event", "@nowhere.json")
    assert (done.returncode, done.stderr) == (1, "nowhere.json: No such file or directory.\n")
