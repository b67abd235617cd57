"""Programs of docs/clients.md made runnable, each with its language's usual client."""

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from service.demo.broker import NoKafkaError
from tests.servers.go_tool import find_go
from tests.servers.kafka.apache import fetch_jars
from tests.servers.npm import NoPackagesError, installed

_FOLDER: Final = Path(__file__).parent
_TIMEOUT_S: Final = 300
_LEAST_GO: Final = (1, 24)


class NoClientError(Exception):
    """The language's tools are not here, or could not fetch its client; the message says which."""


def command_for(language: str, program: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs `program`, and what its environment has beside ours; files go to `folder`.

    Raises NoClientError.
    """
    return _MAKERS[language](program, folder)


def _java(program: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    if shutil.which("javac") is None:
        raise NoClientError("javac is missing: install a JDK")
    try:
        jars = fetch_jars()
    except NoKafkaError as exc:
        raise NoClientError(str(exc)) from exc
    (name,) = re.findall(r"public class (\w+)", program)
    source = folder / f"{name}.java"
    source.write_text(program)
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", quiet, str(source)], {}


def _go(program: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    go = find_go()
    said = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout if go else ""
    version = re.search(r"go(\d+)\.(\d+)", said)
    if go is None or version is None or (int(version[1]), int(version[2])) < _LEAST_GO:
        raise NoClientError("Go 1.24 or later is missing")
    module = folder / f"go-{uuid.uuid4().hex[:8]}"
    shutil.copytree(_FOLDER / "go", module)
    (module / "main.go").write_text(program)
    _run([str(go), "build", "-o", "program", "."], module, {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""})
    return [str(module / "program")], {}


def _node(program: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    try:
        packages = installed(_FOLDER / "node", "node-clients", "kafkajs")
    except NoPackagesError as exc:
        raise NoClientError(str(exc)) from exc
    source = folder / f"{uuid.uuid4().hex[:8]}.cjs"
    source.write_text(program)
    return ["node", str(source)], {"NODE_PATH": str(packages)}


_MAKERS: Final[Mapping[str, Callable[[str, Path], tuple[list[str], dict[str, str]]]]] = {
    "java": _java,
    "go": _go,
    "javascript": _node,
}


def _run(command: list[str], folder: Path, changes: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | changes, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise NoClientError(f"{command[0]} failed: {(done.stdout + done.stderr)[-1000:]}")
