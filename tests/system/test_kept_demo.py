"""`thumbnails demo --keep`: what it prints is true while it runs, and Ctrl-C leaves nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.platform import a_photo
from tests.system.snippets import ROOT, run_shell
from tests.system.supervisor import no_decoder_is_orphaned

pytestmark = pytest.mark.slow


@contextmanager
def kept_demo(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo of one photograph that runs on, and all that it has printed."""
    (folder / "photo.jpg").write_bytes(a_photo(1))
    demo = subprocess.Popen(
        [sys.executable, "-u", "-m", "service", "demo", "photo.jpg", "--keep", "--out", "sheet"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert demo.stdout is not None
    lines = []
    try:
        for line in demo.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        assert "Ctrl-C" in lines[-1], "".join(lines)
        yield demo, "".join(lines)
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.stdout.close()
        demo.wait(60)


def got(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - http, of this machine
        return answer.status, answer.headers["Content-Type"]


def test_a_kept_demo_can_be_looked_at_and_used_until_ctrl_c(tmp_path: Path, temporary_files: Path) -> None:
    with kept_demo(tmp_path) as (demo, printed):
        assert max(map(len, printed.splitlines())) <= 80 + len(str(temporary_files)), (
            "the folder's name alone may be longer"
        )
        page = re.search(r"The page: (http://127\.0\.0\.1:\d+/)", printed)
        assert page is not None
        assert got(page[1]) == (200, "text/html; charset=utf-8")
        environment, looks = re.findall(r"^  (\. .+|thumbnails status)$", printed, re.MULTILINE)
        found = run_shell(f"{environment}\n{looks} --once --json", tmp_path)
        status = json.loads(found.stdout)
        assert [role["role"] for role in status["roles"]] == ["worker", "persist", "retry"]
        assert status["throughput"]["ready"] == 1
        publish = re.search(r"^  (thumbnails publish FILE .*?) +#", printed, re.MULTILINE)
        assert publish is not None
        done = run_shell(f"{environment}\n{publish[1].replace('FILE', 'photo.jpg')}", tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert got(done.stdout.split()[-1]) == (200, "image/webp"), "a picture that a browser can open"
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
    assert list(temporary_files.iterdir()) == []
    assert no_decoder_is_orphaned()
