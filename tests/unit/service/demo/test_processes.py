"""Processes that the demo and the tests own: what their start does with a Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from service.demo.processes import owned_process
from tests.system.snippets import ROOT

# The handler of a Ctrl-C that comes while Python forks runs among the fork's own hooks.
INTERRUPTED_FORK = """
import os, signal, sys
from pathlib import Path
from service.demo.processes import owned_process

os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    owned_process(["true"], Path(sys.argv[1]), {})
except KeyboardInterrupt:
    sys.exit(130)
"""
SHOW_BLOCKED = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"


def test_a_ctrl_c_during_the_start_of_a_process_is_not_lost(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_FORK, str(tmp_path / "log")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_a_started_process_has_no_signal_blocked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert owned_process([sys.executable, "-c", SHOW_BLOCKED], log, dict(os.environ)).wait(30) == 0
    assert log.read_text() == "[]\n"
