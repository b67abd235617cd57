"""What ends a demo: each way unwinds it, so that its processes and folders go."""

import os
import subprocess
import sys

import pytest

from tests.system.snippets import ROOT

UNWOUND = """
import os, signal, sys
from service.demo.run import _terminable

number = signal.Signals[sys.argv[1]]
signal.signal(number, signal.SIG_IGN if sys.argv[2] == "ignored" else signal.SIG_DFL)
try:
    with _terminable():
        os.kill(os.getpid(), number)
        print("goes on")
except KeyboardInterrupt:
    print("unwound")
"""


@pytest.mark.parametrize(
    ("number", "before", "printed"),
    [("SIGTERM", "default", "unwound"), ("SIGHUP", "default", "unwound"), ("SIGHUP", "ignored", "goes on")],
    ids=["a supervisor", "the terminal is closed", "nohup"],
)
def test_a_demo_that_is_told_to_end_unwinds(number: str, before: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNWOUND, number, before],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, printed), done.stderr
