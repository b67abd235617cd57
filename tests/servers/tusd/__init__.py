"""A tusd of our own: its handler, its store of files and its hooks by HTTP, built by Go once and kept."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service.demo.processes import end_process, owned_process
from tests.servers.go_tool import NoToolError, cache_folder, find_go

_SOURCE: Final = Path(__file__).parent / "server"
_BUILD_S: Final = 600


def tusd_program(say: Callable[[str], None] | None = None) -> Path:
    """Return the program. If it must be built, `say` gets one line first. Raises NoToolError."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_SOURCE.iterdir()))).hexdigest()[:12]
    built = cache_folder() / f"tusd-server-{digest}"
    if built.is_file():
        return built
    go = find_go()
    if go is None:
        raise NoToolError("No Go, which builds the tests' tusd: install Go 1.24 or later.")
    if say is not None:
        say("Building tusd with Go. This happens once and may take a minute.")
    built.parent.mkdir(parents=True, exist_ok=True)
    partial = built.with_name(f"{built.name}.{os.getpid()}.partial")
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "auto"}
    done = subprocess.run(
        [str(go), "build", "-trimpath", "-ldflags=-s -w", "-o", str(partial), "."],
        cwd=_SOURCE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        check=False,
    )
    if done.returncode != 0:
        raise NoToolError(f"tusd could not be built: {done.stderr[-1000:]}")
    partial.replace(built)  # whole at once, whoever else builds it, too
    return built


@contextmanager
def a_tusd(folder: Path, hooks_url: str) -> Iterator[str]:
    """Provide the URL to create uploads at; their files go to `folder`."""
    log = folder.with_name("tusd.log")
    command = [str(tusd_program()), "-upload-dir", str(folder), "-hooks-http", hooks_url]
    process = owned_process(command, log, dict(os.environ))
    try:
        deadline = time.monotonic() + 30
        while not (said := log.read_text() if log.is_file() else "").startswith("http://") or "\n" not in said:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoToolError(f"tusd did not start: {said[-1000:]}")
            time.sleep(0.05)
        yield said.splitlines()[0]
    finally:
        end_process(process)
        shutil.rmtree(folder, ignore_errors=True)
