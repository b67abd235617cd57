"""From an upload to tusd, and from a plain POST, to a row with a thumbnail: the real tusd, Kafka and roles."""

import base64
import json
import re
import signal
from pathlib import Path

import pytest
import requests

from tests.conftest import missing
from tests.servers.go_tool import NoToolError
from tests.servers.go_tools import time_to_build
from tests.servers.tusd import a_tusd, tusd_program
from tests.system.stack import Stack, a_stack
from tests.system.test_health import get

TOKEN = "0123456789abcdef-http"  # noqa: S105 - of a test
RULES = r"""
[[rules]]
base_path = "%s/vault"
pattern = '.*/acme/uploads/[0-9a-f]+'
metadata = ["video", "part"]
company = 1
kind = "video"
id = "{video}"
ar_content_id = "{part}"
"""


@pytest.fixture
def program(pytestconfig: pytest.Config) -> Path:
    try:
        with time_to_build(pytestconfig) as say:
            return tusd_program(say)
    except NoToolError as exc:
        missing(str(exc))


def upload(url: str, content: bytes, **metadata: str) -> requests.Response:
    """Create an upload and send its bytes, as a client of tus 1.0 does; return the first refusal, or the last answer."""
    said = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())
    version = {"Tus-Resumable": "1.0.0"}
    made = requests.post(
        url, headers=version | {"Upload-Length": str(len(content)), "Upload-Metadata": said}, timeout=30
    )
    if made.status_code != 201:
        return made
    patch = version | {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    return requests.patch(made.headers["Location"], content, headers=patch, timeout=30)


def port_of(stack: Stack) -> int:
    (role,) = stack.supervisor.of("ingest http")
    return int(re.findall(r'"ingest_port": (\d+)', role.log.read_text())[-1])


def is_ready(stack: Stack, key: str) -> bool:
    return bool((stack.platform.row(key) or {})["thumbnail_status"] == "ready")


@pytest.mark.timeout(300)
def test_uploads_to_tusd_and_posted_events_get_thumbnails(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path, program: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES % (tmp_path / "storage"))
    settings = {
        "INGEST_RULES": str(rules),
        "INGEST_HTTP_TOKENS": TOKEN,
        "INGEST_HTTP_HOST": "127.0.0.1",
        "INGEST_HTTP_PORT": "0",
    }
    assert program.is_file()
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, **settings) as stack:
        stack.platform.add_rows(range(1, 3))
        stack.supervisor.start("ingest http")
        stack.supervisor.wait_until_ready()
        at = f"127.0.0.1:{port_of(stack)}"
        folder = tmp_path / "storage" / "vault" / "acme" / "uploads"
        folder.mkdir(parents=True, exist_ok=True)
        with a_tusd(folder, f"http://tusd:{TOKEN}@{at}/v1/tusd") as tusd:
            clip = stack.platform.sample("video", 1)
            refused = upload(tusd, clip, video="holiday", part="1")
            assert (refused.status_code, "holiday" in refused.json()["faults"][0]["message"]) == (400, True)
            assert upload(tusd, clip, video="1", part="1", filetype="video/mp4").status_code == 204
            stack.wait_for(lambda: is_ready(stack, "video:1"))

            sent = stack.platform.upload(2, "video")
            url, bearer = f"http://{at}/v1/events", {"authorization": f"Bearer {TOKEN}"}
            assert requests.post(url, json=sent.event, timeout=30).status_code == 401
            answers = [requests.post(url, json=sent.event, headers=bearer, timeout=30) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [202, 202]
            stack.wait_for(lambda: is_ready(stack, "video:2"))

            # Where the answer says that it stands, there it is; and both are on the partition of Java's clients.
            (first,), (second,) = (answer.json()["accepted"] for answer in answers)
            assert first["partition"] == second["partition"]
            records = stack.platform.read_topic("media.uploaded")
            places = {(record.partition(), record.offset()): record for record in records}
            assert len(places) == 3
            for accepted in (first, second):
                record = places[accepted["partition"], accepted["offset"]]
                assert (record.key(), json.loads(record.value())["event_id"]) == (b"video:2", sent.event["event_id"])
        (role,) = stack.supervisor.of("ingest http")
        shown = get(role, "/metrics")[1]
        for outcome, count in (("uploaded", 3), ("checked", 1), ("refused", 1), ("unauthorized", 1)):
            assert f'thumbnail_ingest_requests_total{{outcome="{outcome}"}} {count}.0' in shown
        role.process.send_signal(signal.SIGTERM)
        assert role.process.wait(30) == 0
        assert TOKEN not in role.log.read_text()
