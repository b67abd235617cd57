"""Where storage may connect to, and for how long: tenants supply endpoints, so each address is checked when connecting."""

import ipaddress
import math
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from queue import Empty, SimpleQueue
from typing import Any, Final, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from schemas.errors import ErrorCode, PermanentError

MAX_EXCHANGE_S: Final = 60.0
"""The longest time of one request with its whole answer. Idle connections that are this old are ended too, and made again at need."""
MAX_RETRY_AFTER_S: Final = 3600.0
"""The longest wait that a store may ask for: it must not park a tenant's events for days."""
MAX_ADDRESSES: Final = 3
"""The most addresses of one host that are tried, one after another: each may cost a whole connect timeout."""
_HOLD_IPV4: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
"""Forms of IPv6 addresses that end with the IPv4 address that they lead to: NAT64, compatible, translated."""
_OF_CLOUDS: Final = (
    "192.0.0.0/24",  # 192.0.0.192 is Oracle Cloud's metadata; the block is IANA's for protocols (RFC 6890)
    "168.63.129.16/32",  # Azure's host: DNS, DHCP and its agent ("What is IP address 168.63.129.16?")
)
"""What clouds answer at and no table calls private. The others are link-local or private: 169.254.169.254 (Amazon, Google, Azure,
DigitalOcean, Hetzner, OpenStack), 169.254.170.2 (Amazon ECS), 100.100.100.200 (Alibaba), fd00:ec2::254 (Amazon), fd20:ce::254
(Google)."""
_NOT_PUBLIC: Final = tuple(
    map(ipaddress.ip_network, ("64:ff9b:1::/48", "fec0::/10", "5f00::/16", "192.88.99.0/24", *_OF_CLOUDS))
)
"""Networks that Python calls global, or did before 3.11.10, but that are near: local NAT64, site-local, relays, a cloud's own."""
LOOKUP_S: Final = 5.0
"""The longest time for finding a name's addresses; libc alone would wait for as long as its name servers are slow."""
MAX_LOOKUPS: Final = 64
"""Under way at once, those included that nobody waits for any more."""


class EndpointRefusedError(PermanentError):
    """The operator's policy does not let storage connect there; a person changes the endpoint or the policy."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.STORAGE_DENIED, message)


@dataclass(frozen=True)
class EndpointPolicy:
    """Public addresses by https only, but for what the operator allows: then also these networks, and plain http."""

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_http: bool = False

    def check_url(self, url: str) -> str:
        """Return `url` if its form is allowed; its host is checked by address at each connection.

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
        with suppress(ValueError):  # a name: it is resolved and checked at each connection
            self.check_address(host, host)
        return url

    def check_address(self, address: str, host: str) -> None:
        """Raise EndpointRefusedError if storage may not connect to `address`, ValueError if it is no address."""
        found = _meant(ipaddress.ip_address(address.partition("%")[0]))
        if any(found in network for network in self.allowed_networks):
            return
        if not found.is_global or found.is_multicast or any(found in network for network in _NOT_PUBLIC):
            raise EndpointRefusedError(
                f"The endpoint {host[:80]!r} is at {found}, which is not public; STORAGE_ALLOWED_NETWORKS may allow it."
            )


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address of a translation scheme leads to, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _HOLD_IPV4) and int(address) > 1:  # ::1 is itself
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class ExchangeWatch:
    """Ends exchanges that trickle: a server that sends a byte now and then passes every timeout between two bytes.

    One thread, started with the first exchange, shuts the sockets of those that last too long.
    """

    def __init__(self, max_s: float = MAX_EXCHANGE_S, scan_s: float = 1.0) -> None:
        self._max_s: Final = max_s
        self._scan_s: Final = scan_s
        # Sockets, not connections: a connection drops its socket when an answer is the last one on it.
        self._started: Final[WeakKeyDictionary[socket.socket, float]] = WeakKeyDictionary()
        self._lock: Final = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, connected: socket.socket) -> None:
        """Start the time of an exchange on this socket; the next one on it starts the time again."""
        with self._lock:
            self._started[connected] = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="exchange-watch", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while True:
            time.sleep(self._scan_s)
            before = time.monotonic() - self._max_s
            with self._lock:
                late = [connected for connected, started in self._started.items() if started < before]
                for connected in late:
                    del self._started[connected]
            for connected in late:
                with suppress(OSError):  # it has ended by itself
                    # The plain socket's method: SSLSocket's own would remove state that the reading thread uses.
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)


