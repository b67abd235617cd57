"""Runs persist, retry or ingest as a process: prove its dependencies, serve health, work until SIGTERM, exit code 0 or 1.

The worker, in `worker_role.py`, begins and serves in the same way.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from schemas.metrics import Metrics, Role
from schemas.topics import ALL_TOPICS
from service.check_result import CheckResult
from service.dead_letters import recent_refusals
from service.exits import EXIT_FAILED, EXIT_OK
from service.kafka.check import check_kafka
from service.kafka.client_id import name_process
from service.kafka.topic_finder import TopicFinder
from service.kafka.topic_watch import TopicWatch
from service.observability.logs import configure_logs
from service.observability.role_metrics import RoleMetrics
from service.observability.traces import start_traces
from service.roles import build as bootstrap
from service.roles.build import IngestParts
from service.roles.checks import (
    check_database,
    check_http_port,
    check_ingest_port,
    check_notifications_topic,
    check_or_await,
    check_rules,
    check_tokens,
)
from service.roles.clock_watch import ClockWatch
from service.roles.health.dependencies import Dependency, Probe
from service.roles.health.liveness import LivenessInputs
from service.roles.health.probes import (
    database_dependency,
    database_probe,
    kafka_dependency,
    with_kafka_health,
)
from service.roles.health.role import RoleHealth
from service.roles.http import HttpServer
from service.setting_names import NAMES, misspelled
from service.settings import Settings
from streams.kafka.client import explain_fault
from streams.persist.limits import PersistStoppedError
from streams.stopping import end_after, end_at_once, on_stop_signal

log = structlog.get_logger(__name__)


class Waiting(Protocol):
    """Something that may wait for the cluster."""

    @property
    def problem(self) -> str | None:
        """Return why it waits, while it does."""


class LoopRole(Protocol):
    """A role with a polling loop of its own."""

    last_progress_at: float

    @property
    def cluster(self) -> Waiting:
        """Return what says why the role waits for the cluster, while it does."""

    def run(self) -> None:
        """Work until stop()."""

    def stop(self) -> None:
        """Ask run() to end."""


def run_persist_role(settings: Settings) -> int:
    """Run the persist role. Return exit code 1 when a dependency fails at start or a record cannot be sent.

    A database that is away at start is waited for, as one that goes away later.
    """
    metrics = begin(settings, "persist")
    lag = RoleMetrics(metrics, "persist")
    engine = bootstrap.build_engine(settings)
    kafka, http = settings.kafka, settings.http
    database = database_dependency()
    checks = [
        lambda: check_http_port(http),
        lambda: check_kafka(kafka),
        lambda: check_or_await(lambda: check_database(engine), database),
    ]
    if not proven(checks):
        return EXIT_FAILED
    group = bootstrap.persist_group(settings)
    with start_traces(settings.traces, "persist", group) as tracing:
        refused_before = recent_refusals(settings) if settings.persist.persist_max_refused else {}
        role = bootstrap.build_persist(settings, metrics, engine, tracing, refused_before)
        lag.observe_lag(kafka, group, lambda: role.owned, role.positions)
        prove = database_probe(engine, lambda: role.database_problem)
        return _run_loop(settings, role, lag, ((database, prove),))


def run_retry_role(settings: Settings) -> int:
    """Run the retry role. Return exit code 1 when Kafka fails at start or a record cannot be republished."""
    metrics = begin(settings, "retry")
    lag = RoleMetrics(metrics, "retry")
    if not proven([lambda: check_http_port(settings.http), lambda: check_kafka(settings.kafka)]):
        return EXIT_FAILED
    group = bootstrap.retry_group(settings)
    with start_traces(settings.traces, "retry", group) as tracing:
        role = bootstrap.build_retry(settings, metrics, tracing)
        lag.observe_retries(settings.kafka, group, role)
        return _run_loop(settings, role, lag)


def run_ingest_role(settings: Settings) -> int:
    """Run the ingest role. Return exit code 1 when rules or a dependency fail at start, or a record cannot be sent.

    The database is asked only where a rule looks rows up; one that is away at start is waited for.
    """
    metrics = begin(settings, "ingest")
    lag = RoleMetrics(metrics, "ingest")
    checked, rules = check_rules(settings.ingest.ingest_rules)
    kafka, database = settings.kafka, database_dependency()
    engine = bootstrap.build_engine(settings) if rules is not None and rules.look_up else None
    checks = [
        lambda: checked,
        lambda: check_notifications_topic(kafka),
        lambda: check_http_port(settings.http),
        lambda: check_kafka(kafka, with_notifications=True),
    ]
    if engine is not None:
        checks.append(lambda: check_or_await(lambda: check_database(engine), database))
    if not proven(checks) or rules is None:
        return EXIT_FAILED
    group = bootstrap.ingest_group(settings)
    with start_traces(settings.traces, "ingest", group) as tracing:
        role = bootstrap.build_ingest(settings, metrics, rules, engine, tracing)
        lag.observe_lag(kafka, group, lambda: role.owned, role.positions)
        probes = () if engine is None else ((database, database_probe(engine, lambda: role.database_problem)),)
        return _run_loop(settings, role, lag, probes, frozenset({kafka.topics.notifications}))


def run_ingest_http_role(settings: Settings) -> int:
    """Run the port for events by HTTP. Return exit code 1 when tokens, rules, the port or a dependency fail at start.

    Hooks of tusd are taken where there are rules, and the database is asked only where one of them looks rows up.
    """
    metrics = begin(settings, "ingest")
    lag = RoleMetrics(metrics, "ingest")
    chosen, kafka, database = settings.ingest_http, settings.kafka, database_dependency()
    path = settings.ingest.ingest_rules
    rules_checked, rules = check_rules(path) if path is not None else (None, None)
    tokens_checked, tokens = check_tokens(chosen)
    port_checked, listener = check_ingest_port(chosen)
    engine = bootstrap.build_engine(settings) if rules is not None and rules.look_up else None
    found = [result for result in (rules_checked, tokens_checked, port_checked) if result is not None]
    checks = [
        *(lambda result=result: result for result in found),
        lambda: check_http_port(settings.http),
        lambda: check_kafka(kafka),
    ]
    if engine is not None:
        checks.append(lambda: check_or_await(lambda: check_database(engine), database))
    if not proven(checks) or tokens is None or listener is None:
        return EXIT_FAILED
    role = bootstrap.build_ingest_http(settings, metrics, IngestParts(rules, engine, tokens, listener))
    probes = () if engine is None else ((database, database_probe(engine, lambda: None)),)
    log.info("ingest_listening", ingest_port=role.port)
    return _run_loop(settings, role, lag, probes)


def begin(settings: Settings, role: Role) -> Metrics:
    """Set up the role's logs and metrics, and its name for the brokers."""
    configure_logs(settings.log.log_format, settings.log.log_level, role=role)
    name_process(role)
    log.info("role_starting", pid=os.getpid(), settings=settings.redacted())
    for found in misspelled(os.environ, NAMES):
        log.warning("setting_unknown", name=found.name, meant=found.meant)
    return Metrics(role=role)


