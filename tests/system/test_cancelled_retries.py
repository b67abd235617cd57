"""`thumbnails retries` beside real roles: what waits is listed, and what is cancelled ends as a failure that explains itself."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from tests.system.stack import Stack, a_stack


@pytest.fixture
def stack(kafka: str, sqlite_url: str, topic_prefix: str, tmp_path: Path) -> Iterator[Stack]:
    with a_stack(kafka, sqlite_url, topic_prefix, tmp_path, RETRY_DELAYS_S="5,600,600", RETRY_JITTER="0") as stack:
        yield stack


def retries(stack: Stack, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """The JSON lines of a command, in this process, which has loaded the libraries already."""
    done = CliRunner().invoke(app, ["retries", *arguments, "--json"], env=stack.environment)
    assert (done.exit_code, done.stderr) == (code, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def headers_of(message: Any) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in message.headers() or []}


@pytest.mark.slow
def test_a_cancelled_upload_is_not_tried_again_and_fails_with_who_and_why(stack: Stack) -> None:
    platform = stack.platform
    platform.add_rows(range(1, 4))
    uploads = [platform.upload(number, "image") for number in (1, 2, 3)]
    for upload in uploads:
        upload.event["media"]["key"] += ".not-there"
    # Without the retry role nothing is handed on, however long these commands take.
    (retry_role,) = stack.supervisor.of("retry")
    retry_role.process.terminate()
    assert retry_role.process.wait(30) == 0
    platform.publish(uploads)
    deadline = time.monotonic() + 60
    while len(retries(stack, "list", "--code", "source.*")) < 3:
        assert time.monotonic() < deadline, "they do not wait"
        time.sleep(0.2)
    first = retries(stack, "list", "--key", "ar_content:1")[0]
    assert (first["tier"], first["company_id"], first["state"]) == (1, 1, "waiting")

    (dry,) = retries(stack, "cancel", "--company", "1", "--limit", "2")
    assert (dry["dry_run"], len(dry["cancelled"])) == (True, 2)
    assert CliRunner().invoke(app, ["retries", "cancel", first["position"]], env=stack.environment).exit_code == 2
    assert {one["state"] for one in retries(stack, "list")} == {"waiting"}

    note = ("--note", "Acme uploads it again", "--by", "ana")
    (done,) = retries(stack, "cancel", first["position"], *note)
    assert [one["key"] for one in done["cancelled"]] == ["ar_content:1"]
    assert (done["too_late"], done["not_waiting"]) == ([], [])
    (again,) = retries(stack, "cancel", "--key", "ar_content:1", "--yes", *note)
    assert (again["cancelled"], again["cancelled_before"]) == ([], 1)
    (shown,) = retries(stack, "list", "--key", "ar_content:1")
    assert (shown["state"], shown["decided_by"], shown["note"]) == ("cancelled", "ana", "Acme uploads it again")
    (gone,) = retries(stack, "cancel", "1:0:999", *note, code=1)
    assert gone["not_waiting"] == ["1:0:999"]

    stack.supervisor.restart_ended()
    stack.supervisor.wait_until_ready()

    def row() -> dict[str, Any] | None:
        found = platform.row("ar_content:1")
        return found if found is not None and found["thumbnail_status"] == "failed" else None

    failed = stack.wait_for(row)
    assert isinstance(failed, dict)
    said = "Cancelled by ana while it waited for a retry after source.missing: Acme uploads it again"
    assert failed["thumbnail_error"] == f"upload.cancelled: {said}"
    (parked,) = platform.read_topic("thumbnail.dlq.parked")
    assert json.loads(parked.value()) == uploads[0].event
    assert {headers_of(parked)[name] for name in ("error-message", "parked-reason")} == {said}
    (announced,) = platform.read_topic("thumbnail.failed")
    assert json.loads(announced.value())["error"]["code"] == "upload.cancelled"
    assert platform.read_topic("thumbnail.dlq") == []
    # The two others were tried again, and wait for longer now.
    stack.wait_for(lambda: sorted(one["tier"] for one in retries(stack, "list")) == [2, 2])
    status = json.loads(CliRunner().invoke(app, ["status", "--once", "--json"], env=stack.environment).stdout)
    assert (status["ok"], [row["retrying"] for row in status["failures"]]) == (True, [2])
    parked_list = CliRunner().invoke(app, ["dlq", "list", "--topic", "parked", "--json"], env=stack.environment)
    (listed,) = parked_list.stdout.splitlines()
    assert (json.loads(listed)["state"], json.loads(listed)["decided_by"]) == ("discarded", "ana")
