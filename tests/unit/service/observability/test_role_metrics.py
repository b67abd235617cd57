"""A role's own signs: dependencies that come and go, lag by topic, and a port that is taken."""

import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from schemas.metrics import ALL_ROLES, Metrics, Role
from schemas.topics import Topics
from service.observability.observations import Observation
from service.observability.role_metrics import _LagGauges
from service.roles.checks import check_http_port
from service.roles.http import HttpServer
from service.settings import HttpSettings
from streams.kafka.lag import Head, PartitionLag


class Dependency:
    def __init__(self) -> None:
        self.works = True
        self.now = 0.0
        self.seen = Observation("database", self._ask, every_s=5, patience_s=15, clock=lambda: self.now)

    def is_up(self) -> bool:
        return self.seen.is_up

    def _ask(self) -> None:
        if not self.works:
            raise OSError("refused")


def test_a_dependency_is_down_when_it_refuses_and_up_when_it_answers_again() -> None:
    dependency = Dependency()
    assert dependency.is_up()
    dependency.works = False
    dependency.seen.look_once()
    assert not dependency.is_up()
    dependency.works = True
    dependency.seen.look_once()
    assert dependency.is_up()


def test_a_dependency_that_does_not_even_refuse_is_down_in_the_end() -> None:
    dependency = Dependency()
    dependency.seen.look_once()
    dependency.now = 19
    assert dependency.is_up()
    dependency.now = 21
    assert not dependency.is_up()


def test_an_observation_looks_again_and_again_until_it_is_stopped() -> None:
    enough, looks = threading.Event(), iter(range(3))

    def look() -> None:
        if next(looks, None) is None:
            enough.set()

    observation = Observation("kafka", look, every_s=0.001)
    observation.start()
    assert enough.wait(10)
    observation.stop()


def test_lag_is_told_by_topic_without_the_prefix_and_ends_with_the_partition() -> None:
    metrics = Metrics()
    gauges, value = _LagGauges(metrics, Topics("p.")), metrics.registry.get_sample_value
    topic = {"topic": "media.uploaded"}
    old, new = PartitionLag(3, Head(7, 1_000_000)), PartitionLag(2, Head(9, 2_000_000_000_000))
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
