"""Who may see the page: hosts, tokens, sessions, and proof that a request comes from the page itself."""

import hmac
import ipaddress
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

MIN_TOKEN_CHARS: Final = 16
SESSION_COOKIE: Final = "thumbnails_session"
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to `host`."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def access_problem(host: str, token: str | None) -> str | None:
    """Return why the page must not be served like this, as a sentence; None when it may."""
    if token is None:
        if is_loopback(host):
            return None
        return f"On {host} others can reach the page: set WEB_TOKEN (at least {MIN_TOKEN_CHARS} characters), or use 127.0.0.1."
    if len(token) < MIN_TOKEN_CHARS or not token.isascii() or not token.isprintable():
        return (
            f"WEB_TOKEN needs at least {MIN_TOKEN_CHARS} printable ASCII characters: `openssl rand -hex 16` makes one."
        )
    return None


@dataclass(frozen=True)
class Access:
    """The conditions for every request. `token` is None where only this machine can connect."""

    host: str
    token: str | None
    allowed_hosts: tuple[str, ...] = ()
    csrf_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def session(self) -> str:
        """Return the cookie of a visitor who gave the token: derived from it, without revealing it."""
        return hmac.digest((self.token or "").encode(), b"thumbnails web session", "sha256").hex()

    def is_known_host(self, header: str | None) -> bool:
        """Return whether a Host header is allowed. A name that an attacker lets point here (DNS rebinding) is not.

        An address cannot be let point anywhere, so that every one is good where the page listens for others.
        """
        name = _host_name(header)
        if name is None:
            return False
        if name in _LOCAL_NAMES or name == self.host.lower() or name in map(str.lower, self.allowed_hosts):
            return True
        return _address(name) is not None and not is_loopback(self.host)

    def is_token(self, given: str) -> bool:
        """Return whether this is the token; takes as long for every wrong one of its length."""
        return self.token is not None and _same(given, self.token)

    def may_see(self, cookies: Mapping[str, str], authorization: str | None) -> bool:
        """Return whether a visitor has shown the token: by a session's cookie, or as `Authorization: Bearer TOKEN`."""
        if self.token is None:
            return True
        scheme, _, given = (authorization or "").partition(" ")
        by_cookie = _same(cookies.get(SESSION_COOKIE, ""), self.session)
        return by_cookie or (scheme.lower() == "bearer" and self.is_token(given.strip()))

    def is_same_origin(self, origin: str | None, host: str | None) -> bool:
        """Return whether a browser sent the request from a page of this server: every browser says so in a POST's Origin."""
        if not origin or not host:
            return False
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()

    def is_csrf_token(self, given: str | None) -> bool:
        """Return whether the request has the secret that only the page was given."""
        return _same(given or "", self.csrf_token)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _host_name(header: str | None) -> str | None:
    """Return the name or address in a Host header, without port and brackets."""
    try:
        parts = urlsplit(f"//{header or ''}")
        _ = parts.port  # raises for what is no number
    except ValueError:
        return None
    return parts.hostname if parts.netloc == (header or "") and "@" not in parts.netloc else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def content_policy(image_origins: Iterable[str]) -> str:
    """Return the Content-Security-Policy: our own files, pictures of the given storages, and nothing written into the page."""
    images = " ".join(["'self'", *sorted(image_origins)])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"img-src {images}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
