"""What a shell and its environment may be: a closed or full output, no home, another encoding, a terminal of one column."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


def run(
    script: str, folder: Path, environment: dict[str, str] | None = None, *, without: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which $T is the command line."""
    given = {name: value for name, value in os.environ.items() if name not in without}
    given |= {"T": f"{sys.executable} -m service", "PYTHONPATH": str(ROOT), **(environment or {})}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{script}"],
        cwd=folder,
        env=given,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("script", "environment", "code", "error"),
    [
        ("$T --help | head -n 1 || [ ${PIPESTATUS[0]} = 1 ]", {}, 0, ""),
        ("$T --help >&-", {}, 0, ""),
        ("$T credentials key >&-", {}, 0, ""),
        ("$T credentials key > /dev/full", {}, 1, "The output cannot be written: No space left on device.\n"),
        ("$T credentials key 2>&-", {}, 0, ""),
        ("$T --help < /dev/null", {"TERM": "dumb", "COLUMNS": "1"}, 0, ""),
        ("$T --help", {"COLUMNS": "many", "TERM": ""}, 0, ""),
        ("$T --help", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, 0, ""),
        ("$T make $'\\xff.png' --out o --json", {"PYTHONIOENCODING": "ascii"}, 1, "0 made; 1 failed"),
        ("mkdir gone; cd gone; rmdir ../gone; $T credentials key", {}, 0, ""),
        ("DECODE_SLOT=9 $T make nowhere.png --out o", {}, 1, "DECODE_SLOT is no setting"),
        (
            "[ $(_THUMBNAILS_COMPLETE=complete_bash COMP_WORDS='thumbnails dlq re' COMP_CWORD=2 $T) = replay ]",
            {},
            0,
            "",
        ),
    ],
    ids=[
        *("a reader that goes", "a closed output", "a closed output of one line", "a full disk", "closed errors"),
        *("one column", "columns that are a word", "ASCII only", "a name in no encoding", "no working folder"),
        *("a misspelled setting", "completion"),
    ],
)
def test_a_shell_may_be_as_it_is(
    tmp_path: Path, script: str, environment: dict[str, str], code: int, error: str
) -> None:
    done = run(script, tmp_path, environment)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert (done.returncode, error in done.stderr) == (code, True), done.stderr


def test_without_home_and_with_a_read_only_folder_thumbnails_are_made(tmp_path: Path) -> None:
    done = run("$T make nothing.png --out /proc/thumbs", tmp_path, without=("HOME", "USER", "TERM", "LANG", "LC_ALL"))
    assert done.returncode == 1
    assert done.stderr == "/proc/thumbs: No such file or directory.\n"


def test_the_version_names_the_libraries_that_read_and_reach(tmp_path: Path) -> None:
    done = run("$T --version", tmp_path)
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names[:6] == ["thumbnails", "Python", "FFmpeg", "OpenCV", "Pillow", "librdkafka"]
    assert "not installed" not in done.stdout
