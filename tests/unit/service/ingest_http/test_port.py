"""`thumbnails ingest http` over real sockets, before a producer that acknowledges when the test says so."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from confluent_kafka import KafkaError, Message

from schemas.events import MediaKind
from schemas.metrics import Metrics
from schemas.producing import upload_record
from service.ingest_http.app import IngestApp
from service.ingest_http.role import IngestHttpRole
from service.ingest_http.tokens import Tokens, TokensError
from streams.ingest.intake import Intake, IntakeOptions
from streams.ingest.rules import parse_rules
from streams.kafka import acknowledged
from streams.kafka.acknowledged import SingleSender
from streams.rows.by_path import PathRow
from streams.worker.clock_skew import ClockSkew
from tests.doubles.sources import wait_until
from tests.doubles.strange_records import SHAPES

OLD, NEW = "old-token-0123456789", "new-token-0123456789"
BEARER = {"authorization": f"Bearer {OLD}"}
MEDIA = {"kind": "video", "id": 42, "ar_content_id": 9, "key": "acme/uploads/a.mp4"}
EVENT = {"event_id": "e-1", "occurred_at": "2026-11-30T10:00:00Z", "company_id": 1, "media": MEDIA}
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
RULES = r"""
[[rules]]
pattern = '/srv/vault/acme/uploads/[0-9a-f]+'
base_path = "/srv/vault"
company = 1
kind = "video"
id = "{video}"
ar_content_id = "{content}"
metadata = ["video", "content"]

[[rules]]
bucket = "uploads"
metadata = ["folder"]
lookup = true
"""


class HeldProducer:
    """A producer whose acknowledgements come at a poll, while it is not cut off."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes, dict[str, bytes]]] = []
        self.is_cut_off = False
        self.error: KafkaError | None = None
        self._waiting: list[Any] = []

    def produce(self, topic: str, *, key: bytes, value: bytes, headers: Any, on_delivery: Any) -> None:
        self.sent.append((topic, key, value, dict(headers)))
        self._waiting.append((on_delivery, Message(topic=topic, partition=3, offset=len(self.sent) - 1)))

    def poll(self, timeout: float = -1) -> int:
        while self._waiting and not self.is_cut_off:
            on_delivery, message = self._waiting.pop(0)
            on_delivery(self.error, message)
        time.sleep(min(timeout, 0.005))
        return 0

    def flush(self, timeout: float = -1) -> int:
        raise AssertionError(timeout)


class Rows:
    def __init__(self) -> None:
        self.found: dict[str, tuple[PathRow, ...]] = {}

    def find(self, paths: Any) -> Mapping[str, tuple[PathRow, ...]]:
        return {path: rows for path, rows in self.found.items() if path in paths}


class Port:
    """The role in a thread, and what its callers are answered."""

    def __init__(self, tokens: Tokens) -> None:
        self.producer, self.rows, self.metrics = HeldProducer(), Rows(), Metrics(role="ingest")
        sender = SingleSender(self.producer, most_waiting=3, answer_s=0.3)  # type: ignore[arg-type]
        options = IntakeOptions(rules=parse_rules(RULES), rows=self.rows, row_wait_s=0)
        intake = Intake(sender.send, options, ClockSkew(300).check, lambda: NOW)
        self.role = IngestHttpRole(
            IngestApp(intake, tokens, self.metrics), sender, socket.create_server(("127.0.0.1", 0))
        )
        self.thread = threading.Thread(target=self.role.run)

    def post(self, body: object, path: str = "events", **headers: str) -> requests.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.role.port}/v1/{path}"
        return requests.post(url, data, headers=BEARER | headers, timeout=20)

    def outcomes(self) -> dict[str, float]:
        (family,) = self.metrics.ingest_requests_total.collect()
        return {one.labels["outcome"]: one.value for one in family.samples if one.name.endswith("_total")}


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# of the shop\n{OLD}\n")
    return path


@pytest.fixture
def port(tokens_file: Path) -> Iterator[Port]:
    found = Port(Tokens(None, tokens_file))
    found.thread.start()
    yield found
    found.producer.is_cut_off = False
    found.role.stop()
    found.thread.join(30)
    assert not found.thread.is_alive()


def hook(kind: str, key: str = "/srv/vault/acme/uploads/0af", bucket: str = "", **metadata: str) -> dict[str, Any]:
    """As tusd 2 writes one."""
    storage = {"Bucket": bucket, "Key": key, "Type": "s3store"} if bucket else {"Path": key, "Type": "filestore"}
    upload = {
        "ID": "0af",
        "Size": 5,
        "SizeIsDeferred": False,
        "Offset": 5,
        "MetaData": metadata or None,
        "IsPartial": False,
        "IsFinal": False,
        "PartialUploads": None,
        "Storage": storage if kind != "pre-create" else None,
    }
    request = {"Method": "PATCH", "URI": "/files/0af", "RemoteAddr": "10.0.0.1:1", "Header": {"Host": ["x"]}}
    return {"Type": kind, "Event": {"Upload": upload, "HTTPRequest": request}}


