"""One fixture a storage provider: name it in PROVIDERS, and the whole contract is asked of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.base import StorageProvider
from storage.local import LocalStorageProvider
from storage.memory import MemoryStorageProvider
from tests.doubles.old_file_system import open_without_nameless_files

URL = "http://files.example/s"
PROVIDERS = ["local_disk", "local_disk_with_base_path", "local_disk_without_nameless_files", "memory"]


@pytest.fixture
def local_disk(tmp_path: Path) -> StorageProvider:
    return LocalStorageProvider(tmp_path / "root", URL)


@pytest.fixture
def local_disk_with_base_path(tmp_path: Path) -> StorageProvider:
    return LocalStorageProvider(tmp_path / "root", URL, "b/c")


@pytest.fixture
def local_disk_without_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorageProvider:
    """As on network and overlay file systems: an unfinished upload has a hidden name."""
    monkeypatch.setattr(os, "open", open_without_nameless_files(os.open))
    return LocalStorageProvider(tmp_path / "root", URL)


@pytest.fixture
def memory() -> StorageProvider:
    return MemoryStorageProvider(URL)


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Iterator[StorageProvider]:
    made: StorageProvider = request.getfixturevalue(request.param)
    yield made
    made.close()
