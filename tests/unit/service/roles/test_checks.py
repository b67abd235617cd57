"""A role that starts while its database is away waits for it; what only a person can correct ends it."""

import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from schemas.database import create_engine_for
from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from service.check_result import CheckResult
from service.roles.checks import (
    check_database,
    check_notifications_topic,
    check_or_await,
    check_rules,
    check_storage,
)
from service.roles.health.dependencies import Dependency
from service.settings import KafkaSettings
from storage.memory import MemoryStorageProvider


def a_database() -> Dependency:
    return Dependency("database", "Bring it back.")


def test_a_server_that_is_away_is_no_problem_of_a_start_and_makes_the_role_unready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine, database = create_engine_for(f"postgresql://nobody@127.0.0.1:{port}/platform"), a_database()
    with capture_logs() as logs:
        result = check_or_await(lambda: check_database(engine), database)
    assert result.problem is None
    assert "DATABASE_URL" in (database.state().problem or "")
    assert [(line["event"], line["dependency"]) for line in logs] == [("dependency_lost", "database")]


def test_a_schema_that_is_missing_is_one(tmp_path: object) -> None:
    engine = create_engine_for(f"sqlite:///{tmp_path}/empty.db")
    result = check_or_await(lambda: check_database(engine), a_database())
    assert "thumbnails db upgrade" in (result.problem or "")


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (TransientError(ErrorCode.STORAGE_FULL, "It is full."), True),
        (PermanentError(ErrorCode.STORAGE_DENIED, "It refuses access."), False),
        (TransientError(ErrorCode.STORAGE_UNAVAILABLE, "It is no folder."), False),
    ],
)
def test_a_worker_waits_for_a_full_disk_alone(error: ThumbnailError, waits: bool, tmp_path: Path) -> None:
    class Refusing(MemoryStorageProvider):
        def check(self) -> None:
            raise error

    assert (check_or_await(lambda: check_storage(Refusing(), tmp_path), a_database()).problem is None) is waits


@pytest.mark.parametrize("is_outage", [True, False])
def test_the_dependency_is_as_red_as_its_check(is_outage: bool) -> None:
    database = a_database()
    check_or_await(lambda: CheckResult("Database", "It is wrong.", is_outage=is_outage), database)
    assert database.state().problem == "It is wrong."
    assert check_or_await(lambda: CheckResult("Database", None), database).problem is None
    assert database.state().is_up


def test_the_ingest_role_wants_rules_that_can_be_used_and_the_name_of_its_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rules.toml"
    assert "docs/upstreams.md" in (check_rules(None)[0].problem or "")
    assert check_rules(path)[1] is None
    path.write_text("[[rules]]\nlookup = 1")
    assert "rule 1: lookup" in (check_rules(path)[0].problem or "")
    path.write_text("[[rules]]\nlookup = true")
    found, rules = check_rules(path)
    assert (found.problem, rules is not None) == (None, True)

    monkeypatch.delenv("KAFKA_NOTIFICATIONS_TOPIC", raising=False)
    assert "media.notifications" in (check_notifications_topic(KafkaSettings()).problem or "")
    monkeypatch.setenv("KAFKA_NOTIFICATIONS_TOPIC", "buckets")
    assert check_notifications_topic(KafkaSettings()).problem is None
    assert KafkaSettings().topics.notifications == "buckets"
