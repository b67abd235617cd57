"""A process that is killed at any step of an upload leaves the old object or the new one, and nothing else after a sweep."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.local_disk.provider import LocalStorageProvider
from tests.doubles.dying_upload import KEY, NEW

OLD = b"old" * 1000

Uploading = Callable[[Path, str, str, str], int]


@pytest.fixture(scope="module")
def upload_and_die() -> Iterator[Uploading]:
    """Uploads in a process of its own that is killed at a step; how it ended."""
    command = [sys.executable, "-m", "tests.doubles.dying_upload"]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as uploads:
        asked, said = uploads.stdin, uploads.stdout
        assert asked is not None
        assert said is not None

        def run(root: Path, *case: str) -> int:
            asked.write(json.dumps([str(root), *case]) + "\n")
            asked.flush()
            return int(said.readline())

        yield run


def cases() -> Iterator[tuple[str, bool, str, str]]:
    """How the file system makes files, whether an object is replaced, and where the process dies."""
    for files in ("nameless", "named"):
        for is_replacing in (False, True):
            for step in ("create", "write", "fsync"):
                yield files, is_replacing, step, "before"
                yield files, is_replacing, step, "after"
            yield files, is_replacing, "write", "half way"
            naming = (["link"] if files == "nameless" else []) + (
                ["rename"] if files == "named" or is_replacing else []
            )
            for step in naming:
                yield files, is_replacing, step, "before"
                yield files, is_replacing, step, "after"


@pytest.mark.parametrize(("files", "is_replacing", "step", "when"), list(cases()))
def test_a_process_killed_in_an_upload_leaves_the_old_object_or_the_new(
    upload_and_die: Uploading, tmp_path: Path, files: str, is_replacing: bool, step: str, when: str
) -> None:
    root = tmp_path / "root"
    provider = LocalStorageProvider(root, "http://files.example")
    if is_replacing:
        provider.upload_file(KEY, OLD, content_type="image/webp")

    assert upload_and_die(root, files, step, when) == -signal.SIGKILL
    visible_step = "rename" if files == "named" or is_replacing else "link"
    wanted = NEW if (step, when) == (visible_step, "after") else OLD if is_replacing else None
    keys = [] if wanted is None else [KEY]
    assert list(provider.list_files("acme")) == keys
    provider.sweep_unfinished(older_than_s=-1)
    assert [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()] == keys
    if wanted is not None:
        assert (root / KEY).read_bytes() == wanted


@pytest.mark.parametrize(("files", "leftovers"), [("nameless", 0), ("named", 1)])
def test_only_named_files_leave_something_to_sweep(
    upload_and_die: Uploading, tmp_path: Path, files: str, leftovers: int
) -> None:
    upload_and_die(tmp_path, files, "write", "half way")
    assert LocalStorageProvider(tmp_path, "http://x").sweep_unfinished(older_than_s=-1) == leftovers
