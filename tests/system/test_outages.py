"""The database and the broker go away in the middle of the work, and come back: nothing is lost."""

import uuid
from pathlib import Path

import pytest

from tests.servers import postgres as postgres_service
from tests.system.stack import Broker, Database, a_stack
from tests.system.supervisor import no_decoder_is_orphaned

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
