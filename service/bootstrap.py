"""The composition root: the only place that builds things. Nothing connects before its role is started."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

import sqlalchemy as sa

from processors.decode_slots import DecodeSlots
from schemas.database import create_engine_for
from schemas.metrics import Metrics
from service.decoding import build_slots, build_spec
from service.kafka_clients import consumer_config, producer_config, waiting_consumer_config
from service.kafka_security import faust_credentials
from service.settings import Settings
from service.threads import ContextThreads
from storage.breaker import BreakerPolicy, BreakerState
from storage.connections import LocalStorageSettings
from storage.credentials import CredentialsCipher
from storage.factory import ProviderSettings, get_provider, provider_label
from storage.local import LocalStorageProvider
from storage.outbound import EndpointPolicy, HttpLimits
from storage.provider_cache import ProviderCache
from storage.tenants import Tenants
from streams.cleanup_service import CleanupService
from streams.company_directory import SqlCompanyDirectory
from streams.consumer_watch import FindTopics
from streams.dead_letter_limit import DeadLetterGuard, DeadLetterLimit
from streams.event_handler import EventHandler
from streams.faust_app import WorkerOptions
from streams.persistence import PersistOptions, PersistRole
from streams.retry import RetryOptions, RetryRole
from streams.retry_policy import RetryPolicy, parse_limits
from streams.row_state import RowStates
from streams.thumbnail_service import ThumbnailService
from streams.tracing import NO_TRACING, Tracing
from streams.upload_order import UploadOrder
from streams.worker import Worker

MAX_CACHED_TENANTS: Final = 1024


@dataclass(frozen=True)
class WorkerParts:
    """What the worker role runs on; whoever builds it starts and stops the slots."""

    worker: Worker
    slots: DecodeSlots
    local_storage: LocalStorageProvider
    providers: ProviderCache
    engine: sa.Engine
    guard: DeadLetterGuard


def build_engine(settings: Settings) -> sa.Engine:
    """The database engine; it connects at its first use."""
    return create_engine_for(settings.database.database_url)


def build_local_storage(settings: Settings) -> LocalStorageProvider:
    """Local storage, where fallbacks go."""
    local = local_settings(settings)
    return LocalStorageProvider(local.root, local.base_url)


def local_settings(settings: Settings) -> LocalStorageSettings:
    """Where local storage is, and under which URL."""
    return LocalStorageSettings(
        root=settings.storage.local_storage_root.absolute(), base_url=settings.storage.local_storage_url
    )


def provider_settings(settings: Settings) -> ProviderSettings:
    """What the operator decides for all tenants' storage. Raises CredentialsKeyError for a key that is none."""
    chosen = settings.connections
    return ProviderSettings(
        local=local_settings(settings),
        cipher=CredentialsCipher.of(chosen.storage_credentials_key),
        policy=EndpointPolicy(chosen.storage_allowed_networks, chosen.storage_allow_http),
        limits=HttpLimits(chosen.storage_pool_size, chosen.storage_connect_timeout_s, chosen.storage_read_timeout_s),
        yandex_api_url=chosen.yandex_disk_api_url,
    )


def build_providers(settings: Settings, metrics: Metrics) -> ProviderCache:
    """The providers of all storage connections; each connects at its first use."""
    of_all = provider_settings(settings)
    cache = ProviderCache(
        lambda connection: get_provider(connection, settings=of_all),
        max_open=settings.connections.storage_max_open,
        breaker_policy=BreakerPolicy(
            settings.connections.storage_breaker_failures, settings.connections.storage_breaker_open_s
        ),
        on_breaker_open=lambda name: metrics.breaker_opened_total.labels(provider_label(name)).inc(),
    )
    metrics.open_providers.set_function(lambda: cache.open_count)
    for state in BreakerState:
        metrics.breakers.labels(state).set_function(partial(_count_breakers, cache, state))
    return cache


def _count_breakers(cache: ProviderCache, state: BreakerState) -> int:
    return sum(found.state is state for found in cache.health())


def build_tenants(settings: Settings, engine: sa.Engine, providers: ProviderCache | None = None) -> Tenants:
    """Companies and their storage, as the database says."""
    return Tenants(
        SqlCompanyDirectory(engine),
        settings=provider_settings(settings),
        cache=providers or build_providers(settings, Metrics()),
        fallback=settings.storage.storage_fallback,
        cache_ttl_s=settings.storage.tenant_cache_s,
        max_cached=MAX_CACHED_TENANTS,
    )


