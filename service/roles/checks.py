"""Check each dependency by using it, and say in one sentence what is wrong and how to fix it."""

import errno
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas.database_faults import explain_database_fault, is_an_outage
from schemas.errors import ErrorCode, ThumbnailError
from schemas.tables import videos
from service.check_result import CheckResult
from service.ingest_http.tokens import Tokens, TokensError
from service.roles.health.dependencies import Dependency
from service.settings import HttpSettings, IngestHttpSettings, KafkaSettings, redact_url
from storage.base import StorageProvider
from streams.ingest.rules import IngestRules, RulesError, read_rules


def check_database(engine: sa.Engine) -> CheckResult:
    """Check that the database answers and has the pipeline's columns."""
    name = f"Database at {redact_url(engine.url.render_as_string())}"
    try:
        with engine.connect() as connection:
            connection.execute(sa.select(videos.c.thumbnail_status).limit(1))
    except SQLAlchemyError as exc:
        return CheckResult(name, explain_database_fault(exc), is_outage=is_an_outage(exc))
    return CheckResult(name, None)


def check_or_await(check: Callable[[], CheckResult], dependency: Dependency) -> CheckResult:
    """Return the check's result; an outage is no problem of a start, and makes `dependency` red until it is over.

    A role that ended would be started again and again, later each time, and would miss the end of the outage. All other
    problems, which only a person can correct, stay what they are.
    """
    dependency.begin()
    result = check()
    dependency.end(result.problem)
    return replace(result, problem=None) if result.is_outage else result


def check_http_port(settings: HttpSettings) -> CheckResult:
    """HTTP_PORT is free on this host."""
    name = f"HTTP_PORT {settings.http_port}"
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        with socket.create_server((settings.http_host, settings.http_port), family=family):
            return CheckResult(name, None)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            return CheckResult(name, f"{exc.strerror}. Check HTTP_HOST={settings.http_host} and HTTP_PORT.")
        return CheckResult(
            name,
            "It is taken by another process: set another HTTP_PORT for each role on this host, or 0 for a free one.",
        )


def check_rules(path: Path | None) -> tuple[CheckResult, IngestRules | None]:
    """Read the rules of the ingest role; None with a problem."""
    if path is None:
        problem = "It is not set: give the file of the rules that say whose media an object is, see docs/upstreams.md."
        return CheckResult("INGEST_RULES", problem), None
    try:
        return CheckResult("INGEST_RULES", None), read_rules(path)
    except RulesError as exc:
        return CheckResult("INGEST_RULES", str(exc)), None


def check_ingest_port(settings: IngestHttpSettings) -> tuple[CheckResult, socket.socket | None]:
    """Listen on the port of `thumbnails ingest http`; None with a problem."""
    host, port = settings.ingest_http_host, settings.ingest_http_port
    name = f"INGEST_HTTP_PORT {port}"
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        return CheckResult(name, f"{exc.strerror}. Set another INGEST_HTTP_PORT, or INGEST_HTTP_HOST={host}."), None
    return CheckResult(name, None), listener


def check_tokens(settings: IngestHttpSettings) -> tuple[CheckResult, Tokens | None]:
    """Read the tokens of callers; None with a problem."""
    given = settings.ingest_http_tokens
    try:
        found = Tokens(None if given is None else given.get_secret_value(), settings.ingest_http_tokens_file)
    except TokensError as exc:
        return CheckResult("INGEST_HTTP_TOKENS", str(exc)), None
    return CheckResult("INGEST_HTTP_TOKENS", None), found


def check_notifications_topic(settings: KafkaSettings) -> CheckResult:
    """Check that the topic of notifications has a name."""
    is_set = settings.kafka_notifications_topic is not None
    problem = "It is not set: give the topic to which the storage's server writes, such as media.notifications."
    return CheckResult("KAFKA_NOTIFICATIONS_TOPIC", None if is_set else problem)


def check_storage(provider: StorageProvider, root: Path) -> CheckResult:
    """Check that a probe can be written, read and deleted in local storage, whose folder is `root`."""
    name = f"Storage {provider.name}"
    try:
        provider.check()
    except ThumbnailError as exc:
        is_full = exc.code is ErrorCode.STORAGE_FULL
        return CheckResult(name, f"{exc.message} Check LOCAL_STORAGE_ROOT={root} and its rights.", is_outage=is_full)
    return CheckResult(name, None)
