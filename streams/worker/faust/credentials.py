"""Faust's `broker_credentials`."""

import asyncio
import ssl
from collections.abc import Callable

from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped] # it has no stubs
from faust import OAuthCredentials, SASLCredentials, SSLCredentials


class _TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """Gives each new connection a token; a token server that is slow does not hold up the event loop."""

    def __init__(self, fetch: Callable[[], str]) -> None:
        self._fetch = fetch

    async def token(self) -> str:
        return await asyncio.to_thread(self._fetch)


def sasl_credentials(
    mechanism: str | None, username: str | None, password: str | None, context: ssl.SSLContext | None
) -> SASLCredentials:
    """Return a login; with a TLS context the protocol is SASL_SSL, and the context holds our own certificate, too."""
    return SASLCredentials(username=username, password=password, ssl_context=context, mechanism=mechanism)


def oauth_credentials(fetch: Callable[[], str], context: ssl.SSLContext | None) -> OAuthCredentials:
    """Return a login by tokens; an OSError of `fetch` makes aiokafka try again. With a TLS context the protocol is SASL_SSL."""
    return OAuthCredentials(oauth_cb=_TokenProvider(fetch), ssl_context=context)


def tls_credentials(context: ssl.SSLContext) -> SSLCredentials:
    """Return TLS without a login."""
    return SSLCredentials(context)
