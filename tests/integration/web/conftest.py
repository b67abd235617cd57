"""A browser for each file, and one cheap broker for all tests of the page."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from schemas.tables import companies, metadata
from service.demo.broker import TansuKafka, tansu_binary
from tests.conftest import missing
from tests.integration.web.browser import ARGUMENTS, CHROMIUM
from tests.integration.web.server import Results, WebOptions, WebServer, running_web, serving

WAIT_MS = 15_000
"""How long a test polls: tests share two cores."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One a file: while Playwright runs, this process has an event loop, and the tests of others run loops of their own."""
    if not CHROMIUM.exists():
        missing(f"No {CHROMIUM}: install the package chromium.")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="session")
def tansu() -> Iterator[str]:
    """Bootstrap servers of the embedded broker: the page reads it as any other, and it is up in a moment."""
    binary = tansu_binary()
    if binary is None:
        missing("No embedded broker: install the extra `demo`.")
    broker = TansuKafka(binary)
    try:
        yield broker.start()
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a local storage, and its folder."""
    folder = tmp_path_factory.mktemp("storage")
    with serving(folder) as url:
        yield url, folder


@pytest.fixture(scope="module")
def results(tansu: str, request: pytest.FixtureRequest) -> Results:
    """An installation of one module's own."""
    found = Results(tansu, f"{request.module.__name__.rpartition('.')[2]}.")
    found.create_topics()
    return found


@pytest.fixture(scope="module")
def web(results: Results, pictures: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """The page, read-only, as it starts without options."""
    options = WebOptions(environment={"LOCAL_STORAGE_URL": pictures[0]})
    with running_web(results, tmp_path_factory.mktemp("web"), options) as found:
        yield found


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database that knows three companies."""
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'platform.db'}"
    engine = sa.create_engine(url)
    metadata.create_all(engine)
    rows = [
        {"id": number, "name": name, "slug": name.lower()}
        for number, name in ((1, "Acme"), (2, "Globex"), (3, "Initech"))
    ]
    with engine.begin() as connection:
        connection.execute(companies.insert(), rows)
    engine.dispose()
    return url


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two roles as their metrics endpoints show them: one ready, one that has lost its database."""
    folder = tmp_path_factory.mktemp("roles")
    for role, is_up in (("worker", 1), ("persist", 0)):
        (folder / role / "health").mkdir(parents=True)
        lines = (
            f'thumbnail_role_info{{role="{role}",version="0.2.0"}} 1',
            f'thumbnail_dependency_up{{dependency="database"}} {is_up}',
            "",
        )
        (folder / role / "metrics").write_text("\n".join(lines))
        health = {
            "ok": bool(is_up),
            "dependencies": {} if is_up else {"database": {"next_action": "Start PostgreSQL."}},
        }
        (folder / role / "health" / "ready").write_text(json.dumps(health))
    with serving(folder) as url:
        yield f"{url}/worker,{url}/persist"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh tab; an error that the browser's console shows fails the test."""
    with browser.new_context() as context:
        tab = context.new_page()
        tab.set_default_timeout(WAIT_MS)
        problems: list[str] = []
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda message: problems.append(message.text) if is_our_fault(message) else None)
        yield tab
        assert problems == []


def is_our_fault(message: ConsoleMessage) -> bool:
    """Not what the browser says of a server that is down, or of a picture that is gone: that is what tests arrange."""
    is_network = "Failed to load resource" in message.text or "net::ERR_" in message.text
    return message.type in ("error", "warning") and not is_network
