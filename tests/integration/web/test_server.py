"""The server alone, by plain HTTP: headers, hosts, the token, cross-site requests, and the stream through breaks."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
import requests
import uvicorn

from service.web.access import Access
from service.web.app import STATIC, WebParts, build_app
from service.web.feed import Feed
from service.web.replay import ReplayOutcome, ReplayResult
from service.web.tiles import Tile
from service.web.wall import Wall

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - of the tests alone
TIMEOUT_S = 10.0


def a_tile(key: str, *, is_failed: bool = False, **data: object) -> Tile:
    return Tile(key, len(key), 1, "video:1", "upload-1", is_failed, {"key": key, "at_ms": len(key), **data})


@dataclass
class Served:
    """The page in a thread of this process; what belongs to its event loop is done by do()."""

    port: int
    parts: WebParts
    loop: asyncio.AbstractEventLoop

    def do(self, act: Callable[..., Any], *arguments: Any) -> Any:
        async def in_loop() -> Any:
            return act(*arguments)

        return asyncio.run_coroutine_threadsafe(in_loop(), self.loop).result(TIMEOUT_S)

    def get(self, path: str = "/", **headers: str) -> requests.Response:
        return self._request("GET", path, headers)

    def post(self, path: str, data: str = "", **headers: str) -> requests.Response:
        return self._request("POST", path, headers, data)

    def _request(self, method: str, path: str, headers: dict[str, str], data: str = "") -> requests.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{self.port}{path}"
        return requests.request(method, url, headers=names, data=data, timeout=TIMEOUT_S, allow_redirects=False)

    @contextmanager
    def stream(self, path: str = "/events", **headers: str) -> Iterator[Iterator[tuple[str, str, Any]]]:
        """Server-sent events as (id, name, data)."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            assert (answer.headers["content-type"] or "").startswith("text/event-stream")
            yield _events(iter(answer.readline, b""))
        finally:
            connection.close()


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, str, Any]]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "event" in fields:
            yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
            fields = {}


@contextmanager
def served(
    *, token: str | None = None, replay: Callable[[Tile], ReplayResult] | None = None, beat_s: float = 10.0
) -> Iterator[Served]:
    feed = Feed()
    access = Access("127.0.0.1", token)
    parts = WebParts(Wall(feed, max_tiles=1000), access, frozenset({"https://s3.example"}), replay, beat_s)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(build_app(parts), log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve([listener]),))
    thread.start()
    page = Served(listener.getsockname()[1], parts, loop)
    try:
        yield page
    finally:
        page.do(feed.close)
        server.should_exit = True
        thread.join(TIMEOUT_S)
        loop.close()


@pytest.fixture(scope="module")
def page() -> Iterator[Served]:
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def locked() -> Iterator[Served]:
    with served(token=TOKEN) as found:
        yield found


def test_every_answer_has_the_headers_that_keep_browsers_strict(page: Served) -> None:
    for path in ("/", "/login", "/static/main.js", "/static/nothing.js", "/nothing", "/static/../app.py"):
        headers = page.get(path).headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert (policy["script-src"], policy["style-src"]) == ("'self'", "'self'")
        assert policy["img-src"] == "'self' https://s3.example"
        assert (policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'")
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_nothing_of_the_page_needs_what_the_policy_forbids() -> None:
    for path in STATIC.iterdir():
        text = path.read_text()
        assert "innerHTML" not in text
        assert "style=" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "169.254.169.254"])
def test_a_name_that_is_not_ours_gets_nothing_whatever_it_asks_for(page: Served, host: str) -> None:
    for path in ("/", "/events", "/login", "/static/main.js"):
        answer = page.get(path, Host=host)
        assert answer.status_code == 421 or (host == "" and answer.status_code == 400)


def test_without_the_token_there_is_only_the_way_to_give_it(locked: Served) -> None:
    assert locked.get("/", Accept="text/html").headers["location"] == "/login"
    for path in ("/", "/events", "/static/main.js", "/static/../index.html"):
        assert locked.get(path).status_code == 401
        assert locked.get(path, Authorization="Bearer wrong-wrong-wrong-wrong").status_code == 401
    assert locked.get("/login").status_code == locked.get("/static/app.css").status_code == 200
    assert locked.get("/", Authorization=f"Bearer {TOKEN}").status_code == 200


