"""Runs the worker as a process; apart from `run.py`, because it alone loads Faust and the clients of all storages."""

import asyncio
import time
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import SQLAlchemyError

from processors.sandbox.pool import DecodeSlots
from schemas.errors import ThumbnailError
from schemas.metrics import Metrics
from service.dead_letters import recent_owners
from service.exits import EXIT_FAILED
from service.kafka.check import check_kafka
from service.kafka.codecs import check_codecs
from service.kafka.topic_finder import TopicFinder
from service.observability.role_metrics import RoleMetrics
from service.observability.traces import start_traces
from service.roles.build_worker import WorkerParts, build_worker, new_loop
from service.roles.checks import check_database, check_http_port, check_or_await, check_storage
from service.roles.health.dependencies import Dependency
from service.roles.health.liveness import LivenessInputs
from service.roles.health.probes import (
    database_dependency,
    database_probe,
    kafka_dependency,
    local_storage_dependency,
    local_storage_probe,
    with_kafka_health,
)
from service.roles.health.role import RoleHealth
from service.roles.run import begin, proven, serve
from service.settings import Settings
from service.status.recent_results import recent_companies
from storage.breaker import BreakerState
from streams.failures.guard import SEEN_FOR_S
from streams.rows.companies import some_companies
from streams.worker.faust.runner import run_worker

log = structlog.get_logger(__name__)

UNFINISHED_AFTER_S: Final = 3600.0
"""An upload of a few hundred kilobytes that is this old is nobody's any more."""


def run_worker_role(settings: Settings) -> int:
    """Run the worker role; return exit code 1 when a dependency fails or an outcome cannot be sent."""
    metrics = begin(settings, "worker")
    with ExitStack() as closing:
        traces = start_traces(settings.traces, "worker", settings.worker.worker_group)
        closing.callback(traces.close)
        loop = new_loop()
        closing.callback(loop.close)  # run_worker has closed it; a start that fails has not
        kafka = kafka_dependency(settings.kafka.kafka_bootstrap_servers)
        finder = TopicFinder(settings.kafka)
        find_topics = with_kafka_health(finder.find, kafka, lambda: finder.problem or parts.worker.sender.problem)
        parts = build_worker(settings, metrics, find_topics, traces.tracing)
        parts.worker.sender.cluster_problem = lambda: finder.problem
        closing.callback(parts.providers.close)
        database, local_storage = database_dependency(), local_storage_dependency()
        checks = [
            lambda: check_http_port(settings.http),
            check_codecs,
            lambda: check_kafka(settings.kafka),
            lambda: check_or_await(lambda: check_database(parts.engine), database),
            lambda: check_or_await(
                lambda: check_storage(parts.local_storage, settings.storage.local.root), local_storage
            ),
        ]
        if not proven(checks):
            return EXIT_FAILED
        limits = settings.dead_letters
        if limits.dlq_max_consecutive or limits.dlq_max_ratio:
            dead_letters, companies = (
                recent_owners(settings, limits.dlq_window_s),
                recent_companies(settings, SEEN_FOR_S),
            )
            parts.guard.prime(dead_letters, companies, _two_companies(parts.engine))
        swept = parts.local_storage.sweep_unfinished(older_than_s=UNFINISHED_AFTER_S)
        log.info("unfinished_uploads_deleted", files=swept)
        closing.callback(parts.slots.kill)
        try:
            loop.run_until_complete(parts.slots.start())
        except ThumbnailError as exc:  # a deploy whose decoders do not work: not one event is taken
            log.critical("role_failed", reason=exc.message)
            return EXIT_FAILED
        _report_confinement(settings, metrics, parts.slots)
        try:
            return _serve(settings, metrics, (kafka, database, local_storage), parts, loop)
        finally:
            closing.close()
            log.info("role_stopped")


def _two_companies(engine: sa.Engine) -> set[int]:
    """Return those of the database; none while it is away, and then the companies of late results must do."""
    try:
        return some_companies(engine, 2)
    except SQLAlchemyError:
        return set()


def _report_confinement(settings: Settings, metrics: Metrics, slots: DecodeSlots) -> None:
    is_open = bool(slots.sandbox_gaps) or settings.decode.decode_confinement == "off"
    metrics.decoders_confined.set(not is_open)
    if is_open:
        log.warning("decoders_not_confined", could=slots.sandbox_gaps, setting=settings.decode.decode_confinement)
    elif not slots.has_landlock:
        log.warning("landlock_missing", hint="Seccomp alone confines the decoders; Linux 5.13 and later have both.")


def _serve(
    settings: Settings,
    metrics: Metrics,
    dependencies: tuple[Dependency, Dependency, Dependency],
    parts: WorkerParts,
    loop: asyncio.AbstractEventLoop,
) -> int:
    kafka, database, local_storage = dependencies
    worker, lag = parts.worker, RoleMetrics(metrics, "worker")

    def liveness_inputs() -> LivenessInputs:
        silent_s = time.monotonic() - worker.loop_came_round_at
        return LivenessInputs(silent_s, worker.in_flight, worker.oldest_in_flight_s(), lag.unprocessed, lag.progress)

    with ExitStack() as closing:
        lag.observe_lag(settings.kafka, settings.worker.worker_group, parts.client.owned, parts.client.positions)
        lag.start()
        probes = (
            (database, database_probe(parts.engine)),
            (local_storage, local_storage_probe(settings.storage.local.root)),
        )
        metrics.companies_limited.set_function(lambda: len(parts.limiter.limited()))
        more = partial(_more_details, parts)
        health = RoleHealth(settings.worker.event_bound_s, liveness_inputs, kafka, probes, more)
        closing.callback(health.stop)
        closing.callback(serve(settings, metrics, health).stop)
        closing.callback(lag.stop)
        return run_worker(parts.client, worker, loop)


def _more_details(parts: WorkerParts) -> dict[str, Any]:
    """Return whose storage is paused and who is limited. Neither makes a worker unready: the other tenants need it."""
    connections = parts.providers.health()
    paused = [found for found in connections if found.state is not BreakerState.CLOSED]
    return {
        "storage_connections": len(connections),
        "resting_connections": {found.connection_id: found.state for found in paused},
        "resting": [
            {
                "connection_id": found.connection_id,
                "provider": found.provider,
                "state": found.state,
                "company_ids": parts.tenants.companies_of(found.connection_id),
            }
            for found in paused
        ],
        "limited_companies": parts.limiter.limited(),
    }
