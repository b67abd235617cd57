"""Fetch tokens for OAUTHBEARER by OAuth 2.0 client credentials, and say in one sentence why there is none."""

import json
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from ssl import SSLContext
from threading import Lock
from typing import Any, Final
from urllib.parse import quote_plus

import urllib3

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 10.0
RENEW_AFTER: Final = 0.8
"""The share of its life after which a token is not used for a new connection, as in librdkafka."""

_REFUSED: Final = frozenset({400, 401, 403})
_OF_THE_SCOPE: Final = "invalid_scope"


class TokenError(ConnectionError):
    """There is no token; the message says why and what to do. aiokafka tries again after errors of connections."""


@dataclass(frozen=True)
class Client:
    """Who asks the token endpoint."""

    id: str
    secret: str = field(repr=False)
    scope: str | None = None


class TokenSource:
    """Has a token at any time; threads may share it."""

    def __init__(
        self, url: str, client: Client, context: SSLContext, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url: Final = url
        self._client: Final = client
        self._clock: Final = clock
        self._http: Final = urllib3.PoolManager(ssl_context=context, retries=False)
        self._lock: Final = Lock()
        self._token = ""
        self._good_until = 0.0

    def token(self) -> str:
        """Return a token that has a part of its life before it. Raises TokenError."""
        with self._lock:
            asked = self._clock()
            if not self._token or asked >= self._good_until:
                self._token, lives_s = self._fetch()
                self._good_until = asked + RENEW_AFTER * lives_s
            return self._token

    def _fetch(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials"}
        if self._client.scope is not None:
            form["scope"] = self._client.scope
        # RFC 6749, 2.3.1: encoded as in a form, and then joined; a colon in the name would end it otherwise.
        login = b64encode(f"{quote_plus(self._client.id)}:{quote_plus(self._client.secret)}".encode()).decode()
        try:
            answer = self._http.request(
                "POST",
                self._url,
                fields=form,
                encode_multipart=False,
                headers={"Authorization": f"Basic {login}", "Accept": "application/json"},
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=ANSWER_TIMEOUT_S),
                redirect=False,
            )
        except urllib3.exceptions.SSLError as exc:
            raise TokenError(
                f"The certificate of KAFKA_OAUTH_TOKEN_URL={self._url} is not accepted ({exc.args[0]}):"
                " set KAFKA_OAUTH_CA_FILE to its authority's certificate, or renew it there."
            ) from exc
        except urllib3.exceptions.ReadTimeoutError as exc:
            raise TokenError(
                f"KAFKA_OAUTH_TOKEN_URL={self._url} gives no token within {ANSWER_TIMEOUT_S:.0f} s: look at that server."
            ) from exc
        except urllib3.exceptions.HTTPError as exc:
            raise TokenError(
                f"No token server answers at KAFKA_OAUTH_TOKEN_URL={self._url}: start it, or correct the address."
            ) from exc
        content = _object(answer.data)
        if answer.status in _REFUSED:
            raise TokenError(self._refusal(content))
        token = content.get("access_token")
        if answer.status != 200 or not isinstance(token, str) or not token:
            raise TokenError(
                f"KAFKA_OAUTH_TOKEN_URL={self._url} answers with status {answer.status} and no access_token:"
                " give the address of its token endpoint, or look at that server."
            )
        lives_s = content.get("expires_in")
        return token, float(lives_s) if isinstance(lives_s, int | float) else 0.0

    def _refusal(self, content: dict[str, Any]) -> str:
        # Only the code that the protocol defines: a description may repeat what was sent.
        reason = str(content.get("error", "no reason given"))[:40]
        if reason == _OF_THE_SCOPE:
            return f"KAFKA_OAUTH_TOKEN_URL={self._url} refuses KAFKA_OAUTH_SCOPE={self._client.scope}: correct it."
        return (
            f"KAFKA_OAUTH_TOKEN_URL={self._url} refuses KAFKA_OAUTH_CLIENT_ID={self._client.id} with this"
            f" KAFKA_OAUTH_CLIENT_SECRET ({reason}): correct them."
        )


def _object(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
