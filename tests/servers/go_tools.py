"""The programs that the tests build with Go: `python -m tests.servers.go_tools` builds what is missing beforehand."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.servers.go_tool import NoToolError
from tests.servers.kustomize import KUSTOMIZE
from tests.servers.s3.minio import MINIO
from tests.servers.toxiproxy import TOXIPROXY

TOOLS: Final = (MINIO, TOXIPROXY, KUSTOMIZE)


@contextmanager
def time_to_build(config: pytest.Config) -> Iterator[Callable[[str], None]]:
    """Whoever builds a program in here may say so on the terminal, and the test's time limit does not count."""
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield lambda line: _say(config, line)
    finally:
        signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)


def _say(config: pytest.Config, line: str) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if capture is not None and terminal is not None:
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            terminal.write_line(line)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # before minutes of silence


def main() -> int:
    """Exit code 0 when every program is there."""
    try:
        for tool in TOOLS:
            _print(f"{tool.name}: {tool.get(_print)}")
    except NoToolError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
