"""A command from the fork server says, returns and obeys what the same command does that Python has just been started for."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import fork_server
from tests.system.stack import Command, run_cli

SETTINGS = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": "foo", "COLUMNS": "70"}


@pytest.mark.parametrize(
    "arguments",
    [["no-such-command"], ["db", "upgrade"], ["dlq", "show", "x"]],
    ids=["a wrong name", "a wrong setting", "a wrong position"],
)
def test_it_says_and_returns_the_same(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = os.environ | SETTINGS | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "service", *arguments]
    plain = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    forked = run_cli(SETTINGS, *arguments)
    assert (forked.returncode, forked.stdout, forked.stderr) == (plain.returncode, plain.stdout, plain.stderr)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_by_a_signal_and_says_so(number: signal.Signals) -> None:
    waiting = Command(SETTINGS, "topics", "list")  # for a broker, some seconds
    waiting.send_signal(number)
    assert waiting.wait(60).returncode == -number


def test_what_python_reads_at_its_start_is_given_to_a_python_that_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "_server", lambda: pytest.fail("it forks a process that has read other settings"))
    done = run_cli(SETTINGS | {"PYTHONPATH": "/nowhere", "PYTHONSAFEPATH": "1"}, "--help")
    assert done.returncode == 0
