"""The test servers of a checkout: the installed package has none, and nothing in it imports them by name.

`thumbnails demo` uses them for Apache Kafka, MinIO and the Yandex Disk double.
"""

import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol, cast

from service.demo.broker import LocalKafka
from service.demo.processes import NoServerError

_ROOT: Final = Path(__file__).parents[2]
_MODULE: Final = "tests.servers.demo"


class S3Access(Protocol):
    """An S3 server, and the keys of its owner."""

    @property
    def endpoint_url(self) -> str:
        """Return the server's URL."""

    @property
    def access_key(self) -> str:
        """Return the owner's access key."""

    @property
    def secret_key(self) -> str:
        """Return the owner's secret key."""


class CheckoutServers(Protocol):
    """The functions of the module `tests.servers.demo`. Its servers end with their `with`."""

    def apache_kafka(self) -> LocalKafka | None:
        """Return Apache Kafka from its jars or in a container, not yet started; None without Java and Docker."""

    def minio(self, bucket: str, say: Callable[[str], None]) -> AbstractContextManager[S3Access]:
        """Start MinIO with a bucket that everybody may read; `say` reports a build. Raises NoServerError."""

    def yandex_disk(self, tokens: list[str]) -> AbstractContextManager[str]:
        """Start a double of Yandex Disk with a disk for each token; return the URL of its API."""


def checkout_servers() -> CheckoutServers | None:
    """Return the checkout's test servers, or None where this is an installed package."""
    if not (_ROOT / "pyproject.toml").is_file() or not (_ROOT / "tests" / "servers" / "demo.py").is_file():
        return None
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))  # before any package named `tests` that a dependency installed
    return cast(CheckoutServers, importlib.import_module(_MODULE))


def require_servers(provider: str) -> CheckoutServers:
    """Return the checkout's test servers for `provider`. Raises NoServerError in an installed package."""
    servers = checkout_servers()
    if servers is None:
        raise NoServerError(
            f"--providers {provider} needs a test server that only a checkout of the project has: "
            "run `thumbnails demo` there, or choose --providers local."
        )
    return servers