WATCH: Final = ExchangeWatch()
"""One for the process; its thread wakes once a second."""


def guarded_pools(
    policy: EndpointPolicy,
    http: type[HTTPConnectionPool] = HTTPConnectionPool,
    https: type[HTTPConnectionPool] = HTTPSConnectionPool,
) -> dict[str, type[HTTPConnectionPool]]:
    """Return pool classes by scheme, for `pool_classes_by_scheme` of a urllib3 PoolManager, that keep to `policy`."""
    return {
        scheme: type("GuardedPool", (pool,), {"ConnectionCls": _guarded(pool.ConnectionCls, policy)})
        for scheme, pool in (("http", http), ("https", https))
    }


def _guarded(base: Any, policy: EndpointPolicy) -> type[HTTPConnection | HTTPSConnection]:
    """Return a connection class that resolves its host itself and connects to an address that it has checked.

    Nothing is resolved again in between, so a name cannot change its meaning (DNS rebinding), and a redirect is
    connected to by such a connection, too. An exchange that lasts too long is ended: see ExchangeWatch.
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
        addresses = LOOKUPS.find(host, connection.port)[:MAX_ADDRESSES]
    except (socket.gaierror, UnicodeError) as exc:
        raise NameResolutionError(host, connection, socket.gaierror(str(exc))) from exc
    for address in addresses:
        policy.check_address(address, host)
    return addresses


class NameLookups:
    """Finds the addresses of names, in a bounded time: a company's slow name server must not hold a worker's turn.

    libc cannot be interrupted. A lookup that is late goes on in its thread, which ends when libc gives up.
    """

    def __init__(self, most_s: float = LOOKUP_S, most_at_once: int = MAX_LOOKUPS) -> None:
        self._most_s: Final = most_s
        self._free: Final = threading.Semaphore(most_at_once)

    def find(self, host: str, port: int | None) -> list[str]:
        """Return a host's addresses, the best first. Raises socket.gaierror, and UnicodeError for what is no name."""
        if not self._free.acquire(blocking=False):
            raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up; name servers may be slow")
        found: SimpleQueue[list[str] | OSError | UnicodeError] = SimpleQueue()
        try:
            threading.Thread(target=self._find, args=(host, port, found), name="name-lookup", daemon=True).start()
        except RuntimeError as exc:  # the system lets this process have no more threads
            self._free.release()
            raise socket.gaierror(socket.EAI_AGAIN, "no thread could be started for the lookup") from exc
        try:
            answer = found.get(timeout=self._most_s)
        except Empty:
            message = f"its name server did not answer within {self._most_s:g} s"
            raise socket.gaierror(socket.EAI_AGAIN, message) from None
        if isinstance(answer, list):
            return answer
        raise answer

    def _find(self, host: str, port: int | None, found: "SimpleQueue[list[str] | OSError | UnicodeError]") -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put([str(entry[4][0]) for entry in entries])
        except (OSError, UnicodeError) as exc:
            found.put(exc)
        finally:
            self._free.release()


LOOKUPS: Final = NameLookups()


def tls_context(ca_pem: str | None) -> ssl.SSLContext:
    """Return a verifying context that trusts the usual authorities, and `ca_pem` beside them.

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
        """Do as requests does, with our TLS context and our connections."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = guarded_pools(self._policy)


def guarded_session(
    policy: EndpointPolicy, *, ca_pem: str | None = None, max_connections: int = 10
) -> requests.Session:
    """Return a requests session for several threads that keeps to `policy` at every hop, and uses no proxy and no .netrc.

    A refused request raises EndpointRefusedError, or requests' InvalidSchema for a redirect to a forbidden scheme.
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


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or as a date; None for anything else."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER_S) if math.isfinite(seconds) else None
