"""The page's routes: the page itself, its events, signing in, and, only where it is allowed, the replay of a dead letter."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Lifespan

from schemas.errors import ErrorCode
from service.web.access import SESSION_COOKIE, Access, content_policy
from service.web.feed import FeedFullError, event_bytes
from service.web.guards import Gate, SafeHeaders
from service.web.replay import ReplayResult
from service.web.stream import BEAT_S, EventStream
from service.web.tiles import Tile
from service.web.wall import Wall

STATIC: Final = Path(__file__).parent / "static"
MAX_BODY_BYTES: Final = 4096
WRONG_TOKEN_WAIT_S: Final = 0.5
"""Guessing is slow, on top of a token that is long."""


@dataclass(frozen=True)
class WebParts:
    """The parts of the page. Without `replay` it is read-only."""

    wall: Wall
    access: Access
    image_origins: frozenset[str]
    replay: Callable[[Tile], ReplayResult] | None = None
    beat_s: float = BEAT_S
    metrics_urls: tuple[str, ...] = ()


def build_app(parts: WebParts, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """Return the ASGI application."""
    pages = _Pages(parts)
    routes = [
        Route("/", _file("index.html")),
        Route("/login", _file("login.html"), methods=["GET"]),
        Route("/login", pages.sign_in, methods=["POST"]),
        Route("/events", pages.events),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    if parts.replay is not None:
        routes.append(Route("/replay/{key}", pages.replay, methods=["POST"]))
    guards = [
        Middleware(SafeHeaders, policy=content_policy(parts.image_origins)),
        Middleware(Gate, access=parts.access),
    ]
    return Starlette(routes=routes, middleware=guards, lifespan=lifespan, max_body_size=MAX_BODY_BYTES)


def _file(name: str) -> Callable[[Request], Any]:
    async def page(_request: Request) -> Response:
        return FileResponse(STATIC / name)

    return page


class _Pages:
    """The routes that need to know something."""

    def __init__(self, parts: WebParts) -> None:
        self._parts: Final = parts

    async def events(self, request: Request) -> Any:
        """Return the stream of changes; it goes on after the id that the browser saw last, where that is still possible."""
        feed = self._parts.wall.feed
        last_id = request.headers.get("last-event-id") or request.query_params.get("last")
        try:
            visitor, goes_on = feed.join(last_id)
        except FeedFullError:
            return PlainTextResponse("Too many visitors: close another page.", HTTPStatus.SERVICE_UNAVAILABLE)
        first = b"" if goes_on else event_bytes("snapshot", self._snapshot(), feed.last_id)
        return EventStream(visitor, first, lambda: feed.leave(visitor), self._parts.beat_s)

    def _snapshot(self) -> dict[str, Any]:
        may_replay = self._parts.replay is not None
        return self._parts.wall.snapshot() | {
            "codes": [code.value for code in ErrorCode],
            "csrf_token": self._parts.access.csrf_token if may_replay else None,
        }

    async def sign_in(self, request: Request) -> Response:
        """Take the token from the form of /login, and give a session for it."""
        access = self._parts.access
        if not access.is_same_origin(request.headers.get("origin"), request.headers.get("host")):
            return PlainTextResponse("Sign in from the page itself.", HTTPStatus.FORBIDDEN)
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        if not access.is_token(form.get("token", [""])[0].strip()):
            await asyncio.sleep(WRONG_TOKEN_WAIT_S)
            return RedirectResponse("/login#wrong", HTTPStatus.SEE_OTHER)
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        is_secure = request.url.scheme == "https"
        answer.set_cookie(SESSION_COOKIE, access.session, httponly=True, samesite="strict", secure=is_secure)
        return answer

    async def replay(self, request: Request) -> Response:
        """Replay one dead letter. Only the page itself may ask: the origin and a header that other sites cannot set are checked."""
        access, replay = self._parts.access, self._parts.replay
        is_ours = access.is_same_origin(request.headers.get("origin"), request.headers.get("host"))
        if replay is None or not is_ours or not access.is_csrf_token(request.headers.get("x-csrf-token")):
            return _answer(
                "forbidden", "Replay from the page itself; load it again if it is old.", HTTPStatus.FORBIDDEN
            )
        tile = self._parts.wall.tile(request.path_params["key"])
        if tile is None or not tile.is_failed:
            return _answer("not_found", "This upload is not among the failed ones (any more).", HTTPStatus.NOT_FOUND)
        result = await run_in_threadpool(replay, tile)
        return _answer(result.outcome, result.sentence, HTTPStatus.OK)


def _answer(outcome: str, sentence: str, status: HTTPStatus) -> Response:
    return JSONResponse({"outcome": outcome, "sentence": sentence}, status)
