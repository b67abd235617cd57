"""One suite over every storage provider: each docstring of storage.base is a promise, and each promise a test."""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, TransientError
from storage.base import StorageProvider
from storage.local import LocalStorageProvider
from storage.memory import MemoryStorageProvider

PROVIDERS: dict[str, Callable[[Path], StorageProvider]] = {
    "local_disk": lambda folder: LocalStorageProvider(folder / "root", "http://files.example/s"),
    "local_disk with a base path": lambda folder: LocalStorageProvider(
        folder / "root", "http://files.example/s", "b/c"
    ),
    "memory": lambda _folder: MemoryStorageProvider("http://files.example/s"),
}
TYPE = "application/octet-stream"


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageProvider]:
    made = PROVIDERS[request.param](tmp_path)
    yield made
    made.close()


def put(provider: StorageProvider, key: str, content: bytes = b"content") -> None:
    provider.upload_file(key, content, content_type=TYPE)


def read_all(provider: StorageProvider, key: str) -> bytes:
    with provider.open_source(key) as source:
        return source.read_at(0, source.size)


@pytest.mark.parametrize("content", [b"", b"x", random.Random(1).randbytes(3_000_000)], ids=["empty", "one", "3 MB"])
def test_an_upload_is_confirmed_and_read_back(provider: StorageProvider, content: bytes) -> None:
    stored = provider.upload_file("acme/a.bin", content, content_type=TYPE)

    assert (stored.key, stored.size_bytes) == ("acme/a.bin", len(content))
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert read_all(provider, "acme/a.bin") == content


def test_an_upload_replaces_what_was_there(provider: StorageProvider) -> None:
    put(provider, "acme/a", b"old")
    put(provider, "acme/a", b"newer")
    assert read_all(provider, "acme/a") == b"newer"


def test_ranges_are_cut_at_the_end_and_never_longer_than_asked(provider: StorageProvider) -> None:
    put(provider, "acme/a", b"0123456789")
    with provider.open_source("acme/a") as source:
        assert (source.size, source.read_at(2, 3), source.read_at(8, 100), source.read_at(50, 1)) == (
            10,
            b"234",
            b"89",
            b"",
        )


def test_the_version_changes_with_the_content(provider: StorageProvider) -> None:
    versions = set()
    for content in (b"one", b"two", b"three"):
        put(provider, "acme/a", content)
        with provider.open_source("acme/a") as source:
            versions.add(source.version)
    assert len(versions) == 3


def test_a_source_that_is_replaced_is_never_read_as_a_mixture(provider: StorageProvider) -> None:
    put(provider, "acme/a", b"a" * 100)
    with provider.open_source("acme/a") as source:
        first = source.read_at(0, 50)
        put(provider, "acme/a", b"b" * 100)
        try:
            second = source.read_at(50, 50)
        except TransientError as error:
            assert error.code is ErrorCode.SOURCE_UNREADABLE
        else:
            assert first + second == b"a" * 100


def test_absence_is_always_the_same_error(provider: StorageProvider, tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFoundError):
        provider.open_source("acme/none")
    with pytest.raises(ObjectNotFoundError):
        provider.download_file("acme/none", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not provider.file_exists("acme/none")


def test_a_folder_is_not_an_object(provider: StorageProvider) -> None:
    put(provider, "acme/folder/a")
    assert not provider.file_exists("acme/folder")


def test_a_download_is_a_whole_copy(provider: StorageProvider, tmp_path: Path) -> None:
    put(provider, "acme/a", b"x" * 2_500_000)
    provider.download_file("acme/a", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"x" * 2_500_000
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy"]


def test_deleting_is_idempotent(provider: StorageProvider) -> None:
    put(provider, "acme/x/a")
    provider.delete_file("acme/x/a")
    provider.delete_file("acme/x/a")
    assert not provider.file_exists("acme/x/a")


def test_a_listing_has_whole_folders_in_order(provider: StorageProvider) -> None:
    for key in ("acme/b", "acme/a/2", "acme/a/1", "acme-2/c", "acmee/d"):
        put(provider, key)
    assert list(provider.list_files("acme")) == ["acme/a/1", "acme/a/2", "acme/b"]
    assert list(provider.list_files("acme/a")) == ["acme/a/1", "acme/a/2"]
    assert list(provider.list_files("nobody")) == []


def test_urls_are_stable_and_quoted(provider: StorageProvider) -> None:
    url = provider.get_file_url("acme/small picture#1.webp")
    assert url == provider.get_file_url("acme/small picture#1.webp")
    assert url.startswith("http://files.example/s/")
    if provider.name != "memory":
        assert url.endswith("acme/small%20picture%231.webp")


def test_a_check_leaves_nothing_behind(provider: StorageProvider) -> None:
    provider.check()
    assert list(provider.list_files("health-probe")) == []


def test_two_forms_of_one_text_are_two_keys(provider: StorageProvider) -> None:
    put(provider, "acme/caf\u00e9", b"composed")
    put(provider, "acme/cafe\u0301", b"decomposed")
    assert read_all(provider, "acme/caf\u00e9") == b"composed"
    assert read_all(provider, "acme/cafe\u0301") == b"decomposed"


BAD_KEYS = [
    "",
    "/etc/passwd",
    "acme/../globex/a",
    "..",
    "./a",
    "acme//a",
    "acme/",
    "acme\\..\\a",
    "acme/a\0b",
    "acme/a\nb",
    "acme/%2e%2e/a",
    "acme%2fa",
    "acme/\u2025/a",
    "acme\uff0fa",
    "acme/\u202ea",
    "a" * 2000,
    "acme/" + "x" * 300,
    "\ud800",
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=[ascii(key)[:24] for key in BAD_KEYS])
def test_a_key_that_is_no_plain_path_is_refused_by_every_method(
    provider: StorageProvider, key: str, tmp_path: Path
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: put(provider, key),
        lambda: provider.open_source(key),
        lambda: provider.download_file(key, tmp_path / "copy"),
        lambda: provider.file_exists(key),
        lambda: provider.delete_file(key),
        lambda: list(provider.list_files(key)),
        lambda: provider.get_file_url(key),
    ]
    for call in calls:
        with pytest.raises(PermanentError) as caught:
            call()
        assert caught.value.code is ErrorCode.STORAGE_BAD_KEY


def test_readers_see_one_upload_or_the_other_never_a_part(provider: StorageProvider) -> None:
    contents = [bytes([number]) * 200_000 for number in range(4)]
    put(provider, "acme/a", contents[0])
    stop = threading.Event()

    def write(content: bytes) -> None:
        while not stop.is_set():
            put(provider, "acme/a", content)

    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    try:
        for _ in range(60):
            try:
                assert read_all(provider, "acme/a") in contents
            except TransientError as error:
                assert error.code is ErrorCode.SOURCE_UNREADABLE
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def test_uploads_and_deletions_in_one_folder_do_not_disturb_each_other(provider: StorageProvider) -> None:
    errors: list[Exception] = []

    def work(name: str) -> None:
        try:
            for _ in range(60):
                put(provider, f"acme/deep/er/{name}")
                provider.delete_file(f"acme/deep/er/{name}")
        except TransientError as exc:
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert list(provider.list_files("acme")) == []