def test_who_signs_in_gets_a_cookie_that_no_script_reads_and_no_other_site_sends(locked: Served) -> None:
    origin = f"http://127.0.0.1:{locked.port}"
    answer = locked.post("/login", f"token={TOKEN}", Origin=origin)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert locked.get("/", Cookie=cookie.partition(";")[0]).status_code == 200

    wrong = locked.post("/login", "token=wrong-wrong-wrong-wrong", Origin=origin)
    assert (wrong.headers["location"], "set-cookie" in wrong.headers) == ("/login#wrong", False)
    elsewhere = locked.post("/login", f"token={TOKEN}", Origin="http://evil.example")
    assert (elsewhere.status_code, "set-cookie" in elsewhere.headers) == (403, False)
    assert locked.post("/login", f"token={'x' * 10_000}", Origin=origin).status_code == 413


def test_without_allow_replay_there_is_nothing_that_changes_anything(page: Served) -> None:
    page.do(page.parts.wall.show, [a_tile("broken", is_failed=True)])
    csrf = {"X_CSRF_Token": page.parts.access.csrf_token, "Origin": f"http://127.0.0.1:{page.port}"}
    assert page.post("/replay/broken", **csrf).status_code == 404
    for path in ("/", "/events", "/static/main.js"):
        assert page.post(path, **csrf).status_code == 405
    with page.stream() as events:
        _, _, snapshot = next(events)
    assert snapshot["csrf_token"] is None


def test_a_letter_is_replayed_for_the_page_itself_and_for_nobody_else() -> None:
    replayed: list[str] = []

    def replay(tile: Tile) -> ReplayResult:
        replayed.append(tile.key)
        return ReplayResult(ReplayOutcome.REPLAYED, "Replayed.")

    with served(replay=replay) as page:
        page.do(page.parts.wall.show, [a_tile("broken", is_failed=True), a_tile("fine")])
        with page.stream() as events:
            token = next(events)[2]["csrf_token"]
        ours = f"http://127.0.0.1:{page.port}"
        refused = [
            page.post("/replay/broken"),
            page.post("/replay/broken", Origin=ours),
            page.post("/replay/broken", X_CSRF_Token=token),
            page.post("/replay/broken", Origin="http://evil.example", X_CSRF_Token=token),
            page.post("/replay/broken", Origin="null", X_CSRF_Token=token),
            page.post("/replay/broken", Origin=ours, X_CSRF_Token=token[::-1]),
        ]
        assert {answer.status_code for answer in refused} == {403}
        assert page.get("/replay/broken").status_code == 405
        for key in ("fine", "unknown"):
            assert page.post(f"/replay/{key}", Origin=ours, X_CSRF_Token=token).status_code == 404
        assert replayed == []

        answer = page.post("/replay/broken", Origin=ours, X_CSRF_Token=token)
        assert answer.json() == {"outcome": "replayed", "sentence": "Replayed."}
        assert replayed == ["broken"]


def test_a_broken_stream_goes_on_after_the_last_event_that_was_seen() -> None:
    with served() as page:
        with page.stream() as events:
            _, name, _ = next(events)
            page.do(page.parts.wall.show, [a_tile("1")])
            last_id, _, first = next(events)
        page.do(page.parts.wall.show, [a_tile("22")])
        page.do(page.parts.wall.show, [a_tile("333")])
        assert (name, [tile["key"] for tile in first]) == ("snapshot", ["1"])
        for again in (page.stream(Last_Event_ID=last_id), page.stream(f"/events?last={last_id}")):
            with again as events:
                missed = [next(events) for _ in range(2)]
            assert [(name, data[0]["key"]) for _, name, data in missed] == [("tiles", "22"), ("tiles", "333")]
        with page.stream(Last_Event_ID="of-another-server") as events:
            _, name, snapshot = next(events)
        assert (name, len(snapshot["tiles"])) == ("snapshot", 3)


def test_a_silent_stream_beats_so_that_a_dead_connection_is_noticed() -> None:
    with served(beat_s=0.05) as page, page.stream() as events:
        assert [next(events)[1] for _ in range(3)] == ["snapshot", "beat", "beat"]


def test_a_visitor_who_reads_nothing_is_let_go_while_the_others_get_everything() -> None:
    with served() as page, page.stream() as events:
        next(events)
        with socket.create_connection(("127.0.0.1", page.port)) as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
            _until(lambda: page.parts.wall.feed.visitor_count == 2)
            sent = 0
            while page.parts.wall.feed.visitor_count == 2:
                assert sent < 400, "it is never let go"
                page.do(page.parts.wall.feed.publish, "tiles", "x" * 100_000)
                sent += 1
                assert next(events)[1] == "tiles"
            assert page.parts.wall.feed.visitor_count == 1
        page.do(page.parts.wall.feed.publish, "tiles", "the last one")
        assert next(events)[2] == "the last one"


def _until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
