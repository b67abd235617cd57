"""LocalStorageProvider where the contract cannot look: links, full and read-only disks, killed processes."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from storage import local_files
from storage.keys import partial_name
from storage.local import LocalStorageProvider

TYPE = "image/webp"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    return tmp_path / "root"


@pytest.fixture
def provider(root: Path) -> LocalStorageProvider:
    made = LocalStorageProvider(root, "http://files.example")
    made.upload_file("acme/a", b"content", content_type=TYPE)
    return made


def code_of(call: object) -> ErrorCode:
    with pytest.raises(ThumbnailError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_a_link_to_a_file_outside_is_neither_read_nor_written(provider: LocalStorageProvider, root: Path) -> None:
    (root / "acme" / "link").symlink_to(root.parent / "outside" / "secret")
    assert code_of(lambda: provider.open_source("acme/link")) is ErrorCode.STORAGE_BAD_KEY
    assert not provider.file_exists("acme/link")
    provider.upload_file("acme/link", b"mine", content_type=TYPE)  # replaces the link itself
    assert (root.parent / "outside" / "secret").read_bytes() == b"secret"


def test_a_linked_folder_leads_nowhere(provider: LocalStorageProvider, root: Path) -> None:
    (root / "acme" / "folder").symlink_to(root.parent / "outside")
    for call in (
        lambda: provider.open_source("acme/folder/secret"),
        lambda: provider.upload_file("acme/folder/new", b"x", content_type=TYPE),
        lambda: provider.delete_file("acme/folder/secret"),
        lambda: list(provider.list_files("acme/folder")),
    ):
        assert code_of(call) is ErrorCode.STORAGE_BAD_KEY
    assert [path.name for path in (root.parent / "outside").iterdir()] == ["secret"]
    assert list(provider.list_files("acme")) == ["acme/a"]


def test_a_pipe_is_refused_without_waiting_for_its_writer(provider: LocalStorageProvider, root: Path) -> None:
    os.mkfifo(root / "acme" / "pipe")
    assert code_of(lambda: provider.open_source("acme/pipe")) is ErrorCode.STORAGE_BAD_KEY


def test_a_change_in_place_is_noticed(provider: LocalStorageProvider, root: Path) -> None:
    with provider.open_source("acme/a") as source:
        with (root / "acme" / "a").open("ab") as file:
            file.write(b"more")
        assert code_of(lambda: source.read_at(0, 4)) is ErrorCode.SOURCE_UNREADABLE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_nothing_is_left(small_disk: Path) -> None:
    provider = LocalStorageProvider(small_disk, "http://files.example")
    provider.upload_file("acme/a", b"x" * 300_000, content_type=TYPE)
    with pytest.raises(TransientError) as caught:
        provider.upload_file("acme/a", b"y" * 2_000_000, content_type=TYPE)

    assert caught.value.code is ErrorCode.STORAGE_FULL
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["a"]
    with provider.open_source("acme/a") as source:
        assert source.size == 300_000


def test_a_read_only_root_is_denied(small_disk: Path) -> None:
    provider = LocalStorageProvider(small_disk, "http://files.example")
    provider.upload_file("acme/a", b"x", content_type=TYPE)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert code_of(lambda: provider.upload_file("acme/a", b"y", content_type=TYPE)) is ErrorCode.STORAGE_DENIED
    assert code_of(provider.check) is ErrorCode.STORAGE_DENIED


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ErrorCode.STORAGE_FULL),
        (errno.EDQUOT, ErrorCode.STORAGE_FULL),
        (errno.EROFS, ErrorCode.STORAGE_DENIED),
        (errno.EACCES, ErrorCode.STORAGE_DENIED),
        (errno.EIO, ErrorCode.STORAGE_UNAVAILABLE),
        (errno.EMFILE, ErrorCode.STORAGE_UNAVAILABLE),
        (errno.ENAMETOOLONG, ErrorCode.STORAGE_BAD_KEY),
        (errno.ENOENT, ErrorCode.SOURCE_MISSING),
    ],
)
def test_errors_of_the_system_become_codes(number: int, code: ErrorCode) -> None:
    assert local_files.translate(OSError(number, "x"), "acme/a").code is code


STEPS = ["open", "write", "fsync", "link", "rename"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_in_an_upload_leaves_the_old_object_or_the_new(root: Path, step: str, when: str) -> None:
    provider = LocalStorageProvider(root, "http://files.example")
    provider.upload_file("acme/a", b"old" * 1000, content_type=TYPE)
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from storage.local import LocalStorageProvider
        real = os.{step}
        def deadly(*arguments, **named):
            if {step!r} == "open" and not (len(arguments) > 1 and arguments[1] & os.O_RDWR):
                return real(*arguments, **named)
            if {when!r} == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            real(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
        os.{step} = deadly
        LocalStorageProvider(Path({str(root)!r}), "http://x").upload_file("acme/a", b"new" * 1000, content_type="x")
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env={"PYTHONPATH": ":".join(sys.path)}, check=False
    )

    assert ended.returncode == -signal.SIGKILL
    wanted = b"new" * 1000 if (step, when) == ("rename", "after") else b"old" * 1000
    assert (root / "acme" / "a").read_bytes() == wanted
    assert list(provider.list_files("acme")) == ["acme/a"]
    provider.sweep_unfinished(older_than_s=-1)
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["a"]


def test_the_sweep_leaves_uploads_under_way_alone(provider: LocalStorageProvider, root: Path) -> None:
    (root / "acme" / partial_name("b")).write_bytes(b"half")
    assert provider.sweep_unfinished(older_than_s=3600) == 0
    assert provider.sweep_unfinished(older_than_s=-1) == 1


def test_deleting_prunes_empty_folders_but_never_the_root(provider: LocalStorageProvider, root: Path) -> None:
    provider.upload_file("acme/x/y/z", b"1", content_type=TYPE)
    provider.delete_file("acme/x/y/z")
    assert [path.name for path in (root / "acme").iterdir()] == ["a"]
    provider.delete_file("acme/a")
    assert root.is_dir()


def test_a_bad_base_path_is_refused(root: Path) -> None:
    for base_path in ("../x", "/etc", "a/../b"):
        with pytest.raises(PermanentError):
            LocalStorageProvider(root, "http://x", base_path)
