"""Local storage on disks that are full, read-only, foreign or faulty.

The full and the read-only disk are real ones (tests/servers/disks.py says where from). Where a machine lets us have
none, their tests are skipped, or fail if REQUIRE_REAL_SERVICES is set; no other test here is ever skipped.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from storage.local_disk.provider import LocalStorageProvider
from storage.memory import MemoryStorageProvider
from tests.conftest import missing
from tests.doubles.old_file_system import open_without_nameless_files
from tests.servers.disks import NoDiskError, read_only_disk, small_disk

TYPE = "image/webp"
NOBODY = 65534


@pytest.fixture(params=["nameless files", "named files"], autouse=True)
def _files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to write a file, whatever the disk under the test would take."""
    if request.param == "named files":
        monkeypatch.setattr(os, "open", open_without_nameless_files(os.open))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with small_disk(tmp_path / "small") as folder:
            yield folder
    except NoDiskError as exc:
        missing(str(exc))


@pytest.fixture
def unwritable_disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with read_only_disk(tmp_path / "read-only") as folder:
            yield folder
    except NoDiskError as exc:
        missing(str(exc))


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_full_disk_is_told_and_nothing_is_left(full_disk: Path) -> None:
    provider = LocalStorageProvider(full_disk, "http://files.example")
    provider.upload_file("acme/a", b"x" * 300_000, content_type=TYPE)
    for key in ("acme/a", "acme/b"):
        with pytest.raises(TransientError) as caught:
            provider.upload_file(key, b"y" * 2_000_000, content_type=TYPE)
        assert caught.value.code is ErrorCode.STORAGE_FULL

    assert files_in(full_disk) == ["acme/a"]
    with provider.open_source("acme/a") as source:
        assert source.read_at(0, source.size) == b"x" * 300_000
    provider.upload_file("acme/b", b"z" * 300_000, content_type=TYPE)  # what failed has given its space back


def test_a_copy_that_does_not_fit_is_told_and_nothing_is_left(full_disk: Path) -> None:
    provider = MemoryStorageProvider()
    provider.upload_file("acme/a", b"y" * 2_000_000, content_type=TYPE)
    with pytest.raises(TransientError) as caught:
        provider.download_file("acme/a", full_disk / "copy")
    assert caught.value.code is ErrorCode.STORAGE_FULL
    assert files_in(full_disk) == []


def test_a_read_only_disk_is_denied(unwritable_disk: Path) -> None:
    provider = LocalStorageProvider(unwritable_disk, "http://files.example")
    for call in (lambda: provider.upload_file("acme-none/a", b"y", content_type=TYPE), provider.check):
        with pytest.raises(PermanentError) as caught:
            call()
        assert caught.value.code is ErrorCode.STORAGE_DENIED


@contextmanager
def without_roots_rights() -> Iterator[None]:
    """Modes do not bind root: be nobody for a while. Anybody else is bound anyway."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_missing_rights_are_denied_and_what_may_be_read_is() -> None:
    with tempfile.TemporaryDirectory() as made:  # tmp_path is closed to nobody
        root = Path(made)
        provider = LocalStorageProvider(root, "http://files.example")
        provider.upload_file("acme/a", b"open", content_type=TYPE)
        provider.upload_file("acme/closed", b"secret", content_type=TYPE)
        (root / "acme" / "closed").chmod(0)
        (root / "acme").chmod(0o555)
        root.chmod(0o555)
        with without_roots_rights():
            calls = (
                lambda: provider.upload_file("acme/b", b"y", content_type=TYPE),
                lambda: provider.upload_file("acme/a", b"y", content_type=TYPE),
                lambda: provider.delete_file("acme/a"),
                lambda: provider.open_source("acme/closed"),
                provider.check,
            )
            codes = []
            for call in calls:
                with pytest.raises(ThumbnailError) as caught:
                    call()
                codes.append(caught.value.code)
            with provider.open_source("acme/a") as source:
                found = source.read_at(0, 10)
        for folder in (root, root / "acme"):
            folder.chmod(0o755)
        assert codes == [ErrorCode.STORAGE_DENIED] * 5
        assert found == b"open"
        assert files_in(root) == ["acme/a", "acme/closed"]


def test_bytes_that_the_disk_changed_never_get_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = LocalStorageProvider(tmp_path, "http://files.example")
    provider.upload_file("acme/a", b"old", content_type=TYPE)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data).replace(b"e", b"E")))

    for key in ("acme/a", "acme/b"):
        with pytest.raises(TransientError) as caught:
            provider.upload_file(key, b"new", content_type=TYPE)
        assert caught.value.code is ErrorCode.UPLOAD_UNVERIFIED
    assert files_in(tmp_path) == ["acme/a"]
    assert (tmp_path / "acme" / "a").read_bytes() == b"old"


def test_a_disk_that_writes_little_at_a_time_gets_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    LocalStorageProvider(tmp_path, "http://x").upload_file("acme/a", bytes(range(256)), content_type=TYPE)
    assert (tmp_path / "acme" / "a").read_bytes() == bytes(range(256))
