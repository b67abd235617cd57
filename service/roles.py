"""Runs one role as a process: prove the dependencies, serve health, work until SIGTERM, exit code 0 or 1."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, Protocol

import structlog

from schemas.metrics import Metrics, Role
from schemas.topics import ALL_TOPICS, prefixed
from service import bootstrap
from service.checks import CheckResult, check_database, check_http_port, check_kafka, check_storage, run_checks
from service.dead_letters import count_recent
from service.health.dependencies import Dependency, Probe
from service.health.liveness import Signs
from service.health.probes import (
    database_dependency,
    database_probe,
    kafka_dependency,
    local_storage_dependency,
    local_storage_probe,
    told_by,
)
from service.health.role import RoleHealth
from service.health.signs import progress, unprocessed
from service.http import HttpServer
from service.kafka_connection import TopicFinder
from service.logs import configure_logs
from service.role_metrics import RoleMetrics
from service.settings import Settings
from service.topic_watch import TopicWatch
from service.traces import start_traces
from storage.breaker import BreakerState
from streams.kafka_faults import explain_fault
from streams.stopping import end_after, end_at_once
from streams.worker import run_worker

log = structlog.get_logger(__name__)

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
UNFINISHED_AFTER_S: Final = 3600.0
"""An upload of a few hundred kilobytes that is this old is nobody's any more."""


class LoopRole(Protocol):
    """A role with a polling loop of its own."""

    last_progress_at: float

    def run(self) -> None:
        """Work until stop()."""

    def stop(self) -> None:
        """Ask run() to end."""


def run_worker_role(settings: Settings) -> int:
    """The worker role; exit code 1 when a dependency fails or an outcome cannot be sent."""
    metrics = _begin(settings, "worker")
    lag = RoleMetrics(metrics, "worker")
    traces = start_traces(settings.traces, "worker", settings.worker.worker_group)
    loop = bootstrap.new_loop()
    kafka = kafka_dependency(settings.kafka.kafka_bootstrap_servers)
    find_topics = told_by(TopicFinder(settings.kafka).find, kafka)
    parts = bootstrap.build_worker(settings, metrics, find_topics, traces.tracing)
    checks = [
        lambda: check_http_port(settings.http),
        lambda: check_kafka(settings.kafka),
        lambda: check_database(parts.engine),
        lambda: check_storage(parts.local_storage),
    ]
    if not _proven(checks):
        return EXIT_FAILED
    if settings.dead_letters.dlq_max_consecutive:
        parts.guard.prime(count_recent(settings, settings.dead_letters.dlq_window_s))
    swept = parts.local_storage.sweep_unfinished(older_than_s=UNFINISHED_AFTER_S)
    log.info("unfinished_uploads_swept", files=swept)
    loop.run_until_complete(parts.slots.start())
    is_open = bool(parts.slots.open_doors) or settings.decode.decode_confinement == "off"
    metrics.decoders_confined.set(not is_open)
    if is_open:
        log.warning("decoders_not_confined", could=parts.slots.open_doors, setting=settings.decode.decode_confinement)
    elif not parts.slots.has_landlock:
        log.warning("landlock_missing", hint="Seccomp alone confines the decoders; Linux 5.13 and later have both.")

    def signs() -> Signs:
        worker = parts.worker
        silent_s = time.monotonic() - worker.loop_came_round_at
        return Signs(silent_s, worker.in_flight, worker.oldest_in_flight_s(), unprocessed(metrics), progress(metrics))

    def storages() -> dict[str, Any]:
        # A tenant's storage that is down is told, but makes no worker unready: the other tenants need it.
        states = {found.connection_id: found.state for found in parts.providers.health()}
        resting = {number: state for number, state in states.items() if state is not BreakerState.CLOSED}
        return {"storage_connections": len(states), "resting_connections": resting}

    lag.observe_lag(settings.kafka, settings.worker.worker_group, parts.worker.owned)
    lag.start()
    probes = (
        (database_dependency(), database_probe(parts.engine)),
        (local_storage_dependency(), local_storage_probe(bootstrap.local_settings(settings).root)),
    )
    health = RoleHealth(settings.worker.event_bound_s, signs, kafka, probes, storages)
    server = _serve(settings, metrics, health)
    try:
        return run_worker(parts.worker, loop)
    finally:
        lag.stop()
        server.stop()
        health.stop()
        parts.slots.kill()
        parts.providers.close()
        traces.close()
        log.info("role_stopped")


