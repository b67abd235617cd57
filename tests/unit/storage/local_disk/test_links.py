"""Nothing that lies in a tenant's folder leads local storage out of it: links, swapped folders, pipes, devices."""

import ctypes
import itertools
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, PermanentError, ThumbnailError
from storage.keys import partial_name
from storage.local_disk.provider import LocalStorageProvider

TYPE = "image/webp"
RENAME_EXCHANGE = 2


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder


@pytest.fixture
def acme(tmp_path: Path, provider: LocalStorageProvider) -> Path:
    """The folder of a tenant with one object."""
    provider.upload_file("acme/a", b"content", content_type=TYPE)
    return tmp_path / "root" / "acme"


@pytest.fixture
def provider(tmp_path: Path) -> LocalStorageProvider:
    return LocalStorageProvider(tmp_path / "root", "http://files.example")


def code_of(call: object) -> ErrorCode:
    with pytest.raises(ThumbnailError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


@pytest.mark.parametrize("target", ["secret", "dangling"])
def test_a_link_to_a_file_outside_is_neither_read_nor_written(
    provider: LocalStorageProvider, acme: Path, outside: Path, target: str
) -> None:
    (acme / "link").symlink_to(outside / target)
    assert code_of(lambda: provider.open_source("acme/link")) is ErrorCode.STORAGE_BAD_KEY
    assert not provider.file_exists("acme/link")
    assert list(provider.list_files("acme")) == ["acme/a"]
    provider.upload_file("acme/link", b"mine", content_type=TYPE)  # replaces the link itself
    assert (acme / "link").read_bytes() == b"mine"
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"secret": b"secret"}


def test_deleting_a_link_takes_the_link_alone(provider: LocalStorageProvider, acme: Path, outside: Path) -> None:
    (acme / "link").symlink_to(outside / "secret")
    provider.delete_file("acme/link")
    assert not (acme / "link").is_symlink()
    assert (outside / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("target", ["outside", "dangling", "root/acme"])
def test_a_linked_folder_leads_nowhere(
    provider: LocalStorageProvider, acme: Path, outside: Path, tmp_path: Path, target: str
) -> None:
    (acme / "folder").symlink_to(tmp_path / target)
    for call in (
        lambda: provider.open_source("acme/folder/secret"),
        lambda: provider.file_exists("acme/folder/secret"),
        lambda: provider.upload_file("acme/folder/new", b"x", content_type=TYPE),
        lambda: provider.upload_file("acme/folder/deep/new", b"x", content_type=TYPE),
        lambda: provider.delete_file("acme/folder/secret"),
        lambda: list(provider.list_files("acme/folder")),
    ):
        assert code_of(call) is ErrorCode.STORAGE_BAD_KEY
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert not (tmp_path / "dangling").exists()
    assert list(provider.list_files("acme")) == ["acme/a"]


def test_a_linked_base_path_leads_nowhere(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "base").symlink_to(outside)
    confined = LocalStorageProvider(tmp_path / "root", "http://files.example", "base/below")
    (outside / partial_name("a")).write_bytes(b"half")
    assert code_of(confined.check) is ErrorCode.STORAGE_BAD_KEY
    assert code_of(lambda: confined.sweep_unfinished(older_than_s=-1)) is ErrorCode.STORAGE_BAD_KEY
    assert len(list(outside.iterdir())) == 2


def test_a_root_may_be_a_link_for_that_is_the_operators_choice(tmp_path: Path) -> None:
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "big-disk")
    provider = LocalStorageProvider(tmp_path / "root", "http://files.example")
    provider.upload_file("acme/a", b"x", content_type=TYPE)
    (tmp_path / "big-disk" / "acme" / partial_name("a")).write_bytes(b"half")
    assert list(provider.list_files("acme")) == ["acme/a"]
    assert provider.sweep_unfinished(older_than_s=-1) == 1


def test_a_folder_swapped_for_a_link_again_and_again_never_lets_anything_out(
    provider: LocalStorageProvider, acme: Path, outside: Path
) -> None:
    (acme / "folder").mkdir()
    (acme / "folder" / "secret").write_bytes(b"own")
    (acme / "link").symlink_to(outside)
    stop = threading.Event()
    exchange = ctypes.CDLL(None).renameat2  # Python has no exchange of two names in one step

    def swap() -> None:
        while not stop.is_set():
            assert exchange(-1, bytes(acme / "folder"), -1, bytes(acme / "link"), RENAME_EXCHANGE) == 0

    swapping = threading.Thread(target=swap)
    swapping.start()
    results: set[bytes] = set()
    refused = 0
    deadline = time.monotonic() + 60
    try:
        for number in itertools.count():
            if number >= 500 and results and refused:  # both states were met, however the threads take turns
                break
            assert time.monotonic() < deadline, f"{results}, refused {refused} of {number}"
            try:
                provider.upload_file(f"acme/folder/{number}", b"x", content_type=TYPE)
                with provider.open_source("acme/folder/secret") as source:
                    results.add(source.read_at(0, 100))
                list(provider.list_files("acme"))
            except PermanentError as error:
                assert error.code is ErrorCode.STORAGE_BAD_KEY
                refused += 1
    finally:
        stop.set()
        swapping.join()
    assert results == {b"own"}
    assert refused > 0
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"secret": b"secret"}


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_refused_without_waiting(
    provider: LocalStorageProvider, acme: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "pipe":
        os.mkfifo(acme / kind)
    elif kind == "socket":
        monkeypatch.chdir(acme)  # a socket's address is short, the path of a test is not
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(kind)
    else:
        # Making a device takes root's rights; the host has one that never ends.
        provider, kind = LocalStorageProvider(Path("/dev"), "http://files.example"), "zero"
    prefix = "" if kind == "zero" else "acme/"
    assert code_of(lambda: provider.open_source(f"{prefix}{kind}")) is ErrorCode.STORAGE_BAD_KEY
    assert not provider.file_exists(f"{prefix}{kind}")
    assert list(provider.list_files("acme")) == ([] if kind == "zero" else ["acme/a"])


def test_a_file_whose_name_is_no_key_is_not_listed(provider: LocalStorageProvider, acme: Path) -> None:
    for name in (b"back\\slash", b"line\nfeed", b"\xff", b"x\x7f"):
        Path(os.fsdecode(bytes(acme) + b"/" + name)).write_bytes(b"x")
    assert list(provider.list_files("acme")) == ["acme/a", "acme/back\\slash"]


def test_an_object_cannot_take_the_place_of_a_folder(provider: LocalStorageProvider, acme: Path) -> None:
    provider.upload_file("acme/folder/b", b"x", content_type=TYPE)
    assert code_of(lambda: provider.upload_file("acme/folder", b"x", content_type=TYPE)) is ErrorCode.STORAGE_BAD_KEY
    assert sorted(path.name for path in acme.rglob("*")) == ["a", "b", "folder"]
