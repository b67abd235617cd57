"""Packages of npm by their lock file, which has the hash of each: installed once and kept."""

import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Final

from tests.servers.go_tool import cache_folder

_TIMEOUT_S: Final = 900


class NoPackagesError(Exception):
    """Node or npm is missing, or could not install; the message says which."""


def can_install() -> bool:
    """Whether Node and npm are here."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def is_installed(name: str, package: str) -> bool:
    """Whether the packages that are kept as `name` are here; `package` is one of them."""
    return (_folder(name) / "node_modules" / package / "package.json").is_file()


def installed(lock_folder: Path, name: str, package: str) -> Path:
    """Return the node_modules of the lock file in `lock_folder`, kept as `name`. Raises NoPackagesError."""
    if not can_install():
        raise NoPackagesError("Node or npm is missing")
    folder = _folder(name)
    if not is_installed(name, package):
        partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
        shutil.copytree(lock_folder, partial)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=partial, env=os.environ, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise NoPackagesError(f"npm failed: {(done.stdout + done.stderr)[-1000:]}")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder / "node_modules"


def _folder(name: str) -> Path:
    return cache_folder().with_name(name)