def build_retry_policy(settings: Settings) -> RetryPolicy:
    """When failed events are tried again."""
    chosen = settings.retry
    return RetryPolicy(
        chosen.retry_delays_s,
        chosen.retry_budget_s,
        limits=parse_limits(chosen.retry_limits),
        jitter=chosen.retry_jitter,
    )


def build_guard(settings: Settings) -> DeadLetterGuard:
    """What stops the worker in a flood of dead letters."""
    chosen = settings.dead_letters
    return DeadLetterGuard(
        DeadLetterLimit(chosen.dlq_max_ratio, chosen.dlq_max_consecutive, chosen.dlq_window_s, chosen.dlq_min_events)
    )


def build_worker(
    settings: Settings, metrics: Metrics, find_topics: FindTopics, tracing: Tracing = NO_TRACING
) -> WorkerParts:
    """The worker role, which watches its topics by `find_topics`. Call it inside the thread and loop that will run it."""
    engine = build_engine(settings)
    providers = build_providers(settings, metrics)
    tenants = build_tenants(settings, engine, providers)
    slots = build_slots(settings.decode, lambda cause: metrics.slot_restarts_total.labels(cause).inc())
    # Storage calls block: each event in work may have one, and cleanups one more.
    executor = ContextThreads(settings.worker.worker_concurrency + 4, thread_name_prefix="storage")
    rows, guard = RowStates(engine), build_guard(settings)
    handler = EventHandler(
        ThumbnailService(
            tenants,
            slots,
            build_spec(settings.decode),
            executor,
            metrics,
            # Half a session: the broker counts from the last heartbeat, which may be a while ago.
            lease_s=settings.kafka.kafka_session_timeout_s / 2,
        ),
        CleanupService(tenants, rows, executor, metrics),
        build_retry_policy(settings),
        metrics,
        order=UploadOrder(rows, executor),
        guard=guard,
        group=settings.worker.worker_group,
        topic_prefix=settings.kafka.kafka_topic_prefix,
    )
    options = WorkerOptions(
        bootstrap_servers=settings.kafka.kafka_bootstrap_servers,
        group=settings.worker.worker_group,
        concurrency=settings.worker.worker_concurrency,
        topic_prefix=settings.kafka.kafka_topic_prefix,
        session_timeout_s=settings.kafka.kafka_session_timeout_s,
        heartbeat_s=min(3.0, settings.kafka.kafka_session_timeout_s / 3),
        rebalance_timeout_s=settings.worker.event_bound_s,
        shutdown_timeout_s=settings.worker.shutdown_timeout_s,
        credentials=faust_credentials(settings.kafka),
    )
    worker = Worker(options, handler, find_topics, tracing)
    metrics.slots.labels("busy").set_function(lambda: slots.busy)
    metrics.slots.labels("idle").set_function(lambda: slots.idle)
    metrics.events_in_flight.set_function(lambda: worker.in_flight)
    metrics.oldest_event_age_seconds.set_function(worker.oldest_in_flight_s)
    return WorkerParts(worker, slots, build_local_storage(settings), providers, engine, guard)


def persist_group(settings: Settings) -> str:
    """The consumer group of the persist role."""
    return f"{settings.worker.worker_group}-persist"


def retry_group(settings: Settings) -> str:
    """The consumer group of the retry role."""
    return f"{settings.worker.worker_group}-retry"


def build_persist(
    settings: Settings, metrics: Metrics, engine: sa.Engine, tracing: Tracing = NO_TRACING
) -> PersistRole:
    """The persist role."""
    options = PersistOptions(
        consumer=consumer_config(settings.kafka, persist_group(settings)),
        producer=producer_config(settings.kafka),
        group=persist_group(settings),
        topic_prefix=settings.kafka.kafka_topic_prefix,
    )
    return PersistRole(options, engine, metrics, tracing=tracing)


def build_retry(settings: Settings, metrics: Metrics, tracing: Tracing = NO_TRACING) -> RetryRole:
    """The retry role."""
    options = RetryOptions(
        consumer=waiting_consumer_config(settings.kafka, retry_group(settings)),
        producer=producer_config(settings.kafka),
        topic_prefix=settings.kafka.kafka_topic_prefix,
        delays_s=settings.retry.retry_delays_s,
    )
    return RetryRole(options, metrics, tracing=tracing)


def new_loop() -> asyncio.AbstractEventLoop:
    """A fresh event loop, set as the current one: Faust resolves its loop while the app is built."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop
