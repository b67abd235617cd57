"""`thumbnails status` beside real roles, after a known set of uploads: some ready, one failed, one waiting."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from schemas.errors import NEXT_ACTIONS, ErrorCode
from service.cli.main import app
from service.demo.broker import TansuKafka, tansu_binary
from tests.conftest import missing
from tests.system.stack import Stack, a_stack, run_cli
from tests.system.test_health import port_of

DELAY_S = 600.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three uploads are ready, one is given up, and one waits for its source to appear."""
    binary = tansu_binary()
    if binary is None:
        missing("No embedded broker: install the extra `demo`.")
    broker, folder = TansuKafka(binary), tmp_path_factory.mktemp("status")
    prefix, delays = f"t-{uuid.uuid4().hex[:8]}.", f"{DELAY_S:g},{DELAY_S:g},{DELAY_S:g}"
    try:
        with a_stack(
            broker.start(), f"sqlite:///{folder / 'rows.db'}", prefix, folder, RETRY_DELAYS_S=delays, RETRY_JITTER="0"
        ) as stack:
            platform = stack.platform
            platform.add_rows(range(1, 6))
            late = platform.upload(5, "image")
            late.event["media"]["key"] += ".not-there-yet"
            good = [platform.upload(1, "video"), platform.upload(2, "image"), platform.upload(3, "image")]
            platform.publish([*good, platform.upload(4, "video", sound=False), late])
            stack.wait_for(lambda: platform.count_rows("ready") == 3 and platform.count_rows("failed") == 1)
            stack.wait_for(lambda: "retry_scheduled" in (folder / "worker-0.log").read_text())
            stack.wait_for(lambda: look(stack)[1]["topics"][0]["groups"][0]["lag_records"] == 0)
            yield stack
    finally:
        broker.stop()


def endpoints(stack: Stack) -> str:
    return ",".join(f"127.0.0.1:{port_of(role)}" for role in stack.supervisor.roles)


def look(stack: Stack, *more: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON, by this process, in which the libraries are loaded."""
    arguments = ["status", "--once", "--json", "--metrics", endpoints(stack), *more]
    done = CliRunner().invoke(app, arguments, env=stack.environment)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return done.exit_code, found


def test_the_json_tells_what_became_of_every_upload_and_what_to_do(stack: Stack) -> None:
    prefix = stack.environment["KAFKA_TOPIC_PREFIX"]
    code, found = look(stack)
    assert (found["shape"], found["kafka"]) == (1, {"ok": True, "problem": None})
    assert {name: found["throughput"][name] for name in ("ready", "failed")} == {"ready": 3, "failed": 1}
    assert found["tenants"] == [{"company_id": 1, "ready": 3, "failed": 1}]
    assert found["providers"] == [{"provider": "local_disk", "ready": 3, "fallbacks": 0}]
    assert [(row["tier"], row["waiting"]) for row in found["retries"]] == [(1, 1), (2, 0), (3, 0)]
    due_in_s = (datetime.fromisoformat(found["retries"][0]["next_due_at"]) - datetime.now(UTC)).total_seconds()
    assert DELAY_S - 120 < due_in_s < DELAY_S
    (dead_letters,) = found["dead_letters"]
    assert (dead_letters["topic"], dead_letters["count"], dead_letters["waiting"]) == (f"{prefix}thumbnail.dlq", 1, 1)
    assert dead_letters["next_action"] == NEXT_ACTIONS[ErrorCode(dead_letters["code"])]
    lags = {topic["name"].removeprefix(prefix): topic["groups"] for topic in found["topics"]}
    assert lags["media.uploaded"][0]["lag_seconds"] == 0.0
    assert lags["thumbnail.retry.1"][0]["lag_records"] == 1
    assert (found["in_flight"], found["slots"]["busy"]) == (0, 0)
    assert found["slots"]["idle"] >= 1
    assert {row["role"]: row["ok"] for row in found["roles"]} == {"worker": True, "persist": True, "retry": True}
    assert (code, found["ok"]) == (1, False)
    assert found["attention"] == [
        f"Dead letters wait in {prefix}thumbnail.dlq: 1 with {dead_letters['code']}, all of company 1. {dead_letters['next_action']}"
    ]


def test_a_role_that_does_not_answer_and_one_that_is_none_are_told(stack: Stack) -> None:
    code, found = look(stack, "--metrics", "127.0.0.1:1,ftp://example")
    assert code == 1
    assert [(row["ok"], row["role"]) for row in found["roles"]] == [(False, None), (False, None)]
    assert found["attention"][0].startswith("The role at http://127.0.0.1:1/metrics: it does not answer: ")
    assert (found["in_flight"], found["slots"]) == (None, {"busy": None, "idle": None})
    assert found["throughput"]["ready"] == 3


def test_without_kafka_the_roles_are_still_told(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.kafka.connection.CONNECT_TIMEOUT_S", 3.0)
    monkeypatch.setitem(stack.environment, "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    code, found = look(stack)
    assert code == 1
    assert found["attention"] == ["No Kafka broker answers at 127.0.0.1:1: start it, or set KAFKA_BOOTSTRAP_SERVERS."]
    assert (found["topics"], found["throughput"]) == (None, None)
    assert [row["ok"] for row in found["roles"]] == [True, True, True]


def test_without_a_terminal_plain_lines_are_printed_once(stack: Stack) -> None:
    done = run_cli(stack.environment, "status", "--metrics", endpoints(stack))
    assert (done.returncode, done.stderr) == (1, "")
    assert "\x1b" not in done.stdout
    for words in ("3 ready, 1 failed", "media.uploaded", "for all of them", "local_disk", " min", "persist  ready"):
        assert words in done.stdout


def test_the_live_view_fits_80_columns_and_ends_well(stack: Stack) -> None:
    """As a person sees it: in a pseudo-terminal, until Ctrl-C."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "service", "status", "--every", "0.5", "--metrics", endpoints(stack)]
    size = {"COLUMNS": "80", "LINES": "60", "TERM": "xterm"}
    process = subprocess.Popen(
        command, env=os.environ | stack.environment | size, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    shown, deadline = b"", time.monotonic() + 60
    try:
        while shown.count(b"thumbnails status") < 3:  # it looked again
            assert time.monotonic() < deadline, shown.decode(errors="replace")
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 65536)
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            assert time.monotonic() < deadline
            if select.select([leader], [], [], 0.2)[0]:
                with suppress(OSError):  # it has ended, and its side is closed
                    shown += os.read(leader, 65536)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode().replace("\x1b[H", "\n"))
    assert "Traceback" not in text
    assert "3 ready, 1 failed" in text
    assert max(len(line) for line in text.replace("\r", "\n").split("\n")) <= 80
    assert text.count("1 thing needs attention") >= 2


