"""The README's "Run it", as a new user types it: from an empty Kafka and database to a thumbnail that opens in a browser."""

import io
import os
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import sync_playwright

from service.demo.processes import free_port
from tests.conftest import missing
from tests.integration.web.browser import ARGUMENTS, CHROMIUM
from tests.system.platform import a_clip
from tests.system.snippets import ROOT, snippets_of
from tests.system.supervisor import no_decoder_is_orphaned

SNIPPETS = snippets_of("README.md", "sh")
ENDED = "trap 'kill $(jobs -p); wait' EXIT"
"""What the README says after it, also where a line fails."""


def the_path(kafka: str, database_url: str | None) -> str:
    """The two blocks, with the addresses that a reader puts in, and then a wait for the reader."""
    prepare, run = (
        next(snippet for snippet in SNIPPETS if text in snippet) for text in ("topics create", "for role in")
    )
    assert "localhost:9092" in prepare
    assert "sqlite:///thumbnails.db" in prepare
    prepare = prepare.replace("localhost:9092", kafka)
    if database_url is not None:
        prepare = prepare.replace("sqlite:///thumbnails.db", shlex.quote(database_url))
    return f"{ENDED}\n{prepare}\n{run}\nread -r"


def assert_a_browser_shows(url: str, thumbnail: Image.Image) -> None:
    """Chromium opens the URL, and paints at the picture's place what Pillow reads of the same bytes."""
    if not CHROMIUM.exists():
        missing(f"No {CHROMIUM}: install the package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page()
        answer = page.goto(url, timeout=60_000)
        assert answer is not None
        assert answer.status == 200
        shown = page.locator("img").screenshot()
        browser.close()
    with Image.open(io.BytesIO(shown)) as screenshot:
        assert screenshot.size == thumbnail.size
        difference = ImageStat.Stat(ImageChops.difference(screenshot.convert("RGB"), thumbnail))
    # Two decoders may round the colours of WebP differently; a wrong or an empty picture is far off.
    assert max(difference.mean) < 3
    assert max(ImageStat.Stat(thumbnail).stddev) > 10, (
        "the clip is no plain colour, so that the comparison says something"
    )


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_path_of_the_readme_ends_with_a_picture_that_opens_in_a_browser(
    kafka: str, topic_prefix: str, tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    (tmp_path / "clip.mp4").write_bytes(a_clip(1))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        # Beside other tests: names and a port of this test's own. A reader keeps what is set without them.
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "WORKER_GROUP": f"{topic_prefix}thumbnails",
        "LOCAL_STORAGE_URL": f"http://localhost:{free_port()}/storage",
    }
    with subprocess.Popen(
        ["bash", "-ec", the_path(kafka, url)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        lines = []
        for line in shell.stdout:
            lines.append(line)
            fields = line.rstrip("\n").split("  ")
            if len(fields) == 4 and fields[2] in ("ready", "failed", "waiting"):
                break
        said = "".join(lines)
        assert fields[2] == "ready", said + "".join(path.read_text() for path in tmp_path.glob("*.log"))
        assert "ok      Database" in said
        assert "FAILED" not in said
        assert "Company 1 is added" in said
        assert "Storage connection 1 is tested and added: company 1 uses it." in said
        assert "Browsers may not see" not in said, "the URL of a probe was read, too"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(fields[3], timeout=10) as answer:
            assert answer.headers["Content-Type"] == "image/webp"
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            with Image.open(io.BytesIO(answer.read())) as picture:
                assert picture.size == (320, 180)
                thumbnail = picture.convert("RGB")
        assert_a_browser_shows(fields[3], thumbnail)
        shell.stdin.write("\n")
        shell.stdin.close()
        shell.stdout.read()
    assert shell.returncode == 0
    assert no_decoder_is_orphaned()
