"""What `python -m service` adds to the command line: how a role's process ends."""

import subprocess
import sys

import pytest

AS_IT_LEAVES = """
import atexit, sys
import service.__main__ as entry

def ends():
    print("closed", flush=True)
    raise SystemExit({code})

entry.main = ends
sys.argv = ["thumbnails", "{command}"]
atexit.register(lambda: print("Python's own end", flush=True))
entry.run()
"""


@pytest.mark.parametrize(("code", "ends_with"), [(0, 0), (1, 1), (None, 0), ("'a sentence'", 1)])
@pytest.mark.parametrize(("command", "said"), [("worker", "closed\n"), ("check", "closed\nPython's own end\n")])
def test_a_role_leaves_with_its_code_and_without_pythons_own_end(
    command: str, said: str, code: object, ends_with: int
) -> None:
    program = AS_IT_LEAVES.format(code=code, command=command)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (ends_with, said)
