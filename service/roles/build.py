"""The composition root: builds the database's engine and the roles that touch no media; `bootstrap_*.py` build the rest.

Only these files build things, and nothing connects before its role is started. They are several, so that a role or a
command loads no libraries of another's: persist and retry need neither Faust nor a client of a tenant's storage.
"""

import socket
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import sqlalchemy as sa

from schemas.database import create_engine_for
from schemas.metrics import Metrics
from service.ingest_http.app import IngestApp
from service.ingest_http.role import IngestHttpRole
from service.ingest_http.tokens import Tokens
from service.kafka.clients import consumers_of, make_producer, make_waiting_consumer, membership
from service.settings import Settings
from streams.failures.retry_limits import parse_limits
from streams.ingest.intake import Intake, IntakeOptions
from streams.ingest.role import IngestOptions, IngestRole
from streams.ingest.rules import IngestRules
from streams.kafka.acknowledged import SingleSender
from streams.kafka.ports import KafkaClients
from streams.persist.limits import PersistLimits
from streams.persist.role import PersistOptions, PersistRole
from streams.retry.cancellations import Cancellations
from streams.retry.role import RetryOptions, RetryRole
from streams.rows.by_path import RowsByPath
from streams.thumbnails.grace import Grace
from streams.tracing import NO_TRACING, Tracing
from streams.worker.clock_skew import ClockSkew, SteadyClock

NONE_REFUSED: Final[Mapping[str, Set[str]]] = MappingProxyType({})


def build_engine(settings: Settings) -> sa.Engine:
    """Return the database engine; it connects at its first use."""
    return create_engine_for(settings.database.database_url)


@contextmanager
def open_engine(settings: Settings) -> Iterator[sa.Engine]:
    """Provide the database engine for one command; its connections are closed at the end."""
    engine = build_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def persist_group(settings: Settings) -> str:
    """Return the consumer group of the persist role."""
    return f"{settings.worker.worker_group}-persist"


def retry_group(settings: Settings) -> str:
    """Return the consumer group of the retry role."""
    return f"{settings.worker.worker_group}-retry"


def ingest_group(settings: Settings) -> str:
    """Return the consumer group of the ingest role."""
    return f"{settings.worker.worker_group}-ingest"


def build_persist(
    settings: Settings,
    metrics: Metrics,
    engine: sa.Engine,
    tracing: Tracing = NO_TRACING,
    refused_before: Mapping[str, Set[str]] = NONE_REFUSED,
) -> PersistRole:
    """Return the persist role; `refused_before` is as in PersistLimits."""
    group = persist_group(settings)
    clients = KafkaClients(
        consumers_of(settings.kafka, group)(membership(settings.kafka)), make_producer(settings.kafka)
    )
    chosen = settings.persist
    limits = PersistLimits(chosen.persist_max_refused, chosen.persist_fault_limit_s, refused_before)
    options = PersistOptions(group, settings.kafka.topics, limits, Grace(settings.cleanup.replaced_keep_s))
    return PersistRole(clients, options, engine, metrics, tracing=tracing)


def build_retry(settings: Settings, metrics: Metrics, tracing: Tracing = NO_TRACING) -> RetryRole:
    """Return the retry role."""
    chosen = settings.retry
    make_consumer = consumers_of(settings.kafka, f"{retry_group(settings)}-marks")
    budgets_s = [limit.budget_s for limit in parse_limits(chosen.retry_limits).values() if limit.budget_s is not None]
    options = RetryOptions(
        topics=settings.kafka.topics,
        delays_s=chosen.retry_delays_s,
        jitter=chosen.retry_jitter,
        budget_s=max([chosen.retry_budget_s, *budgets_s]),
        cancellations=Cancellations(make_consumer, settings.kafka.topics),
    )
    consumer = make_waiting_consumer(settings.kafka, retry_group(settings))
    clients = KafkaClients(consumer, make_producer(settings.kafka))
    return RetryRole(clients, options, metrics, tracing=tracing)


def build_ingest(
    settings: Settings, metrics: Metrics, rules: IngestRules, engine: sa.Engine | None, tracing: Tracing = NO_TRACING
) -> IngestRole:
    """Return the ingest role; `engine` is None where no rule looks anything up."""
    group = ingest_group(settings)
    consumer = consumers_of(settings.kafka, group)(membership(settings.kafka))
    options = IngestOptions(
        group,
        rules,
        settings.kafka.topics,
        rows=None if engine is None else RowsByPath(engine),
        row_wait_s=settings.ingest.ingest_row_wait_s,
    )
    return IngestRole(KafkaClients(consumer, make_producer(settings.kafka)), options, metrics, tracing=tracing)


@dataclass(frozen=True)
class IngestParts:
    """The parts of `thumbnails ingest http`, checked at its start; `engine` is None where no rule looks anything up."""

    rules: IngestRules | None
    engine: sa.Engine | None
    tokens: Tokens
    listener: socket.socket


def build_ingest_http(settings: Settings, metrics: Metrics, parts: IngestParts) -> IngestHttpRole:
    """Return the role that takes events by HTTP."""
    sender = SingleSender(make_producer(settings.kafka))
    options = IntakeOptions(
        settings.kafka.topics,
        parts.rules,
        None if parts.engine is None else RowsByPath(parts.engine),
        settings.ingest.ingest_row_wait_s,
    )
    skew = ClockSkew(settings.worker.event_max_clock_skew_s)
    app = IngestApp(Intake(sender.send, options, skew.check, SteadyClock()), parts.tokens, metrics)
    return IngestHttpRole(app, sender, parts.listener)