def test_an_event_in_each_mode_becomes_the_record_that_our_producer_helper_makes(port: Port) -> None:
    expected = upload_record(1, MEDIA, event_id="e-1", occurred_at=datetime(2026, 11, 30, 10, tzinfo=UTC))
    context = {"ce-specversion": "1.0", "ce-id": "e-1", "ce-type": "vertexar.media.uploaded.v1"}
    context |= {"ce-source": "/shop%20one", "ce-time": "2026-11-30T10:00:00Z", "content-type": "application/json"}
    inner = {name: EVENT[name] for name in ("company_id", "media")}
    structured = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": context["ce-type"], "data": EVENT}
    trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    answers = [
        port.post(EVENT, correlationid="order-7", traceparent=trace),
        port.post(inner, **context, **{"ce-correlationid": "order-7"}),
        port.post(structured, **{"content-type": "application/cloudevents+json; charset=utf-8"}),
    ]
    assert [answer.status_code for answer in answers] == [202] * 3
    accepted = {"event_id": "e-1", "key": "video:42", "topic": "media.uploaded", "partition": 3}
    assert [answer.json() for answer in answers] == [
        {"accepted": [accepted | {"offset": offset}]} for offset in range(3)
    ]
    assert {record[:3] for record in port.producer.sent} == {("media.uploaded", expected.key, expected.value)}
    first, second, third = (record[3] for record in port.producer.sent)
    assert (first["ce_type"], first["ce_id"]) == (b"vertexar.media.uploaded.v1", b"e-1")
    assert (first["correlationid"], first["traceparent"]) == (b"order-7", trace.encode())
    assert (second["ce_source"], second["correlationid"], third["correlationid"]) == (b"/shop one", b"order-7", b"e-1")

    deletion = port.post(EVENT | {"event_id": "e-2"}, **context | {"ce-type": "vertexar.media.deleted.v1"})
    assert (deletion.status_code, port.producer.sent[-1][3]["ce_type"]) == (202, b"vertexar.media.deleted.v1")
    assert port.outcomes() == {"uploaded": 3, "deleted": 1}


def test_what_cannot_be_taken_is_answered_with_all_its_faults_and_never_sent(port: Port) -> None:
    wrong = EVENT | {"company_id": "1", "media": MEDIA | {"kind": "VIDEO", "id": 0}}
    answer = port.post(wrong)
    said = answer.json()
    assert (answer.status_code, said["error"]["code"]) == (400, "event.malformed")
    assert [fault["field"] for fault in said["faults"]] == ["company_id", "media.kind", "media.id"]
    assert "must be" in said["faults"][1]["message"]
    assert said["error"]["next_action"]

    future = EVENT | {"occurred_at": (NOW + timedelta(hours=1)).isoformat()}
    assert port.post(future).json()["error"]["code"] == "event.in_future"
    assert port.post(b"x" * 300_000).status_code == 413
    endless = requests.post(
        f"http://127.0.0.1:{port.role.port}/v1/events", (b"x" * 60_000 for _ in range(6)), headers=BEARER, timeout=20
    )
    assert (endless.status_code, endless.json()["error"]["code"]) == (413, "event.too_large")
    get = requests.get(f"http://127.0.0.1:{port.role.port}/v1/events", headers=BEARER, timeout=20)
    assert (get.status_code, get.headers["allow"]) == (405, "POST")
    assert port.post(EVENT, path="other").status_code == 404


def test_each_shape_that_strangers_send_is_taken_or_refused_as_the_worker_does(port: Port) -> None:
    in_time = EVENT | {"occurred_at": NOW.isoformat()}
    for shape in SHAPES:
        _, value, headers = shape.make(dict(in_time))
        if {"kafka", "key"} & set(shape.name.split()) or any(name.startswith("x-") for name in headers):
            continue
        shown = {name.replace("ce_", "ce-"): value.decode("latin-1") for name, value in headers.items()}
        answer = port.post(value, **{"content-type": "application/json"} | shown)
        if shape.is_refused:
            assert answer.json()["error"]["code"] == shape.ends, shape.name
            said = json.dumps([fault["message"] for fault in answer.json()["faults"]], ensure_ascii=False)
            assert all(json.dumps(word)[1:-1] in said for word in shape.faults), (shape.name, said)
        else:
            assert answer.status_code == 202, (shape.name, answer.text)