def run_persist_role(settings: Settings) -> int:
    """The persist role; exit code 1 when a dependency fails at start or a record cannot be sent."""
    metrics = _begin(settings, "persist")
    lag = RoleMetrics(metrics, "persist")
    engine = bootstrap.build_engine(settings)
    kafka, http = settings.kafka, settings.http
    if not _proven([lambda: check_http_port(http), lambda: check_kafka(kafka), lambda: check_database(engine)]):
        return EXIT_FAILED
    group = bootstrap.persist_group(settings)
    with start_traces(settings.traces, "persist", group) as tracing:
        role = bootstrap.build_persist(settings, metrics, engine, tracing)
        lag.observe_lag(kafka, group, lambda: role.owned)
        database = database_probe(engine, lambda: role.database_problem)
        return _run_loop(settings, metrics, role, lag, ((database_dependency(), database),))


def run_retry_role(settings: Settings) -> int:
    """The retry role; exit code 1 when Kafka fails at start or a record cannot be handed on."""
    metrics = _begin(settings, "retry")
    lag = RoleMetrics(metrics, "retry")
    if not _proven([lambda: check_http_port(settings.http), lambda: check_kafka(settings.kafka)]):
        return EXIT_FAILED
    group = bootstrap.retry_group(settings)
    with start_traces(settings.traces, "retry", group) as tracing:
        role = bootstrap.build_retry(settings, metrics, tracing)
        lag.observe_retries(settings.kafka, group, lambda: role.owned)
        return _run_loop(settings, metrics, role, lag)


def _begin(settings: Settings, role: Role) -> Metrics:
    configure_logs(settings.log.log_format, settings.log.log_level, role=role)
    log.info("role_starts", pid=os.getpid(), settings=settings.redacted())
    return Metrics(role=role)


def _proven(checks: list[Callable[[], CheckResult]]) -> bool:
    failed = [result for result in run_checks(checks) if result.problem is not None]
    for result in failed:
        log.error("dependency_failed", dependency=result.name, problem=result.problem)
        sys.stderr.write(f"{result.name}: {result.problem}\n")
    return not failed


def _serve(settings: Settings, metrics: Metrics, health: RoleHealth) -> HttpServer:
    http = settings.http
    server = HttpServer(http.http_host, http.http_port, metrics.registry, live=health.live, ready=health.ready)
    health.start(metrics)
    server.start()
    log.info("role_ready", http_port=server.port)
    return server


def _run_loop(
    settings: Settings,
    metrics: Metrics,
    role: LoopRole,
    lag: RoleMetrics,
    probes: Sequence[tuple[Dependency, Probe]] = (),
) -> int:
    last_resorts: list[threading.Timer] = []

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if last_resorts:
            end_at_once("it was told to stop for the second time")
        last_resorts.append(end_after(settings.worker.shutdown_timeout_s))
        role.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    def signs() -> Signs:
        return Signs(
            time.monotonic() - role.last_progress_at, unprocessed=unprocessed(metrics), progress=progress(metrics)
        )

    kafka = kafka_dependency(settings.kafka.kafka_bootstrap_servers)
    health = RoleHealth(settings.worker.event_bound_s, signs, kafka, probes)
    lag.start()
    server = _serve(settings, metrics, health)
    watch = TopicWatch(_topic_names(settings), told_by(TopicFinder(settings.kafka).find, kafka), role.stop)
    watch.start()
    try:
        role.run()
    except Exception as exc:  # noqa: BLE001 - not swallowed: the process ends with code 1 and its supervisor restarts it
        log.critical("role_failed", reason=explain_fault(exc))
        end_after(settings.worker.shutdown_timeout_s)  # librdkafka's threads may hang with their broker
        return EXIT_FAILED
    finally:
        watch.stop()
        health.stop()
        lag.stop()
        server.stop()
        log.info("role_stopped")
    return EXIT_OK if watch.problem is None else EXIT_FAILED


def _topic_names(settings: Settings) -> frozenset[str]:
    return frozenset(prefixed(topic, settings.kafka.kafka_topic_prefix) for topic in ALL_TOPICS)
