"""Ask the roles for their metrics and readiness, all endpoints at once."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S: Final = 3.0
MAX_ANSWER_BYTES: Final = 8 * 1024**2
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class RoleState:
    """One process, or why it does not answer. `samples` are its metrics: name and labels to value."""

    url: str
    problem: str | None = None
    role: str | None = None
    version: str | None = None
    health: dict[str, Any] = field(default_factory=dict)
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all labels that are not given."""
        wanted = set(labels.items())
        return sum(value for (found, pairs), value in self.samples.items() if found == name and wanted <= set(pairs))

    @property
    def down(self) -> list[str]:
        """Return which of its dependencies do not answer."""
        return sorted(
            dict(pairs)["dependency"]
            for (name, pairs), value in self.samples.items()
            if name == "thumbnail_dependency_up" and value == 0
        )


def ask_roles(urls: Sequence[str]) -> list[RoleState]:
    """Ask each endpoint and return the states in the order of `urls`; takes two timeouts at most, and raises nothing."""
    if not urls:
        return []
    with ThreadPoolExecutor(min(len(urls), 16)) as pool:
        return list(pool.map(_ask, urls))


def metrics_url(text: str) -> str:
    """Return the whole URL of what an operator may write shorter: worker:8080, or http://worker:8080."""
    url = text if "://" in text else f"http://{text}"
    return url if url.rstrip("/").endswith("/metrics") else f"{url.rstrip('/')}/metrics"


def metrics_urls(text: str | None) -> list[str]:
    """Return the URLs of what an operator writes with commas between."""
    return [metrics_url(part.strip()) for part in (text or "").split(",") if part.strip()]


def _ask(url: str) -> RoleState:
    try:
        samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
            for family in text_string_to_metric_families(_get(url).decode())
            for sample in family.samples
        }
    except (OSError, HTTPException, ValueError) as exc:
        reason = getattr(exc, "reason", None) or exc
        words = getattr(reason, "strerror", None) or reason
        return RoleState(url, problem=f"it does not answer: {words}")
    info = next((dict(pairs) for name, pairs in samples if name == "thumbnail_role_info"), None)
    if info is None:
        return RoleState(url, problem="what answers is none of our roles")
    return RoleState(url, None, info.get("role"), info.get("version"), _health(url), samples)


def _health(url: str) -> dict[str, Any]:
    """Return what /health/ready says beside /metrics; empty where it is kept from us."""
    try:
        found = json.loads(_get(url.rstrip("/").removesuffix("/metrics") + "/health/ready"))
    except (OSError, HTTPException, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _get(url: str) -> bytes:
    request = urllib.request.Request(url)  # noqa: S310 - the operator's own URL, and only http is opened below
    if request.type not in ("http", "https"):
        raise ValueError(f"{url} is no http URL")
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read(MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 503:  # how a role says that it is not ready
                return bytes(error.read(MAX_ANSWER_BYTES))
        raise
