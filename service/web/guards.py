"""Guards before every route: the Host header is ours, the visitor has the token, the answer has safe headers."""

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.web.access import Access

OPEN_PATHS: Final = ("/login", "/static/app.css", "/static/icon.svg")
"""What a visitor without the token sees: how to give it."""


class SafeHeaders:
    """Puts the headers on every answer, errors included."""

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app: Final = app
        self._headers: Final = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "same-origin",  # with no-referrer, browsers send a form's Origin as null
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
            "cache-control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI call."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class Gate:
    """Lets requests through that are for this page and from a visitor who may see it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app: Final = app
        self._access: Final = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI call."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or not self._access.is_known_host(headers.get("host")):
            sentence = "This page is not known under that name: add it to WEB_ALLOWED_HOSTS."
            return PlainTextResponse(sentence, HTTPStatus.MISDIRECTED_REQUEST)
        request = Request(scope)
        if request.url.path in OPEN_PATHS or self._access.may_see(request.cookies, headers.get("authorization")):
            return None
        if "text/html" in headers.get("accept", ""):
            return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        return PlainTextResponse(
            "Give the token: Authorization: Bearer WEB_TOKEN, or sign in at /login.",
            HTTPStatus.UNAUTHORIZED,
            {"www-authenticate": 'Bearer realm="thumbnails"'},
        )
