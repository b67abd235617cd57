"""Where storage may connect to: tenants supply endpoints, so each address is judged at the moment of connecting."""

import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from schemas.errors import ErrorCode, PermanentError
from storage.exchange_watch import WATCH

MAX_ADDRESSES: Final = 3
"""Of one host, that are tried one after another: each may cost a whole connect timeout."""
_HOLD_IPV4: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
"""Forms of IPv6 addresses that end with the IPv4 address that they lead to: NAT64, compatible, translated."""
_NOT_PUBLIC: Final = tuple(
    map(ipaddress.ip_network, ("64:ff9b:1::/48", "fec0::/10", "5f00::/16", "192.88.99.0/24", "168.63.129.16/32"))
)
"""What Python takes for global, but leads to somewhere near: local NAT64, site-local, relays, a cloud's own host."""


class EndpointRefusedError(PermanentError):
    """The operator's policy does not let storage connect there; a person changes the endpoint or the policy."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.STORAGE_DENIED, message)


@dataclass(frozen=True)
class HttpLimits:
    """Of one connection's HTTP client. The read timeout is between two bytes; storage.exchange_watch bounds the whole."""

    max_connections: int = 10
    connect_timeout_s: float = 3.0
    read_timeout_s: float = 10.0


@dataclass(frozen=True)
class EndpointPolicy:
    """Public addresses by https only, but for what the operator allows: then also these networks, and plain http."""

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_http: bool = False

    def check_url(self, url: str) -> str:
        """`url`, when its form is allowed; its host is judged by address when it is connected to.

        Raises EndpointRefusedError.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as exc:
            raise EndpointRefusedError("The endpoint is not a URL.") from exc
        if parts.scheme != "https" and not (parts.scheme == "http" and self.allow_http):
            raise EndpointRefusedError(
                "The endpoint must begin with https:// (STORAGE_ALLOW_HTTP also allows http://)."
            )
        if not host or parts.username is not None or "?" in url or "#" in url:
            raise EndpointRefusedError("The endpoint must be a URL with a host, without a user, query or fragment.")
        with suppress(ValueError):  # a name: what it stands for is asked at each connection
            self.check_address(host, host)
        return url

    def check_address(self, address: str, host: str) -> None:
        """Raise EndpointRefusedError when storage may not connect to `address`, ValueError when it is none."""
        found = _meant(ipaddress.ip_address(address.partition("%")[0]))
        if any(found in network for network in self.allowed_networks):
            return
        if not found.is_global or found.is_multicast or any(found in network for network in _NOT_PUBLIC):
            raise EndpointRefusedError(
                f"The endpoint {host[:80]!r} is at {found}, which is not public; STORAGE_ALLOWED_NETWORKS may allow it."
            )


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address of a translation scheme leads to, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _HOLD_IPV4) and int(address) > 1:  # ::1 is itself
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def guarded_pools(
    policy: EndpointPolicy,
    http: type[HTTPConnectionPool] = HTTPConnectionPool,
    https: type[HTTPConnectionPool] = HTTPSConnectionPool,
) -> dict[str, type[HTTPConnectionPool]]:
    """Pool classes by scheme, for `pool_classes_by_scheme` of a urllib3 PoolManager, that keep to `policy`."""
    return {
        scheme: type("GuardedPool", (pool,), {"ConnectionCls": _guarded(pool.ConnectionCls, policy)})
        for scheme, pool in (("http", http), ("https", https))
    }


def _guarded(base: Any, policy: EndpointPolicy) -> type[HTTPConnection | HTTPSConnection]:
    """A connection that resolves its host itself, and connects to an address that it has judged.

    Nothing is resolved again in between, so a name cannot change its meaning (DNS rebinding), and a redirect is
    connected to by such a connection, too. An exchange that lasts too long is ended: see storage.exchange_watch.
    """

    class Guarded(base):  # type: ignore[misc]  # the base is chosen when running
        def connect(self) -> None:
            super().connect()
            WATCH.begin(cast(HTTPConnection, self).sock)

        def request(self, *args: Any, **kwargs: Any) -> None:
            connected = cast(HTTPConnection, self).sock
            if connected is not None:  # else connect() follows
                WATCH.begin(connected)
            super().request(*args, **kwargs)

        def _new_conn(self) -> socket.socket:
            connection = cast(HTTPConnection, self)
            name = connection._dns_host  # noqa: SLF001 - where urllib3 itself keeps what is to be resolved
            failure: HTTPError = NewConnectionError(connection, f"{name!r} has no address")
            for address in _allowed_addresses(connection, name, policy):
                connection.host = address
                try:
                    return cast(socket.socket, super()._new_conn())
                except HTTPError as exc:
                    failure = exc
                finally:
                    connection.host = name
            raise failure

    return Guarded


def _allowed_addresses(connection: HTTPConnection, name: str, policy: EndpointPolicy) -> list[str]:
    host = name.strip("[]")
    try:
        found = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        raise NameResolutionError(host, connection, socket.gaierror(str(exc))) from exc
    addresses = [str(entry[4][0]) for entry in found][:MAX_ADDRESSES]
    for address in addresses:
        policy.check_address(address, host)
    return addresses


def tls_context(ca_pem: str | None) -> ssl.SSLContext:
    """A verifying context that trusts the usual authorities, and `ca_pem` beside them.

    Raises PermanentError storage.denied for what is no certificate.
    """
    context = create_urllib3_context()
    if ca_pem:
        try:
            context.load_verify_locations(cadata=ca_pem)
        except (ssl.SSLError, ValueError) as exc:
            message = "The connection's own CA certificate is not one in PEM form."
            raise PermanentError(ErrorCode.STORAGE_DENIED, message) from exc
    return context


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, policy: EndpointPolicy, context: ssl.SSLContext, max_connections: int) -> None:
        self._policy: Final = policy
        self._context: Final = context
        super().__init__(pool_connections=4, pool_maxsize=max_connections, pool_block=True)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:  # noqa: FBT001, FBT002, RUF100 - requests' own signature
        """As requests', with our TLS context and our connections."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = guarded_pools(self._policy)


def guarded_session(
    policy: EndpointPolicy, *, ca_pem: str | None = None, max_connections: int = 10
) -> requests.Session:
    """A requests session for several threads that keeps to `policy` at every hop, and uses no proxy and no .netrc.

    What is refused raises EndpointRefusedError, or requests' InvalidSchema for a redirect to a forbidden scheme.
    """
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 3
    session.adapters.clear()
    adapter = _GuardedAdapter(policy, tls_context(ca_pem), max_connections)
    session.mount("https://", adapter)
    if policy.allow_http:
        session.mount("http://", adapter)
    return session
