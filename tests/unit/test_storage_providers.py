"""What is one provider's own, beside the contract (tests/contracts) and hostile disks (tests/unit/storage)."""

import errno
import os
import threading
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.base import StoredObject
from storage.keys import partial_name
from storage.local_disk.files import FOLDER_FLAGS, new_file, translate
from storage.local_disk.provider import LocalStorageProvider
from storage.memory import MemoryStorageProvider

TYPE = "image/webp"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def provider(root: Path) -> LocalStorageProvider:
    made = LocalStorageProvider(root, "http://files.example/")
    made.upload_file("acme/a", b"content", content_type=TYPE)
    return made


def test_an_object_is_a_plain_file_under_its_key(root: Path) -> None:
    LocalStorageProvider(root, "http://x").upload_file("acme/a", b"content", content_type=TYPE)
    assert (root / "acme" / "a").read_bytes() == b"content"
    assert [path.name for path in root.rglob("*")] == ["acme", "a"]


def test_a_base_path_is_part_of_the_place_and_of_the_url_but_not_of_the_key(root: Path) -> None:
    provider = LocalStorageProvider(root, "http://files.example/", "b/c")
    stored = provider.upload_file("acme/a", b"x", content_type=TYPE)
    assert stored.key == "acme/a"
    assert (root / "b" / "c" / "acme" / "a").read_bytes() == b"x"
    assert provider.get_file_url("acme/a") == "http://files.example/b/c/acme/a"


@pytest.mark.parametrize("base_path", ["../x", "/etc", "a/../b", "a\\b"])
def test_a_bad_base_path_is_refused(root: Path, base_path: str) -> None:
    with pytest.raises(PermanentError) as caught:
        LocalStorageProvider(root, "http://x", base_path)
    assert caught.value.code is ErrorCode.STORAGE_BAD_KEY


def test_a_store_that_nobody_wrote_to_is_empty(root: Path) -> None:
    provider = LocalStorageProvider(root, "http://x")
    assert list(provider.list_files("acme")) == []
    assert not provider.file_exists("acme/a")
    assert provider.sweep_unfinished(older_than_s=-1) == 0
    provider.delete_file("acme/a")
    with pytest.raises(ObjectNotFoundError):
        provider.open_source("acme/a")
    assert not root.exists()


def test_a_reader_keeps_its_version_when_the_object_is_replaced(provider: LocalStorageProvider) -> None:
    with provider.open_source("acme/a") as source:
        provider.upload_file("acme/a", b"CONTENT", content_type=TYPE)
        assert source.read_at(0, 7) == b"content"


@pytest.mark.parametrize("mode", ["ab", "r+b"], ids=["longer", "other bytes"])
def test_a_change_in_place_is_noticed(provider: LocalStorageProvider, root: Path, mode: str) -> None:
    with provider.open_source("acme/a") as source:
        with (root / "acme" / "a").open(mode) as file:
            file.write(b"more")
        os.utime(root / "acme" / "a", ns=(1, 1))
        with pytest.raises(TransientError) as caught:
            source.read_at(0, 4)
        assert caught.value.code is ErrorCode.SOURCE_UNREADABLE


def test_a_reader_that_was_closed_reads_nobody_elses_file(provider: LocalStorageProvider, root: Path) -> None:
    source = provider.open_source("acme/a")
    source.close()
    with (root / "acme" / "a").open("rb"), pytest.raises(ThumbnailError):
        source.read_at(0, 4)


def test_readers_give_their_descriptors_back(provider: LocalStorageProvider) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for key in ["acme/a", "acme/none", "acme", "acme/a/b"] * 20:
        try:
            provider.open_source(key).close()
        except ThumbnailError:
            continue
    list(provider.list_files("acme"))
    provider.check()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_sweep_takes_only_old_unfinished_uploads(provider: LocalStorageProvider, root: Path) -> None:
    old, young = (root / "acme" / partial_name(name) for name in ("old", "young"))
    for path in (old, young, root / "acme" / ".mine.part"):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    os.utime(root / "acme" / ".mine.part", (1, 1))
    assert list(provider.list_files("acme")) == ["acme/.mine.part", "acme/a"]
    assert provider.sweep_unfinished(older_than_s=3600) == 1
    assert sorted(path.name for path in (root / "acme").iterdir()) == sorted([young.name, ".mine.part", "a"])


