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

from PIL import Image

from tests.campaign.drill.installation import Installation

STATUS_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Status:
    """`thumbnails status --once`: what it printed, the same as JSON, and how long it took."""

    text: str
    data: dict[str, Any]
    exit_code: int
    took_s: float


@dataclass(frozen=True)
class PageFailure:
    """One entry of «What fails»: its words, and the command for all of them."""

    code: str
    text: str
    command: str
    is_urgent: bool


@dataclass(frozen=True)
class PageView:
    """The page's words: its headline, the sentences below it, the figures, the count of uploads, and what fails."""

    headline: str
    sentences: list[str]
    figures: str
    count: str
    failures: list[PageFailure] = field(default_factory=list)

    @property
    def words(self) -> str:
        """All that it says of how it is going."""
        return " ".join([self.headline, *self.sentences, *(failure.text for failure in self.failures)])


def read_status(installation: Installation, tick: Callable[[], None]) -> Status:
    """Both forms, asked at the same time; `tick` is called meanwhile."""
    began = time.monotonic()
    for_people, for_programs = _start(installation), _start(installation, "--json")
    text = _output(for_people, tick)
    took_s = time.monotonic() - began
    data = json.loads(_output(for_programs, tick))
    return Status("\n".join(line.rstrip() for line in text.splitlines()), data, for_programs.returncode, took_s)


def read_page(installation: Installation, shot: Path | None = None) -> PageView:
    """The open page, and a picture of what its window shows."""
    page = installation.page
    page.evaluate("window.scrollTo(0, 0)")
    if shot is not None:
        page.screenshot(path=shot)
        with Image.open(shot) as picture:
            picture.convert("RGB").quantize(256, kmeans=3).save(shot, optimize=True)  # a third of the bytes
    sentences = [page.locator("#advice").inner_text(), *page.locator("#attention li").all_inner_texts()]
    # In one look: entries come and go meanwhile.
    failures = page.evaluate(
        """() => [...document.querySelectorAll("#failures li")].map((entry) => [
            entry.dataset.code,
            entry.innerText,
            entry.querySelector(".command code").innerText,
            "urgent" in entry.dataset,
        ])"""
    )
    return PageView(
        page.locator("#headline").inner_text(),
        [sentence for sentence in sentences if sentence],
        ", ".join(" ".join(figure.split()) for figure in page.locator("#figures > div").all_inner_texts()),
        page.locator("#count").inner_text(),
        [PageFailure(code, " ".join(text.split()), command, urgent) for code, text, command, urgent in failures],
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
