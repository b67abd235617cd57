"""The archive of Kafka's classes: recorded once, and never in the way."""

from pathlib import Path

import pytest

from tests.servers.kafka.apache import archive_of


@pytest.fixture
def java(tmp_path: Path) -> Path:
    path = tmp_path / "java"
    path.touch()
    return path


def test_it_is_recorded_once_for_a_java_and_the_jars(java: Path, tmp_path: Path) -> None:
    recorded: list[Path] = []

    def record(to: Path) -> None:
        recorded.append(to)
        to.write_text("classes")

    found = archive_of(java, tmp_path / "jars", record)
    assert found is not None
    assert found.read_text() == "classes"
    assert archive_of(java, tmp_path / "jars", record) == found
    newer = tmp_path / "newer"
    newer.touch()
    assert archive_of(newer, tmp_path / "jars", record) not in (None, found)
    assert len(recorded) == 2
    assert [path for path in recorded if path.exists()] == []


def test_a_java_that_records_nothing_is_asked_once(java: Path, tmp_path: Path) -> None:
    asked: list[Path] = []
    assert [archive_of(java, tmp_path / "jars", asked.append) for _ in range(2)] == [None, None]
    assert len(asked) == 1


def test_what_was_interrupted_is_begun_again(java: Path, tmp_path: Path) -> None:
    def interrupted(to: Path) -> None:
        to.write_text("half of the classes")
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            archive_of(java, tmp_path / "jars", interrupted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["java"]
