"""A role's own signs: dependencies that come and go, lag by topic, and a port that is taken."""

import socket
import urllib.request
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from schemas.metrics import ALL_ROLES, Metrics, Role
from schemas.topics import Topics
from service.observability.role_metrics import LoggedOnce, _LagGauges
from service.roles.checks import check_http_port
from service.roles.http import HttpServer
from service.settings import HttpSettings
from streams.kafka.lag import PartitionLag
from streams.kafka.records import InboundRecord


def test_an_observation_that_fails_is_logged_once_and_once_when_it_works_again() -> None:
    problems: list[Exception | None] = [None, OSError("refused"), OSError("refused"), None, None]

    def look() -> None:
        problem = problems.pop(0)
        if problem is not None:
            raise problem

    observation = LoggedOnce("consumer lag", look)
    with capture_logs() as logs:
        for _ in range(5):
            observation()
    assert [(entry["event"], entry.get("reason")) for entry in logs] == [
        ("observation_failed", "OSError: refused"),
        ("observation_works_again", None),
    ]


def head(offset: int, timestamp_ms: int) -> InboundRecord:
    return InboundRecord("p.media.uploaded", 0, offset, timestamp_ms, None, None, ())


def test_lag_is_shown_by_topic_without_the_prefix_and_ends_with_the_partition() -> None:
    metrics = Metrics()
    gauges, value = _LagGauges(metrics, Topics("p.")), metrics.registry.get_sample_value
    topic = {"topic": "media.uploaded"}
    old, new = PartitionLag(3, head(7, 1_000_000)), PartitionLag(2, head(9, 2_000_000_000_000))
    gauges.show(
        {("p.media.uploaded", 0): old, ("p.media.uploaded", 1): new, ("p.thumbnail.due", 0): PartitionLag(0, None)}
    )
    assert value("thumbnail_consumer_lag_records", topic) == 5
    assert (value("thumbnail_consumer_lag_seconds", topic) or 0) > 1e9, "the age of the oldest"
    assert value("thumbnail_consumer_lag_seconds", {"topic": "thumbnail.due"}) == 0
    gauges.show({})
    assert value("thumbnail_consumer_lag_records", topic) == 0
    assert value("thumbnail_consumer_lag_seconds", topic) == 0


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_told_in_one_sentence_that_names_the_setting(taken_port: int) -> None:
    result = check_http_port(HttpSettings(http_host="127.0.0.1", http_port=taken_port))
    assert result.name == f"HTTP_PORT {taken_port}"
    assert "set another HTTP_PORT" in (result.problem or "")
    assert check_http_port(HttpSettings(http_host="127.0.0.1", http_port=0)).problem is None


@pytest.mark.parametrize(
    ("accept", "expected", "has_exemplars"),
    [
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0", True),
        ("text/plain", "text/plain; version=0.0.4", False),
    ],
)
def test_openmetrics_is_served_to_who_asks_for_it(accept: str, expected: str, has_exemplars: bool) -> None:
    metrics = Metrics()
    metrics.upload_to_ready_seconds.observe(0.3, {"trace_id": "a" * 32})
    server = HttpServer("127.0.0.1", 0, metrics.registry, live=dict, ready=dict)
    server.start()
    try:
        asked = urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310 - our own server
            assert answer.headers["Content-Type"].startswith(expected)
            assert (b'# {trace_id="aaaa' in answer.read()) is has_exemplars
    finally:
        server.stop()


@pytest.mark.parametrize("role", ALL_ROLES)
def test_a_role_exports_only_its_own(role: Role) -> None:
    metrics = Metrics(role=role)
    exported = {f.name for f in metrics.registry.collect()}
    assert exported == {name.removesuffix("_total") for name, roles in metrics.roles.items() if role in roles}