def test_deleting_prunes_empty_folders_but_never_the_base_path(root: Path) -> None:
    provider = LocalStorageProvider(root, "http://x", "base")
    for key in ("acme/x/y/z", "acme/a"):
        provider.upload_file(key, b"1", content_type=TYPE)
    provider.delete_file("acme/x/y/z")
    assert [path.name for path in (root / "base" / "acme").iterdir()] == ["a"]
    provider.delete_file("acme/a")
    assert [path.name for path in root.rglob("*")] == ["base"]


def test_deleting_again_prunes_what_an_interrupted_deletion_left(root: Path, provider: LocalStorageProvider) -> None:
    (root / "acme" / "x").mkdir()
    provider.delete_file("acme/x/y/z")
    assert [path.name for path in (root / "acme").iterdir()] == ["a"]


def test_an_upload_whose_folder_always_vanishes_gives_up_for_now(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    monkeypatch.setattr(os, "mkdir", lambda *_arguments, **_named: None)
    with pytest.raises(TransientError) as caught:
        LocalStorageProvider(root, "http://x").upload_file("acme/a", b"x", content_type=TYPE)
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE


def test_a_file_for_a_folder_that_was_removed_while_open_is_absence(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    folder = os.open(tmp_path / "gone", FOLDER_FLAGS)
    try:
        (tmp_path / "gone").rmdir()
        with pytest.raises(FileNotFoundError), new_file(folder, partial_name("a")):
            pass
    finally:
        os.close(folder)


def test_a_check_notices_a_store_that_gives_back_something_else() -> None:
    class Forgetful(MemoryStorageProvider):
        def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
            return super().upload_file(key, content[:-1], content_type=content_type)

    memory = Forgetful()
    with pytest.raises(TransientError) as caught:
        memory.check()
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    assert memory.objects == {}


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ErrorCode.STORAGE_FULL),
        (errno.EDQUOT, ErrorCode.STORAGE_FULL),
        (errno.EFBIG, ErrorCode.STORAGE_FULL),
        (errno.EROFS, ErrorCode.STORAGE_DENIED),
        (errno.EACCES, ErrorCode.STORAGE_DENIED),
        (errno.EPERM, ErrorCode.STORAGE_DENIED),
        (errno.EIO, ErrorCode.STORAGE_UNAVAILABLE),
        (errno.ESTALE, ErrorCode.STORAGE_UNAVAILABLE),
        (errno.EMFILE, ErrorCode.STORAGE_UNAVAILABLE),
        (errno.ENAMETOOLONG, ErrorCode.STORAGE_BAD_KEY),
        (errno.ELOOP, ErrorCode.STORAGE_BAD_KEY),
        (errno.ENOENT, ErrorCode.SOURCE_MISSING),
    ],
)
def test_errors_of_the_system_become_codes(number: int, code: ErrorCode) -> None:
    assert translate(OSError(number, "x"), "acme/a").code is code


def test_memory_fails_as_often_as_told_and_then_works() -> None:
    memory = MemoryStorageProvider()
    memory.upload_file("acme/a", b"x", content_type=TYPE)
    planned = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "The store sleeps.")
    memory.fail_next("read_at", planned, times=2, after=1)
    results: list[object] = []
    with memory.open_source("acme/a") as source:
        for _ in range(4):
            try:
                results.append(source.read_at(0, 1))
            except TransientError as error:
                results.append(error)
    assert results == [b"x", planned, planned, b"x"]


def test_memory_refuses_to_plan_a_failure_that_would_never_come() -> None:
    with pytest.raises(ValueError, match="cannot be made to fail"):
        MemoryStorageProvider().fail_next("upload", TransientError(ErrorCode.STORAGE_FULL, "Full."))


def test_each_planned_failure_reaches_one_thread_only() -> None:
    memory, failed = MemoryStorageProvider(), []
    memory.fail_next("file_exists", TransientError(ErrorCode.STORAGE_LOCKED, "Locked."), times=50)

    def ask() -> None:
        for _ in range(100):
            try:
                memory.file_exists("acme/a")
            except TransientError as error:
                failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 50
