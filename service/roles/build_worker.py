"""The part of the composition root that builds the worker: Faust, the decode slots, and every storage."""

import asyncio
from dataclasses import dataclass

import sqlalchemy as sa

from processors.sandbox.pool import DecodeSlots
from schemas.metrics import Metrics
from service.kafka.client_id import client_id
from service.kafka.security import faust_credentials
from service.observability.logs import ContextThreads
from service.roles.build import build_engine
from service.roles.build_storage import build_local_storage, build_providers, build_tenants
from service.roles.decoding import build_slots, build_spec
from service.settings import Settings
from storage.local_disk.provider import LocalStorageProvider
from storage.provider_cache import ProviderCache
from storage.tenants import Tenants
from streams.failures.company_limiter import CompanyLimit, CompanyLimiter
from streams.failures.guard import DeadLetterGuard, DeadLetterLimit
from streams.failures.policy import RetryPolicy
from streams.failures.retry_limits import parse_limits
from streams.rows.queries import RowStates
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.grace import Grace
from streams.thumbnails.service import ThumbnailService
from streams.thumbnails.staleness import UploadOrder
from streams.thumbnails.storage_calls import StorageCalls
from streams.thumbnails.store import RenditionStore
from streams.tracing import NO_TRACING, Tracing
from streams.worker.clock_skew import ClockSkew, SteadyClock
from streams.worker.failure import Failures, Rules
from streams.worker.faust.client import FaustClient
from streams.worker.handler import EventHandler
from streams.worker.observer import Observer
from streams.worker.options import WorkerOptions
from streams.worker.removals import Removals
from streams.worker.role import Worker
from streams.worker.watchdog import FindTopics


@dataclass(frozen=True)
class WorkerParts:
    """The parts of the worker role; the caller of build_worker() starts and stops the slots."""

    worker: Worker
    client: FaustClient
    slots: DecodeSlots
    local_storage: LocalStorageProvider
    providers: ProviderCache
    tenants: Tenants
    engine: sa.Engine
    guard: DeadLetterGuard
    limiter: CompanyLimiter


def build_retry_policy(settings: Settings) -> RetryPolicy:
    """Return the rules by which failed events are tried again."""
    chosen = settings.retry
    return RetryPolicy(
        chosen.retry_delays_s,
        chosen.retry_budget_s,
        limits=parse_limits(chosen.retry_limits),
        jitter=chosen.retry_jitter,
    )


def build_guard(settings: Settings) -> DeadLetterGuard:
    """Return what stops the worker in a flood of dead letters."""
    chosen = settings.dead_letters
    return DeadLetterGuard(
        DeadLetterLimit(chosen.dlq_max_ratio, chosen.dlq_max_consecutive, chosen.dlq_window_s, chosen.dlq_min_events)
    )


def build_limiter(settings: Settings) -> CompanyLimiter:
    """Return what holds back a company whose uploads mostly fail."""
    chosen = settings.dead_letters
    per_minute = chosen.dlq_company_per_minute if chosen.dlq_max_ratio else 0
    return CompanyLimiter(CompanyLimit(per_minute, chosen.dlq_max_ratio, chosen.dlq_window_s, chosen.dlq_min_events))


def build_options(settings: Settings) -> WorkerOptions:
    """Return how the worker consumes."""
    return WorkerOptions(
        bootstrap_servers=settings.kafka.kafka_bootstrap_servers,
        group=settings.worker.worker_group,
        concurrency=settings.worker.worker_concurrency,
        topics=settings.kafka.topics,
        session_timeout_s=settings.kafka.kafka_session_timeout_s,
        heartbeat_s=min(3.0, settings.kafka.kafka_session_timeout_s / 3),
        rebalance_timeout_s=settings.worker.event_bound_s,
        shutdown_timeout_s=settings.worker.shutdown_timeout_s,
        credentials=faust_credentials(settings.kafka),
        client_id=client_id(),
        instance_id=settings.kafka.kafka_group_instance_id,
    )


def build_worker(
    settings: Settings, metrics: Metrics, find_topics: FindTopics, tracing: Tracing = NO_TRACING
) -> WorkerParts:
    """Build the worker role, which watches its topics by `find_topics`. Call it inside the thread and loop that will run it."""
    engine = build_engine(settings)
    providers = build_providers(settings, metrics)
    tenants = build_tenants(settings, engine, providers)
    slots = build_slots(settings.decode, lambda cause: metrics.slot_restarts_total.labels(cause).inc())
    # Storage calls block: each event in work may have one, and cleanups one more.
    executor = ContextThreads(settings.worker.worker_concurrency + 4, thread_name_prefix="storage")
    rows, guard, limiter = RowStates(engine), build_guard(settings), build_limiter(settings)
    calls, order = StorageCalls(tenants, executor, metrics), UploadOrder(rows, executor)
    skew = ClockSkew(settings.worker.event_max_clock_skew_s)
    grace = Grace(settings.cleanup.replaced_keep_s)
    rules = Rules(settings.worker.worker_group, settings.kafka.topics, skew, now=SteadyClock(), grace=grace)
    failures = Failures(build_retry_policy(settings), guard, limiter, rules)
    removals = Removals(CleanupService(calls, rows, rules.now, grace), order, rules)
    thumbnails = ThumbnailService(calls, RenditionStore(calls), slots, build_spec(settings.decode))
    handler = EventHandler(thumbnails, order, removals, failures, rules)
    options = build_options(settings)
    client = FaustClient(options)
    worker = Worker(client, options, handler, Observer(metrics, tracing, settings.kafka.topics), find_topics)
    client.declare_agents(worker.consume, worker.forget_revoked)
    metrics.slots.labels("busy").set_function(lambda: slots.busy)
    metrics.slots.labels("idle").set_function(lambda: slots.idle)
    metrics.events_in_flight.set_function(lambda: worker.in_flight)
    metrics.oldest_event_age_seconds.set_function(worker.oldest_in_flight_s)
    local = build_local_storage(settings)
    return WorkerParts(worker, client, slots, local, providers, tenants, engine, guard, limiter)


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop, set as the current one: Faust resolves its loop while the app is built."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop
