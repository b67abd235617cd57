"""Faust's `broker_credentials`."""

import asyncio
import ssl
from collections.abc import Callable

from aiokafka import conn  # type: ignore[import-untyped] # it has no stubs
from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped] # it has no stubs
from faust import OAuthCredentials, SASLCredentials, SSLCredentials


class _TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Gives each new connection a token; a token server that is slow does not hold up the event loop."""

    def __init__(self, fetch: Callable[[], str]) -> None:
        self._fetch = fetch

    async def token(self) -> str:
        return await asyncio.to_thread(self._fetch)


class TokenRefusedError(ConnectionError):
    """The broker does not accept the token; aiokafka connects again, with a new one."""


class JudgedLogin(conn.OAuthAuthenticator):  # type: ignore[misc]
    """A login that reads the broker's answer to the token.

    A broker that refuses a token says why in an answer that aiokafka does not read (RFC 7628, 3.2.2): aiokafka takes the
    login for a good one, and the error of the first request after it, `IllegalSaslStateError`, ends the worker.
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        """Return the token to send first, then None; raise TokenRefusedError when the broker has answered with a text."""
        if self._token_sent and payload:
            raise TokenRefusedError(f"The broker refuses the token: {payload.decode(errors='replace')}")
        step: tuple[bytes, bool] | None = await super().step(payload)
        return step


def sasl_credentials(
    mechanism: str | None, username: str | None, password: str | None, context: ssl.SSLContext | None
) -> SASLCredentials:
    """Return a login; with a TLS context the protocol is SASL_SSL, and the context holds our own certificate, too."""
    return SASLCredentials(username=username, password=password, ssl_context=context, mechanism=mechanism)


def oauth_credentials(fetch: Callable[[], str], context: ssl.SSLContext | None) -> OAuthCredentials:
    """Return a login by tokens; an OSError of `fetch` makes aiokafka try again. With a TLS context the protocol is SASL_SSL."""
    conn.OAuthAuthenticator = JudgedLogin  # aiokafka has no setting for it
    return OAuthCredentials(oauth_cb=_TokenProvider(fetch), ssl_context=context)


def tls_credentials(context: ssl.SSLContext) -> SSLCredentials:
    """Return TLS without a login."""
    return SSLCredentials(context)
