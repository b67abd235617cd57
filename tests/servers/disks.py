"""Real file systems that are full or read-only, from what this machine allows."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SMALL_BYTES = 1 << 20
_MOST_BALLAST_BYTES = 256 << 20


class NoDiskError(Exception):
    """This machine lets us have no such disk; the message says what would help."""


@contextmanager
def small_disk(folder: Path, size_bytes: int = SMALL_BYTES) -> Iterator[Path]:
    """A folder on a file system with about 1 MB to spare, or as much as is asked for.

    A tmpfs of that size where mounting is allowed. Containers often forbid it even to root, but have a small /dev/shm,
    which a ballast fills up; a large one is left alone, for it is memory.
    """
    if _mount(folder, size_bytes):
        try:
            yield folder
        finally:
            _unmount(folder)
        return
    shared = Path("/dev/shm")  # noqa: S108 - the memory file system itself is wanted
    if not os.access(shared, os.W_OK) or shutil.disk_usage(shared).free > _MOST_BALLAST_BYTES:
        raise NoDiskError(
            "No small disk: mounting a tmpfs is not allowed here (run as root), and /dev/shm is not small."
        )
    with tempfile.TemporaryDirectory(dir=shared) as made:
        with Path(made, "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(shared).free - size_bytes))
        disk = Path(made, "disk")
        disk.mkdir()
        yield disk


@contextmanager
def read_only_disk(folder: Path) -> Iterator[Path]:
    """A folder on a file system that is mounted read-only: one of our own, or one that this machine has anyway."""
    if not _mount(folder):
        yield _any_read_only_folder()
        return
    try:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        yield folder
    finally:
        _unmount(folder)


def _mount(folder: Path, size_bytes: int = SMALL_BYTES) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", folder], check=True)


def _any_read_only_folder() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        folder = Path(line.split()[1])
        if "ro" in line.split()[3].split(",") and folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
            return folder
    raise NoDiskError("No read-only disk: mounting one is not allowed here (run as root), and there is none.")
