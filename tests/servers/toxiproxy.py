"""A proxy that cuts, slows and mangles connections on request: Shopify's Toxiproxy, ours or a given one on this machine."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

import requests

from service.demo.processes import end_process, free_port, owned_folder, owned_process
from tests.servers.go_tool import GoTool, NoToolError, find_go

TOXIPROXY: Final = GoTool("toxiproxy-server", "github.com/Shopify/toxiproxy/v2/cmd/server", "v2.5.0")
START_TIMEOUT_S: Final = 20.0

Direction = Literal["downstream", "upstream"]


class NoToxiproxyError(Exception):
    """No Toxiproxy can be had; the message says what to install."""


@dataclass(frozen=True)
class Latency:
    """Data arrive later, by `delay_ms` give or take `jitter_ms`."""

    delay_ms: int
    jitter_ms: int = 0

    def as_json(self) -> dict[str, Any]:
        return {"type": "latency", "attributes": {"latency": self.delay_ms, "jitter": self.jitter_ms}}


@dataclass(frozen=True)
class Bandwidth:
    """No more than so many kilobytes a second."""

    kb_s: int

    def as_json(self) -> dict[str, Any]:
        return {"type": "bandwidth", "attributes": {"rate": self.kb_s}}


@dataclass(frozen=True)
class SlowClose:
    """The end of a connection is passed on only after `delay_ms`."""

    delay_ms: int

    def as_json(self) -> dict[str, Any]:
        return {"type": "slow_close", "attributes": {"delay": self.delay_ms}}


@dataclass(frozen=True)
class ResetPeer:
    """The connection is reset `after_ms`; nothing passes until then."""

    after_ms: int = 0

    def as_json(self) -> dict[str, Any]:
        return {"type": "reset_peer", "attributes": {"timeout": self.after_ms}}


@dataclass(frozen=True)
class LimitData:
    """The connection is closed after this many bytes."""

    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        return {"type": "limit_data", "attributes": {"bytes": self.size_bytes}}


@dataclass(frozen=True)
class Timeout:
    """Nothing passes, and the connection is closed `after_ms`; 0 is never."""

    after_ms: int = 0

    def as_json(self) -> dict[str, Any]:
        return {"type": "timeout", "attributes": {"timeout": self.after_ms}}


Toxic = Latency | Bandwidth | SlowClose | ResetPeer | LimitData | Timeout


class _Api:
    """The server's HTTP interface; an answer that is an error is raised."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> requests.Response:
        answer = self._session.request(method, f"{self._url}{path}", json=body, timeout=5)
        answer.raise_for_status()
        return answer

    def close(self) -> None:
        self._session.close()


class Proxy:
    """One door to an upstream. Leaving its `with` removes it."""

    def __init__(self, api: _Api, name: str, address: str, scheme: str) -> None:
        self._api = api
        self._path = f"/proxies/{name}"
        self.address = address
        self.url = f"{scheme}://{address}"

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        self._api.ask("POST", self._path, {"enabled": False})

    def restore(self) -> None:
        """Take connections again, at the same address."""
        self._api.ask("POST", self._path, {"enabled": True})

    def add(self, toxic: Toxic, direction: Direction = "downstream") -> None:
        """From now on, for open connections, too; downstream is what the upstream answers. One of a kind a direction."""
        self._api.ask("POST", f"{self._path}/toxics", {**toxic.as_json(), "stream": direction, "toxicity": 1.0})

    def clear(self) -> None:
        """Remove every toxic."""
        for toxic in self._api.ask("GET", f"{self._path}/toxics").json():
            self._api.ask("DELETE", f"{self._path}/toxics/{toxic['name']}")

    def fetch(self, path: str) -> bytes:
        """All that one connection brings, headers included, for a plain GET."""
        host, _, port = self.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.address}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def remove(self) -> None:
        """Break every connection and forget the proxy."""
        self._api.ask("DELETE", self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()


class Toxiproxy:
    """A server for proxies: TOXIPROXY_URL, else a process of our own that dies with its owner."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """Builds the program if necessary and reports that. Raises NoToxiproxyError."""
        given = os.environ.get("TOXIPROXY_URL")
        self._port = free_port()
        self._api = _Api(given or f"http://127.0.0.1:{self._port}")
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._binary = None if given else TOXIPROXY.get(say)
        except NoToolError as exc:
            raise NoToxiproxyError(f"{exc} TOXIPROXY_URL may name one that runs.") from exc
        self._made = 0

    def start(self) -> None:
        """Return when it answers. Raises NoToxiproxyError."""
        if self._binary is not None:
            self.folder = owned_folder("thumbnails-toxiproxy-")
            command = [str(self._binary), "-host", "127.0.0.1", "-port", str(self._port)]
            self._process = owned_process(command, self.folder / "server.log", dict(os.environ))
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if time.monotonic() > deadline or (self._process is not None and self._process.poll() is not None):
                self.stop()
                raise NoToxiproxyError("Toxiproxy does not answer.")

    def _answers(self) -> bool:
        try:
            self._api.ask("GET", "/version")
        except requests.RequestException:
            time.sleep(0.05)
            return False
        return True

    def proxy(self, upstream: str) -> Proxy:
        """A new proxy on 127.0.0.1 to `upstream`: host:port, or a URL with both, whose scheme the proxy's URL has, too."""
        scheme, _, rest = upstream.rpartition("://")
        target = urlsplit(f"//{rest}").netloc.rpartition("@")[2]
        name, address = f"p{os.getpid()}-{self._made}", f"127.0.0.1:{free_port()}"
        self._made += 1
        self._api.ask("POST", "/proxies", {"name": name, "listen": address, "upstream": target, "enabled": True})
        return Proxy(self._api, name, address, scheme or "http")

    def stop(self) -> None:
        """End our own server with all its proxies."""
        self._api.close()
        process, self._process = self._process, None
        if process is not None:
            end_process(process)
            shutil.rmtree(self.folder, ignore_errors=True)


def describe_choice() -> str:
    """What Toxiproxy() will use, for the header of the run."""
    if os.environ.get("TOXIPROXY_URL"):
        return "given by TOXIPROXY_URL"
    if TOXIPROXY.find() is not None:
        return "its program"
    return f"{TOXIPROXY.version}, to be built with Go" if find_go() else "none"
