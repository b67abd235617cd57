"""Programs that exist as Go source and hardly elsewhere: found where they are, else built once and kept."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.demo.processes import end_process, owned_folder, owned_process

_BUILD_TIMEOUT_S: Final = 1800.0
_GO_OF_ITS_OWN_ARCHIVE: Final = Path("/usr/local/go/bin/go")
_FOLDER_PREFIX: Final = "thumbnails-go-"


class NoToolError(Exception):
    """The program can be neither found nor built; the message says what would help."""


def cache_folder() -> Path:
    """Where the programs that were built are kept between runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "thumbnail-pipeline" / "bin"


def find_go() -> Path | None:
    """The go command: on PATH, or where Go's own archive is unpacked as a rule."""
    on_path = shutil.which("go")
    if on_path:
        return Path(on_path)
    return _GO_OF_ITS_OWN_ARCHIVE if os.access(_GO_OF_ITS_OWN_ARCHIVE, os.X_OK) else None


@dataclass(frozen=True)
class GoTool:
    """One program: the name it has here, the package that it is built from, and the version."""

    name: str
    package: str
    version: str

    @property
    def built(self) -> Path:
        """Where our own build of it is kept; another version has another file."""
        return cache_folder() / f"{self.name}-{self.version}"

    def find(self) -> Path | None:
        """The first of: one on PATH, our own build, one in Go's folder of programs."""
        on_path = shutil.which(self.name)
        gobin = Path(os.environ.get("GOBIN") or Path.home() / "go" / "bin") / self.name
        candidates = [*([Path(on_path)] if on_path else []), self.built, gobin]
        return next((path for path in candidates if path.is_file() and os.access(path, os.X_OK)), None)

    def can_be_had(self) -> bool:
        """Whether it is here, or there is a Go to build it with."""
        return self.find() is not None or find_go() is not None

    def get(self, say: Callable[[str], None] | None = None) -> Path:
        """Return the program. If it must be built, which takes minutes, `say` gets one line first.

        From the main thread. Raises NoToolError.
        """
        found = self.find()
        if found is not None:
            return found
        go = find_go()
        if go is None:
            raise NoToolError(f"No {self.name}: install it, or Go 1.21 or later, which builds it.")
        if say is not None:
            say(f"Building {self.name} {self.version} with Go. This happens once and may take some minutes.")
        self._build(go)
        return self.built

    def _build(self, go: Path) -> None:
        folder = owned_folder(_FOLDER_PREFIX)
        try:
            self._install(go, folder)
            program = next((folder / "bin").iterdir())
            self.built.parent.mkdir(parents=True, exist_ok=True)
            partial = self.built.with_name(f"{self.built.name}.{os.getpid()}.partial")
            shutil.copy2(program, partial)
            partial.replace(self.built)  # whole at once, whoever else builds it, too
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _install(self, go: Path, folder: Path) -> None:
        environment = os.environ | {
            "GOBIN": str(folder / "bin"),
            "GOTOOLCHAIN": "auto",  # a Go that is too old fetches the one that the program asks for
            "CGO_ENABLED": "0",  # no C compiler needed
            "GOWORK": "off",
        }
        command = [str(go), "install", "-trimpath", "-ldflags=-s -w", f"{self.package}@{self.version}"]
        log = folder / "build.log"
        process = owned_process(command, log, environment)
        try:
            code = process.wait(_BUILD_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise NoToolError(f"{self.name} was not built within {_BUILD_TIMEOUT_S:.0f} s.") from None
        finally:
            end_process(process)
        if code != 0:
            raise NoToolError(f"{self.name} could not be built: {log.read_text(errors='replace')[-1000:]}")
