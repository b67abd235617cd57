"""The cheap proofs: one query, one request for metadata, a few bytes on a disk."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas.database_faults import explain_database_fault
from schemas.tables import videos
from service.roles.health.dependencies import Dependency, Probe
from storage.local_disk.files import NO_NAMELESS
from streams.worker.watchdog import FindTopics

_PROBE_BYTES: Final = 4096


def kafka_dependency(servers: str) -> Dependency:
    """Return the cluster, which is proven by what a role asks anyway: see with_kafka_health."""
    return Dependency(
        "kafka", f"See that the brokers at {servers} run and can be reached from here; the role waits for them."
    )


def with_kafka_health(
    find_topics: FindTopics, kafka: Dependency, in_use: Callable[[], str | None] = lambda: None
) -> FindTopics:
    """Return `find_topics`, whose every answer proves `kafka`: a role that watches its topics needs no other proof.

    `in_use` says why brokers that answer take no records all the same, where that is known.
    """

    def find_and_prove() -> frozenset[str] | None:
        kafka.begin()
        found = find_topics()
        kafka.end("No broker answers." if found is None else in_use())
        return found

    return find_and_prove


def database_dependency() -> Dependency:
    """Return the platform's database."""
    return Dependency(
        "database", "Bring the server of DATABASE_URL back, or do what its problem asks for; the role waits for it."
    )


def database_probe(engine: sa.Engine, in_use: Callable[[], str | None] = lambda: None) -> Probe:
    """Return a probe that reads one of the pipeline's columns; `in_use` says first why the role itself cannot write, where it knows."""

    def probe() -> str | None:
        waits_for = in_use()
        if waits_for is not None:
            return waits_for
        try:
            with engine.connect() as connection:
                connection.execute(sa.select(videos.c.thumbnail_status).limit(1))
        except SQLAlchemyError as exc:
            return explain_database_fault(exc)
        return None

    return probe


def local_storage_dependency() -> Dependency:
    """Return the folder where fallbacks go."""
    return Dependency("local_storage", "See that LOCAL_STORAGE_ROOT is mounted, writable and not full.")


def local_storage_probe(root: Path) -> Probe:
    """Return a probe that writes a few bytes to a file without a name, or checks the rights where the file system has none."""

    def probe() -> str | None:
        try:
            descriptor = os.open(root, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            if exc.errno in NO_NAMELESS and os.access(root, os.W_OK | os.X_OK):
                return None
            return f"{root}: {exc.strerror}."
        try:
            os.write(descriptor, bytes(_PROBE_BYTES))
        except OSError as exc:
            return f"{root}: {exc.strerror}."
        finally:
            os.close(descriptor)
        return None

    return probe
