"""The database and the broker go away in the middle of the work, and come back: nothing is lost."""

import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from tests.servers import postgres as postgres_service
from tests.system.stack import Broker, Database, a_stack
from tests.system.supervisor import Role, no_decoder_is_orphaned

UPLOADS = 24


@pytest.mark.slow
def test_results_wait_for_a_database_that_is_down(kafka: str, own_postgres: Database, tmp_path: Path) -> None:
    url = postgres_service.new_database(own_postgres.url)
    with a_stack(kafka, url, f"t-{uuid.uuid4().hex[:8]}.", tmp_path) as stack:
        platform = stack.platform
        platform.add_rows(range(1, UPLOADS + 1))
        uploads = [platform.upload(number, "image") for number in range(1, UPLOADS + 1)]
        platform.publish(uploads[: UPLOADS // 2])
        stack.wait_for(lambda: len(platform.read_topic("thumbnail.ready")) >= 2)
        platform.engine.dispose()
        own_postgres.stop_process()
        platform.publish(uploads[UPLOADS // 2 :])
        persist_log = stack.supervisor.of("persist")[0].log
        stack.wait_for(lambda: "database_down" in persist_log.read_text() or "retry_scheduled" in _worker_log(tmp_path))
        own_postgres.start()
        stack.wait_for(lambda: not platform.problems(), timeout_s=90)
        assert [role.starts for role in stack.supervisor.roles] == [1, 1, 1]
        assert platform.read_topic("thumbnail.dlq") == []


@pytest.mark.slow
def test_roles_that_start_while_the_database_is_down_wait_for_it(
    kafka: str, own_postgres: Database, tmp_path: Path
) -> None:
    url = postgres_service.new_database(own_postgres.url)
    with a_stack(kafka, url, f"t-{uuid.uuid4().hex[:8]}.", tmp_path) as stack:
        platform, supervisor = stack.platform, stack.supervisor
        platform.add_rows(range(1, 4))
        platform.publish([platform.upload(1, "image")])
        stack.wait_for(lambda: not platform.problems())
        uploads = [platform.upload(number, "image") for number in (2, 3)]
        platform.engine.dispose()
        own_postgres.stop_process()
        roles = supervisor.of("worker") + supervisor.of("persist")
        for role in roles:
            role.process.terminate()
            role.process.wait(60)
        supervisor.restart_ended()
        supervisor.wait_until_ready()
        assert [_is_ready(role) for role in roles] == [False, False]
        platform.publish(uploads)
        stack.wait_for(lambda: "retry_scheduled" in _worker_log(tmp_path))
        own_postgres.start()
        stack.wait_for(lambda: not platform.problems(), timeout_s=90)
        stack.wait_for(lambda: all(_is_ready(role) for role in roles))
        assert [role.starts for role in roles] == [2, 2]
        assert platform.read_topic("thumbnail.dlq") == []


def _is_ready(role: Role) -> bool:
    """What /health/ready says."""
    log = role.log.read_bytes()[role.log_from :].decode()
    (line,) = [json.loads(line) for line in log.splitlines() if '"role_ready"' in line]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{line['http_port']}/health/ready", timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False


def _worker_log(folder: Path) -> str:
    return (folder / "worker-0.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_uploads_go_on_when_a_killed_broker_is_back(own_kafka: Broker, postgres_url: str, tmp_path: Path) -> None:
    with a_stack(own_kafka.bootstrap_servers, postgres_url, "", tmp_path) as stack:
        platform = stack.platform
        platform.add_rows(range(1, UPLOADS + 1))
        uploads = [platform.upload(number, "image") for number in range(1, UPLOADS + 1)]
        platform.publish(uploads[: UPLOADS // 2])
        stack.wait_for(lambda: "thumbnail_ready" in _worker_log(tmp_path))
        own_kafka.kill()
        own_kafka.start()
        platform.publish(uploads[UPLOADS // 2 :])
        stack.wait_for(lambda: not platform.problems(), timeout_s=180, restart=True)
        stack.wait_until_joined()
    assert no_decoder_is_orphaned()