def proven(checks: list[Callable[[], CheckResult]]) -> bool:
    """Return whether all hold; those that do not are logged, and said once more in plain words to a person at a terminal."""
    failed = [result for result in (check() for check in checks) if result.problem is not None]
    for result in failed:
        log.error("dependency_failed", dependency=result.name, problem=result.problem)
        if sys.stderr.isatty():
            sys.stderr.write(f"{result.name}: {result.problem}\n")
    return not failed


def serve(settings: Settings, metrics: Metrics, health: RoleHealth) -> HttpServer:
    """Health and metrics by HTTP until they are stopped: the role is ready."""
    http = settings.http
    server = HttpServer(http.http_host, http.http_port, metrics.registry, live=health.live, ready=health.ready)
    health.start(metrics)
    server.start()
    log.info("role_ready", http_port=server.port)
    return server


def _run_loop(
    settings: Settings,
    role: LoopRole,
    lag: RoleMetrics,
    probes: Sequence[tuple[Dependency, Probe]] = (),
    own_topics: frozenset[str] = frozenset(),
) -> int:
    """Work until a signal; `own_topics` are those that no other role needs."""
    last_resorts: list[threading.Timer] = []

    def stop() -> None:
        if last_resorts:
            end_at_once("it got a second stop signal")
        last_resorts.append(end_after(settings.worker.shutdown_timeout_s))
        role.stop()

    on_stop_signal(stop)

    def liveness_inputs() -> LivenessInputs:
        return LivenessInputs(
            time.monotonic() - role.last_progress_at, unprocessed=lag.unprocessed, progress=lag.progress
        )

    kafka = kafka_dependency(settings.kafka.kafka_bootstrap_servers)
    health = RoleHealth(settings.worker.event_bound_s, liveness_inputs, kafka, probes)
    lag.start()
    server = serve(settings, lag.metrics, health)
    finder = TopicFinder(settings.kafka)
    find_topics = with_kafka_health(finder.find, kafka, lambda: finder.problem or role.cluster.problem)
    watch = TopicWatch(_topic_names(settings) | own_topics, find_topics, role.stop)
    watch.start()
    clock_watch = ClockWatch()
    clock_watch.start()
    try:
        role.run()
    except Exception as exc:  # noqa: BLE001 - not swallowed: the process ends with code 1 and its supervisor restarts it
        log.critical("role_failed", reason=str(exc) if isinstance(exc, PersistStoppedError) else explain_fault(exc))
        end_after(settings.worker.shutdown_timeout_s)  # librdkafka's threads may hang with their broker
        return EXIT_FAILED
    finally:
        watch.stop()
        clock_watch.stop()
        health.stop()
        lag.stop()
        server.stop()
        log.info("role_stopped")
    return EXIT_OK if watch.problem is None else EXIT_FAILED


def _topic_names(settings: Settings) -> frozenset[str]:
    return frozenset(settings.kafka.topics.names_of(ALL_TOPICS))
