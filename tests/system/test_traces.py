"""The trace of an upload, seen by a collector: whatever became of it on the way, it is one."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.trace_tree import tree, unconnected
from tests.servers.collector import CollectedSpan, Collector, a_collector
from tests.system.platform import Upload
from tests.system.stack import Stack, a_stack, run_cli

PAGE = Path(__file__).parents[2] / "docs" / "traces.md"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with a_collector() as running:
        yield running


@pytest.fixture(scope="module")
def stack(kafka: str, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two retries, half a second each, and a trace of everything."""
    folder, prefix = tmp_path_factory.mktemp("traces"), f"t-{uuid.uuid4().hex[:8]}."
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with a_stack(kafka, f"sqlite:///{folder / 'x.db'}", prefix, folder, RETRY_DELAYS_S="0.5,0.5", **traces) as made:
        yield made


def published(stack: Stack, upload: Upload) -> None:
    done = run_cli(stack.environment, "publish", "--event", json.dumps(upload.event))
    assert done.returncode == 0, done.stderr


def status_of(stack: Stack, upload: Upload) -> object:
    row = stack.platform.row(upload.record_key)
    return row and row["thumbnail_status"]


def of_trace(collector: Collector, trace_id: str) -> list[CollectedSpan]:
    return [span for span in collector.spans() if span.trace_id == trace_id]


def is_complete(spans: list[CollectedSpan]) -> bool:
    """Whether all that was sent was received, too."""
    sent, taken = (
        Counter(span.attributes["messaging.destination.name"] for span in spans if span.name.startswith(verb))
        for verb in ("send ", "process ")
    )
    return bool(spans) and sent == taken


def test_an_upload_that_failed_died_and_was_replayed_is_one_trace(stack: Stack, collector: Collector) -> None:
    topic_prefix = stack.platform.topic_prefix
    stack.platform.add_rows(range(7, 8))
    upload = stack.platform.upload(7, "image")
    source = stack.platform.storage_root / "vault" / upload.event["media"]["key"]
    content = source.read_bytes()
    source.unlink()  # it comes late: too late for two retries
    published(stack, upload)
    stack.wait_for(lambda: status_of(stack, upload) == "failed")

    source.write_bytes(content)
    replayed = run_cli(stack.environment, "dlq", "replay", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    stack.wait_for(lambda: status_of(stack, upload) == "ready")
    stack.wait_for(lambda: is_complete(collector.spans()))

    spans = collector.spans()
    shown = tree(spans, prefix=topic_prefix)
    print(f"\n{tree(spans, prefix=topic_prefix, times=True)}")  # noqa: T201 - the trace of this run
    assert unconnected(spans) == []
    assert len({span.trace_id for span in spans}) == 1
    _follows_the_conventions(spans, topic_prefix)
    _tells_bytes_and_times(spans, len(content))
    written = json.dumps([span.attributes for span in spans])
    assert "://" not in written
    assert upload.event["media"]["key"] not in written
    assert f"```text\n{shown}\n```" in PAGE.read_text(), "docs/traces.md shows another tree than this one"


def _follows_the_conventions(spans: list[CollectedSpan], prefix: str) -> None:
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        operation, _, topic = span.name.partition(" ")
        if not topic:
            assert span.kind == "INTERNAL"
            continue
        assert span.attributes["messaging.system"] == "kafka"
        assert span.attributes["messaging.operation.type"] == operation
        assert span.attributes["messaging.destination.name"] == topic
        assert topic.startswith(prefix)
        assert span.kind == {"send": "PRODUCER", "process": "CONSUMER"}[operation]
        if operation == "process":
            (link,) = span.links
            assert by_id[link[1]].name == f"send {topic}", "it links to where its record was made"
            assert isinstance(span.attributes["messaging.kafka.offset"], int)
            assert "messaging.destination.partition.id" in span.attributes
            assert span.is_error == ("error.type" in span.attributes)


def _tells_bytes_and_times(spans: list[CollectedSpan], source_bytes: int) -> None:
    """Of the one attempt that read its source."""
    stages = {span.name: span for span in spans if span.name in ("decode", "render", "upload")}
    read = next(span for span in spans if span.name == "read" and not span.is_error)
    parents = {span.parent_id for span in (read, *stages.values())}
    assert len(parents) == 1
    (work,) = (span for span in spans if span.span_id in parents)
    assert all(work.start_ns <= span.start_ns <= span.end_ns <= work.end_ns for span in (read, *stages.values()))
    assert read.attributes["thumbnail.source.size"] == source_bytes
    assert 0 < int(read.attributes["thumbnail.source.bytes_read"]) <= source_bytes
    assert (
        stages["upload"].attributes["thumbnail.uploaded_bytes"]
        == stages["render"].attributes["thumbnail.rendered_bytes"]
    )
    assert stages["decode"].end_ns == stages["render"].start_ns


def test_a_trace_of_others_goes_on_and_one_that_is_not_sampled_stays_unseen(stack: Stack, collector: Collector) -> None:
    stack.platform.add_rows(range(1, 3))
    unsampled, sampled = (stack.platform.upload(number, "image") for number in (1, 2))
    stack.platform.publish([unsampled], traceparent=f"00-{'b' * 32}-b7ad6b7169203331-00")
    stack.platform.publish([sampled], traceparent=f"00-{'a' * 32}-b7ad6b7169203331-01")
    for upload in (unsampled, sampled):
        stack.wait_for(lambda upload=upload: status_of(stack, upload) == "ready")  # type: ignore[misc]
    stack.wait_for(lambda: len(of_trace(collector, "a" * 32)) >= 7)

    first, *others = of_trace(collector, "a" * 32)
    assert (first.parent_id, first.links) == ("b7ad6b7169203331", (("a" * 32, "b7ad6b7169203331"),))
    assert unconnected([first, *others]) == [first.name]
    assert of_trace(collector, "b" * 32) == []
    ready = {message.key(): dict(message.headers()) for message in stack.platform.read_topic("thumbnail.ready")}
    assert ready[b"ar_content:2"]["traceparent"].startswith(b"00-" + b"a" * 32)
    assert ready[b"ar_content:1"]["traceparent"].startswith(b"00-" + b"b" * 32)
    assert ready[b"ar_content:1"]["traceparent"].endswith(b"-00")


def test_a_collector_that_hangs_holds_up_nothing(stack: Stack, collector: Collector) -> None:
    collector.hangs.set()
    stack.platform.add_rows(range(11, 31))
    uploads = [stack.platform.upload(number, "image") for number in range(11, 31)]
    asked_before = collector.requests
    stack.platform.publish(uploads)
    for upload in uploads:
        stack.wait_for(lambda upload=upload: status_of(stack, upload) == "ready", timeout_s=30)  # type: ignore[misc]
    assert collector.requests > asked_before, "it was asked, and did not answer"
