"""A deploy that breaks everything: the worker stops instead of draining the topic, and nothing is lost."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.system.stack import a_stack, run_cli

UPLOADS = 60
LIMIT = 20
CONCURRENCY = 4
LEFT_AFTER_A_RESTART = 10


@pytest.mark.slow
def test_a_flood_of_failures_stops_the_worker_and_after_the_mend_all_go_through(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    limit = {"DLQ_MAX_CONSECUTIVE": str(LIMIT), "WORKER_CONCURRENCY": str(CONCURRENCY), "DECODE_SLOTS": "2"}
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, **limit) as stack:
        platform, supervisor = stack.platform, stack.supervisor
        platform.add_rows(range(1, UPLOADS + 1))
        uploads = [platform.upload(number, "image", sound=False) for number in range(1, UPLOADS + 1)]
        platform.publish(uploads)
        (worker,) = supervisor.of("worker")
        dead_letters = []
        for _ in range(2):
            assert worker.process.wait(60) == 1
            dead_letters.append(len(platform.read_topic("thumbnail.dlq")))
            if len(dead_letters) == 1:
                supervisor.restart_ended()
        reasons = [
            json.loads(line)["reason"] for line in worker.log.read_text().splitlines() if '"worker_failed"' in line
        ]
        assert len(reasons) >= 2
        assert "media." in reasons[0]
        assert "DLQ_MAX_CONSECUTIVE" in reasons[0]
        print(f"\n{UPLOADS} broken uploads, dead letters after each stop: {dead_letters}")  # noqa: T201
        assert LIMIT - CONCURRENCY <= dead_letters[0] <= LIMIT  # those in flight when it stops come again
        assert dead_letters[1] <= LIMIT + LEFT_AFTER_A_RESTART

        for upload in uploads:  # the fix
            platform.store(upload.event["media"]["key"], platform.sample("image"))
        supervisor.restart_ended()
        stack.wait_for(lambda: _ready(stack.platform.engine) >= UPLOADS - dead_letters[1])
        assert run_cli(stack.environment, "dlq", "replay", "--yes").returncode == 0
        stack.wait_for(lambda: _ready(stack.platform.engine) == UPLOADS)
        assert len(platform.read_topic("thumbnail.dlq")) == dead_letters[1]
        assert worker.exit_codes == [1, 1]


def _ready(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        query = sa.text("SELECT count(*) FROM ar_contents WHERE thumbnail_status = 'ready'")
        return int(connection.scalar(query) or 0)
