"""`tests.second_try` on tests that fail once, always, or in numbers."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

ONCE = """
from pathlib import Path
def test_once(mark=Path(__file__).with_suffix(".ran")):
    was_there = mark.exists()
    mark.touch()
    assert was_there
def test_sound(): pass
"""
ALWAYS = "def test_always(): assert False\n"
MANY = "".join(f"def test_{number}(): assert False\n" for number in range(6))


def run(folder: Path, content: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_them.py").write_text(content)
    (folder / "pytest.ini").write_text("[pytest]")
    command = [sys.executable, "-m", "tests.second_try", "pytest", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def test_what_passes_alone_is_told_and_no_failure(tmp_path: Path) -> None:
    done = run(tmp_path, ONCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "1 passed" in done.stdout.splitlines()[-2]
    assert "Passed alone after a failure beside others: " in done.stdout
    assert "test_them.py::test_once" in done.stdout.splitlines()[-1]


def test_what_fails_alone_too_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, ALWAYS)
    assert done.returncode == 1
    assert done.stdout.count("= 1 failed") == 2
    assert "Passed alone" not in done.stdout


def test_many_failures_get_no_second_try(tmp_path: Path) -> None:
    done = run(tmp_path, MANY)
    assert done.returncode == 1
    assert done.stdout.count("= 6 failed") == 1


def test_other_exit_codes_are_passed_on(tmp_path: Path) -> None:
    assert run(tmp_path, ALWAYS, "-k", "nothing").returncode == 5
    assert run(tmp_path, ALWAYS, "--no-such-option").returncode == 4