def test_the_example_of_the_documentation_runs(stack: Stack, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/status.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", example],
        env=os.environ | stack.environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert "Dead letters wait" in done.stdout
    documented = set(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))
    names = {name for cell in documented for name in re.findall(r"`(\w+)`", cell)}
    assert names == look(stack)[1].keys()


def test_a_company_whose_connection_cannot_work_is_named_and_one_without_any_is_not(tmp_path: Path) -> None:
    """Company 2's connection lacks everything that it needs; company 3 never had one. Both have their thumbnails."""
    binary = tansu_binary()
    if binary is None:
        missing("No embedded broker: install the extra `demo`.")
    broker = TansuKafka(binary)
    try:
        with a_stack(broker.start(), f"sqlite:///{tmp_path / 'rows.db'}", "t.", tmp_path) as stack:
            platform = stack.platform
            platform.add_rows(range(1, 4))
            with platform.engine.begin() as connection:
                add = "INSERT INTO storage_connections (id, name, provider, credentials) VALUES (2, 's', 'minio', '{}')"
                connection.execute(sa.text(add))
                for number, of in ((2, 2), (3, None)):
                    add = (
                        "INSERT INTO companies (id, name, slug, storage_connection_id) VALUES (:id, :slug, :slug, :of)"
                    )
                    connection.execute(sa.text(add), {"id": number, "slug": f"c{number}", "of": of})
                    update = "UPDATE ar_contents SET company_id = :id WHERE id = :id"
                    connection.execute(sa.text(update), {"id": number})
            uploads = [platform.upload(number, "image") for number in (1, 2, 3)]
            for number, upload in ((2, uploads[1]), (3, uploads[2])):
                key = f"c{number}/uploads/a.jpg"
                upload.event.update({"company_id": number, "media": upload.event["media"] | {"key": key}})
                path = platform.storage_root / key
                path.parent.mkdir(parents=True)
                path.write_bytes(platform.sample("image"))
            platform.publish(uploads)
            stack.wait_for(lambda: platform.count_rows("ready") == 3)
            stack.wait_for(lambda: look(stack)[1]["topics"][0]["groups"][0]["lag_records"] == 0)
            code, found = look(stack)
            shown = run_cli(stack.environment, "status")
    finally:
        broker.stop()
    assert found["tenants"] == [{"company_id": number, "ready": 1, "failed": 0} for number in (1, 2, 3)]
    (sentence,) = found["attention"]
    assert sentence.startswith("Company 2's storage connection 2 (minio) cannot be used: ")
    assert "; its thumbnails go to local storage." in sentence
    assert (code, found["ok"], shown.returncode) == (1, False, 1)
    assert "Company 2's storage connection 2 (minio) cannot be used: " in " ".join(shown.stdout.split())
    (fallback,) = found["fallbacks"]
    assert (fallback["company_id"], fallback["reason"]) == (2, "connection_broken")
    assert found["providers"] == [{"provider": "local_disk", "ready": 3, "fallbacks": 1}]
