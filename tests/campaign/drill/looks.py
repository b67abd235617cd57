"""What a person on call sees at one moment: `thumbnails status` in both forms, and the page."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.campaign.drill.installation import Installation

STATUS_TIMEOUT_S: Final = 60.0
MOST_DEAD_LETTERS_SHOWN: Final = 2


@dataclass(frozen=True)
class Status:
    """`thumbnails status --once`: what it printed, the same as JSON, and how long it took."""

    text: str
    data: dict[str, Any]
    exit_code: int
    took_s: float


@dataclass(frozen=True)
class PageView:
    """The page's words: its state line, the line of the topics, the count of uploads, and its newest failures."""

    link: str
    topics: str
    count: str
    failures: list[str] = field(default_factory=list)


def read_status(installation: Installation, tick: Callable[[], None]) -> Status:
    """Both forms, asked at the same time; `tick` is called meanwhile."""
    began = time.monotonic()
    for_people, for_programs = _start(installation), _start(installation, "--json")
    text = _output(for_people, tick)
    took_s = time.monotonic() - began
    data = json.loads(_output(for_programs, tick))
    return Status("\n".join(line.rstrip() for line in text.splitlines()), data, for_programs.returncode, took_s)


def read_page(installation: Installation, shot: Path) -> PageView:
    """The open page, and a picture of what its window shows."""
    page = installation.page
    page.evaluate("window.scrollTo(0, 0)")
    failed = page.locator("li.tile[data-state=failed]")
    page.screenshot(path=shot)
    return PageView(
        page.locator("#link").inner_text(),
        page.locator("#topics-summary").inner_text(),
        page.locator("#count").inner_text(),
        [
            " ".join(failed.nth(number).inner_text().split())
            for number in range(min(MOST_DEAD_LETTERS_SHOWN, failed.count()))
        ],
    )


def _start(installation: Installation, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "service", "status", "--once", "--metrics", installation.endpoints, *more]
    environment = os.environ | dict(installation.cluster.environment)
    with (installation.folder / "status.err").open("ab") as err:
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=err, text=True)


def _output(process: subprocess.Popen[str], tick: Callable[[], None]) -> str:
    """What it prints until it ends. Raises TimeoutExpired when it does not."""
    deadline = time.monotonic() + STATUS_TIMEOUT_S
    try:
        while True:
            try:
                out, _ = process.communicate(timeout=0.3)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise
                tick()
            else:
                return out
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