def test_without_a_token_nothing_is_taken_and_tokens_rotate_while_it_runs(port: Port, tokens_file: Path) -> None:
    def status(authorization: str) -> int:
        return port.post(EVENT, authorization=authorization).status_code

    basic = requests.auth._basic_auth_str("tusd", OLD)
    assert [status(shown) for shown in (f"Bearer {OLD}", basic, f"bearer {OLD}")] == [202] * 3
    wrong = ("", "Bearer", f"Bearer {OLD}x", f"Bearer {NEW}", "Basic !", f"Digest {OLD}", f"Bearer {OLD[:-1]}\xe9")
    assert {status(shown) for shown in wrong} == {401}
    tokens_file.write_text(f"{OLD}\n{NEW}\n")
    assert (status(f"Bearer {NEW}"), status(f"Bearer {OLD}")) == (202, 202)
    tokens_file.write_text(NEW)
    assert (status(f"Bearer {NEW}"), status(f"Bearer {OLD}")) == (202, 401)
    tokens_file.write_text("short")
    assert status(f"Bearer {NEW}") == 202
    with pytest.raises(TokensError, match="no token"):
        Tokens(None, None)
    with pytest.raises(TokensError, match="fewer than 16"):
        Tokens("short", None)


def test_nothing_is_accepted_before_the_broker_has_it(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    port.producer.is_cut_off = True
    late = port.post(EVENT)
    assert (late.status_code, late.headers["retry-after"]) == (503, "5")
    assert late.json()["error"]["code"] == "ingest.unavailable"
    assert port.role.cluster.problem is not None
    port.producer.is_cut_off = False
    wait_until(lambda: port.role.cluster.problem is None)
    assert port.post(EVENT).status_code == 202
    port.producer.error = KafkaError(KafkaError.NOT_ENOUGH_REPLICAS)
    refused = port.post(EVENT)
    assert (refused.status_code, "min.insync.replicas" in refused.json()["error"]["message"]) == (503, True)
    port.producer.error = None
    assert port.role.cluster.problem is not None
    monkeypatch.setattr(acknowledged, "PROBLEM_S", 0.0)  # requests may not come while it is red: so it ends by itself
    assert port.role.cluster.problem is None


def test_a_full_queue_is_answered_with_too_many_requests(port: Port) -> None:
    assert port.post(EVENT).status_code == 202
    port.producer.is_cut_off = True
    found: list[requests.Response] = []
    callers = [threading.Thread(target=lambda: found.append(port.post(EVENT))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    codes = sorted(answer.status_code for answer in found)
    assert codes.count(503) >= 3
    assert set(codes) <= {429, 503}
    assert len(port.producer.sent) == 1 + 3
    assert all("retry-after" in answer.headers for answer in found)


def test_a_finished_upload_of_tusd_becomes_the_media_that_the_rules_make_of_it(port: Port) -> None:
    ids = {"video": "42", "content": "9", "filetype": "video/mp4"}
    answers = [port.post(hook("post-finish", **ids), path="tusd") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = port.producer.sent
    assert first == second, "a repeated hook is the same record"
    event = json.loads(first[2])
    assert (first[1], event["company_id"], event["occurred_at"]) == (b"video:42", 1, "2026-11-30T12:00:00Z")
    assert event["media"]["key"] == "acme/uploads/0af"
    assert (event["media"]["content_type"], event["media"]["size_bytes"]) == ("video/mp4", 5)

    by_row = hook("pre-finish", "acme/x.mp4", "uploads", folder="x")
    waiting = port.post(by_row, path="tusd")
    assert (waiting.status_code, "acme/x.mp4" in waiting.json()["error"]["message"]) == (503, True)
    port.rows.found["acme/x.mp4"] = (PathRow(MediaKind.IMAGE, 7, 7, 2),)
    assert port.post(by_row, path="tusd").json()["accepted"][0]["key"] == "ar_content:7"
    for passed in (
        hook("post-create", **ids),
        hook("post-finish", "a/thumbnails/video/1/20261130T100000.000000Z-x/a.webp"),
    ):
        assert (port.post(passed, path="tusd").status_code, len(port.producer.sent)) == (200, 3)


def test_an_upload_of_tusd_that_no_rule_is_for_is_refused_before_it_begins(port: Port) -> None:
    good = port.post(hook("pre-create", video="42", content="9"), path="tusd")
    assert (good.status_code, good.json()) == (200, {})
    wrong = port.post(hook("pre-create", video="holiday", content="nine"), path="tusd").json()
    assert (wrong["RejectUpload"], wrong["HTTPResponse"]["StatusCode"]) == (True, 400)
    faults = [fault["message"] for fault in json.loads(wrong["HTTPResponse"]["Body"])["faults"]]
    assert ("holiday" in faults[0], "nine" in faults[1], "folder" in faults[2]) == (True, True, True)
    for odd, field in (
        (b"[]", None),
        (b"{}", "Type"),
        (b'{"Type": "post-finish", "Event": {"Upload": {"ID": 5}}}', "Event.Upload.ID"),
    ):
        answer = port.post(odd, path="tusd")
        assert (answer.status_code, answer.json()["faults"][0]["field"]) == (400, field)
    assert port.producer.sent == []
