"""What operators look at, on the real roles and a real Prometheus: a metric that is renamed breaks this."""

import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import missing
from tests.servers import postgres as postgres_service
from tests.servers.prometheus import PROMETHEUS_FOLDER, Prometheus
from tests.system.stack import Stack, a_stack
from tests.system.test_health import get, port_of

ROOT = PROMETHEUS_FOLDER.parents[1]
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
ONLY_IN_TROUBLE = (
    "thumbnail_breaker_waiting_total",
    "thumbnail_redelivered_total",
    "thumbnail_slot_restarts_total",
    "thumbnail_fallbacks_total",
)
"""Their labels come with the first trouble; until then a role exports their names alone."""
OF_PROMETHEUS = {
    "up",
    "ALERTS",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
}


def rules() -> list[dict[str, Any]]:
    paths = sorted((PROMETHEUS_FOLDER / "rules").glob("*.yml"))
    return [rule for path in paths for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def dashboard_queries() -> list[str]:
    panels = json.loads((ROOT / "deploy/grafana/dashboards/thumbnails.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [query.replace("$__rate_interval", "1m") for query in queries]


def names_in(expression: str) -> set[str]:
    """The metrics that an expression asks for, as they are declared."""
    words = set(re.findall(r"\b(?:thumbnail[_:]\w+(?::\w+)*|process_\w+|up|ALERTS)\b", expression))
    return {re.sub(r"_(bucket|count)$", "", word) for word in words}


def documented(role: str) -> set[str]:
    rows = re.findall(
        r"^\| `(\w+)` \| \w+ \| [^|]+ \| ([^|]+) \|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    return {name for name, roles in rows if role in roles.split(", ")}


def exported(stack: Stack, role: str) -> set[str]:
    text = get(stack.supervisor.of(role)[0], "/metrics")[1]
    return {
        name for name in re.findall(r"^# TYPE (thumbnail_\w+)", text, re.MULTILINE) if not name.endswith("_created")
    }


@pytest.fixture(scope="module")
def watched(
    kafka: str, postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Prometheus]]:
    """The three roles after an upload that became visible, one that failed and one that waits for its retry."""
    if shutil.which("prometheus") is None:
        missing("No prometheus: install Debian's package of that name.")
    folder = tmp_path_factory.mktemp("watched")
    url = postgres_service.new_database(postgres_server)
    with a_stack(kafka, url, f"t-{uuid.uuid4().hex[:8]}.", folder, RETRY_DELAYS_S="600") as stack:
        targets = {role.name: [port_of(role)] for role in stack.supervisor.roles}
        prometheus = Prometheus(folder, targets)
        prometheus.start()
        try:
            publish_some(stack)
            yield stack, prometheus
        finally:
            prometheus.stop()


def publish_some(stack: Stack) -> None:
    platform = stack.platform
    platform.add_rows(range(1, 4))
    good, bad = platform.upload(1, "video"), platform.upload(2, "video", sound=False)
    absent = json.loads(json.dumps(good.event)) | {"event_id": "absent"}
    absent["media"] |= {"id": 3, "key": "acme/uploads/nothing.mp4"}
    trace: Any = [("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01".encode())]
    topic = f"{platform.topic_prefix}media.uploaded"
    platform._producer.produce(topic, key=good.record_key, value=json.dumps(good.event), headers=trace)
    platform.publish([bad])
    platform.publish_raw(json.dumps(absent).encode(), "video:3")
    stack.wait_for(lambda: not platform.problems())


def until(what: Any, timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return found


@pytest.mark.parametrize("role", ["worker", "persist", "retry"])
def test_each_role_exports_what_the_documentation_says_and_nothing_else(
    watched: tuple[Stack, Prometheus], role: str
) -> None:
    assert exported(watched[0], role) == documented(role)


def test_every_query_of_the_dashboard_returns_data(watched: tuple[Stack, Prometheus]) -> None:
    _, prometheus = watched
    unanswered = set(dashboard_queries())

    def ask() -> bool:
        unanswered.difference_update([query for query in unanswered if prometheus.query(query)])
        return all(names_in(query) & set(ONLY_IN_TROUBLE) for query in unanswered)

    try:
        until(ask, 45)
    except AssertionError:
        assert sorted(unanswered) == []


def test_queries_and_alerts_ask_for_nothing_that_no_role_exports(watched: tuple[Stack, Prometheus]) -> None:
    stack, prometheus = watched
    there = exported(stack, "worker") | exported(stack, "persist") | exported(stack, "retry") | OF_PROMETHEUS
    there |= documented("ingest")  # which only some installations have
    there |= {rule["record"] for rule in rules() if "record" in rule}
    for expression in [rule["expr"] for rule in rules()] + dashboard_queries():
        assert names_in(expression), expression
        assert names_in(expression) - there == set(), expression
        prometheus.query(expression)  # a refused expression raises


def test_nothing_fires_while_all_is_well(watched: tuple[Stack, Prometheus]) -> None:
    _, prometheus = watched
    until(lambda: len(prometheus.query("up == 1")) == 3)
    assert prometheus.query('ALERTS{alertstate="firing"}') == []


def test_lag_and_waiting_retries_and_dead_letters_are_told(watched: tuple[Stack, Prometheus]) -> None:
    _, prometheus = watched
    until(lambda: prometheus.query('sum(thumbnail_retries_waiting{tier="1"}) == 1'))
    until(lambda: prometheus.query("thumbnail_next_retry_due_timestamp_seconds - time() > 300"))
    until(
        lambda: prometheus.query("thumbnail_dead_letters_waiting == 1 and thumbnail_oldest_dead_letter_age_seconds > 0")
    )
    until(lambda: prometheus.query('thumbnail_consumer_lag_records{topic="media.uploaded"} == 0'))
    until(lambda: prometheus.query('thumbnail_consumer_lag_seconds{topic="thumbnail.ready"} == 0'))
    assert len(prometheus.query("thumbnail_dependency_up == 1")) == 6


@pytest.mark.parametrize("metric", ["thumbnail_upload_to_ready_seconds", "thumbnail_upload_to_visible_seconds"])
def test_a_latency_leads_to_the_trace_of_its_upload(watched: tuple[Stack, Prometheus], metric: str) -> None:
    found = until(lambda: watched[1].exemplars(f"{metric}_bucket"))
    assert TRACE_ID in {exemplar["labels"]["trace_id"] for exemplar in found}
