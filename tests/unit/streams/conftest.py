"""The two loops and the readers on the in-memory Kafka; each test of the persist loop has a copy of one database file."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.memory_loops import PersistLoop, RetryLoop, make_rows_file
from tests.doubles.memory_topics import Kafka


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.db"
    make_rows_file(path)
    return path


@pytest.fixture
def persist_loop(rows_file: Path, tmp_path: Path) -> Iterator[PersistLoop]:
    path = tmp_path / "rows.db"
    shutil.copy(rows_file, path)
    made = PersistLoop(f"sqlite:///{path}")
    yield made
    made.rows.close()


@pytest.fixture
def retry_loop() -> RetryLoop:
    return RetryLoop()


@pytest.fixture
def kafka_in_memory() -> Kafka:
    return Kafka()
