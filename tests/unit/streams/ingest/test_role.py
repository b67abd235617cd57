"""The ingest loop on the in-memory Kafka: each notification has one outcome, whatever happens between two side effects."""

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka import KafkaError
from sqlalchemy.exc import OperationalError, ProgrammingError
from structlog.testing import capture_logs

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.events import MEDIA_UPLOADED_TYPE, MediaKind, MediaUploaded
from schemas.media_state import MEDIA_DELETED_TYPE, MediaDeletion
from streams.ingest.role import IngestOptions, IngestRole
from streams.ingest.rules import parse_rules
from streams.kafka.records import InboundRecord
from streams.rows.by_path import PathRow
from tests.doubles.memory_kafka.broker import KilledError
from tests.doubles.memory_loops import Loop
from tests.doubles.notifications import TEST_EVENT, aws, minio, of_minio, records

TOPIC, UPLOADS, DLQ = "media.notifications", "media.uploaded", "thumbnail.dlq"
RULES = r"""
[[rules]]
prefix = "ids/"
pattern = 'ids/(?P<content>\w+)/(?P<video>\d+)\.mp4'
company = 1
kind = "video"
id = "{video}"
ar_content_id = "{content}"
deletions = true

[[rules]]
prefix = "kept/"
pattern = 'kept/(?P<id>\d+)'
company = 1
kind = "image"
id = "{id}"

[[rules]]
prefix = "rows/"
lookup = true
deletions = true
"""
ROW = PathRow(MediaKind.VIDEO, 42, 9, 1)


class FakeRows:
    """Rows that come when the test says so, in a database that may be away."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[PathRow, ...]] = {}
        self.fault: Exception | None = None
        self.asked = 0

    def find(self, paths: Collection[str]) -> Mapping[str, tuple[PathRow, ...]]:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return {path: rows for path, rows in self.found.items() if path in paths}


class IngestLoop(Loop):
    group = "ingest"

    def __init__(self) -> None:
        super().__init__({TOPIC: 2, UPLOADS: 1, DLQ: 1})
        self.rows = FakeRows()

    def run(self, seconds: float = 5) -> None:
        options = IngestOptions(self.group, parse_rules(RULES), rows=self.rows)
        self.role = IngestRole(self.clients, options, self.metrics, now=self.clock.now)
        self.clock.after(seconds, self.role.stop)
        self.role.run()

    def run_until_killed(self) -> None:
        with suppress(KilledError):
            self.run(1000)
            raise AssertionError("nothing killed it")

    def put(self, value: bytes | None, partition: int = 0) -> None:
        self.broker.put((TOPIC, partition), value, key=b"media/key")

    @property
    def events(self) -> list[MediaUploaded | MediaDeletion]:
        return [event_in(record) for record in self.broker.records(UPLOADS)]

    @property
    def dead_letters(self) -> list[InboundRecord]:
        return self.broker.records(DLQ)

    def counted(self, outcome: str) -> float:
        return float(self.metrics.notifications_total.labels(outcome)._value.get())


def event_in(record: InboundRecord) -> MediaUploaded | MediaDeletion:
    if h.get_header(record.headers, h.CE_TYPE) == MEDIA_DELETED_TYPE:
        return read_event(MediaDeletion, MEDIA_DELETED_TYPE, record.value, record.headers)
    return read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, record.value, record.headers)


def outage() -> OperationalError:
    return OperationalError("SELECT", {}, Exception("connection refused"), connection_invalidated=True)


@pytest.fixture
def loop() -> IngestLoop:
    return IngestLoop()


def test_a_stored_object_becomes_an_upload_and_is_then_committed(loop: IngestLoop) -> None:
    loop.put(of_minio(minio(key="ids%2F9%2F42.mp4")))
    loop.run()
    (event,) = loop.events
    assert isinstance(event, MediaUploaded)
    assert (event.company_id, event.media.kind, event.media.id, event.media.ar_content_id) == (1, "video", 42, 9)
    assert (event.media.key, event.media.content_type, event.media.size_bytes) == ("ids/9/42.mp4", "video/mp4", 1024)
    assert event.occurred_at.isoformat() == "2026-11-30T10:00:00.123000+00:00"
    (record,) = loop.broker.records(UPLOADS)
    assert record.key == b"video:42"
    assert h.get_header(record.headers, "ce_source") == "/thumbnail-pipeline/ingest/s3/media"
    assert loop.broker.journal == [f"sent {UPLOADS}", f"committed {TOPIC}[0]@1"]
    assert loop.counted("uploaded") == 1


def test_a_removed_object_becomes_a_deletion_where_its_rule_says_so(loop: IngestLoop) -> None:
    loop.put(records(aws("ObjectRemoved:Delete", key="ids/9/42.mp4"), aws("ObjectRemoved:Delete", key="kept/9")))
    loop.run()
    (event,) = loop.events
    assert isinstance(event, MediaDeletion)
    assert (event.company_id, event.media.record_key) == (1, "video:42")
    assert (loop.counted("deleted"), loop.counted("skipped")) == (1, 1)


def test_the_same_notification_has_the_same_event_and_another_change_another_one(loop: IngestLoop) -> None:
    stored, removed = aws(key="ids/9/42.mp4"), aws("ObjectRemoved:Delete", key="ids/9/42.mp4")
    again = stored | {"eventTime": "2026-11-30T10:00:00.124Z"}
    for one in (stored, removed, again, stored):
        loop.put(records(one))
    loop.run()
    first, second, third, fourth = (event.event_id for event in loop.events)
    assert len({first, second, third}) == 3
    assert first == fourth
    values = loop.values(UPLOADS)
    assert values[0] == values[3]


def test_an_object_that_is_stored_and_removed_in_one_moment_has_two_events(loop: IngestLoop) -> None:
    for name in ("ObjectCreated:Put", "ObjectRemoved:Delete"):
        loop.put(records(aws(name, key="ids/9/42.mp4", eTag=None)))
    loop.run()
    stored, removed = loop.events
    assert stored.occurred_at == removed.occurred_at
    assert stored.event_id != removed.event_id


def test_our_own_thumbnails_tests_and_other_events_publish_nothing(loop: IngestLoop) -> None:
    ours = "ids/thumbnails/video/42/20261130T100000.123000Z-0123456789ab-1-abcdefabcdef/medium.webp"
    for value in (records(aws(key=ours)), TEST_EVENT, records(aws("ObjectTagging:Put", key="ids/9/42.mp4"))):
        loop.put(value)
    loop.run()
    assert (loop.events, loop.dead_letters, loop.counted("skipped")) == ([], [], 3)
    assert loop.committed(TOPIC) == 3


def test_an_object_without_a_rule_is_counted_and_said_once_of_its_folder(loop: IngestLoop) -> None:
    for key in ("new/a", "new/b/c", "other/a", "top"):
        loop.put(records(aws(key=key)))
    with capture_logs() as logs:
        loop.run()
    told = [line["folder"] for line in logs if line["event"] == "notification_unmatched"]
    assert told == ["new", "other", ""]
    assert (loop.counted("unmatched"), loop.events, loop.dead_letters) == (4, [], [])


def test_what_is_no_notification_becomes_a_dead_letter_as_it_came(loop: IngestLoop) -> None:
    loop.put(b"\0\xff")
    loop.put(None)
    loop.run()
    first, second = loop.dead_letters
    assert (first.value, first.key, second.value) == (b"\0\xff", b"media/key", None)
    said = {name: h.get_header(first.headers, name) for name in (h.ERROR_CODE, h.ORIGINAL_TOPIC, h.ORIGINAL_OFFSET)}
    assert said == {h.ERROR_CODE: "notification.malformed", h.ORIGINAL_TOPIC: TOPIC, h.ORIGINAL_OFFSET: "0"}
    assert loop.committed(TOPIC) == 2


def test_one_object_that_cannot_be_placed_takes_no_other_with_it(loop: IngestLoop) -> None:
    loop.put(records(aws(key="ids/nine/42.mp4"), aws(key="ids/9/43.mp4")))
    loop.run()
    assert [event.media.record_key for event in loop.events] == ["video:43"]
    (letter,) = loop.dead_letters
    assert "Rule 1 makes 'nine'" in (h.get_header(letter.headers, h.ERROR_MESSAGE) or "")


def test_headers_that_only_we_may_write_are_not_believed(loop: IngestLoop) -> None:
    false: list[tuple[str, bytes | None]] = [
        (h.ORIGINAL_TOPIC, b"thumbnail.cleanup"),
        ("own", b"1"),
        (h.REPLAY_COUNT, b"2"),
    ]
    loop.broker.put((TOPIC, 0), b"none", key=None, headers=false)
    loop.run()
    (letter,) = loop.dead_letters
    assert h.get_header(letter.headers, h.ORIGINAL_TOPIC) == TOPIC
    assert [h.get_header(letter.headers, name) for name in ("own", h.REPLAY_COUNT)] == ["1", "2"]


def test_a_path_is_looked_up_and_every_row_that_has_it_gets_an_upload(loop: IngestLoop) -> None:
    loop.rows.found["rows/a.mp4"] = (ROW, PathRow(MediaKind.IMAGE, 5, 5, 2))
    loop.put(records(aws(key="rows/a.mp4")))
    loop.run()
    assert [(event.company_id, event.media.record_key) for event in loop.events] == [
        (1, "video:42"),
        (2, "ar_content:5"),
    ]


def test_an_upload_waits_for_a_row_that_is_written_after_its_object(loop: IngestLoop) -> None:
    loop.put(records(aws(key="rows/late.mp4")))
    loop.put(records(aws(key="ids/9/1.mp4")))
    loop.clock.after(10, lambda: loop.rows.found.update({"rows/late.mp4": (ROW,)}))
    loop.clock.after(9, lambda: sent_before.extend(event.media.record_key for event in loop.events))
    sent_before: list[str] = []
    loop.run(60)
    assert sent_before == ["video:1"], "what is known does not wait"
    assert [event.media.record_key for event in loop.events] == ["video:1", "video:42"]
    assert loop.dead_letters == []
    assert loop.committed(TOPIC) == 2


def test_what_comes_after_a_wait_is_read(loop: IngestLoop) -> None:
    loop.put(records(aws(key="rows/late.mp4")))
    loop.clock.after(5, lambda: loop.rows.found.update({"rows/late.mp4": (ROW,)}))
    loop.clock.after(20, lambda: loop.put(records(aws(key="ids/9/1.mp4"))))
    loop.run(30)
    assert [event.media.record_key for event in loop.events] == ["video:42", "video:1"]


@pytest.mark.parametrize("fault", [None, outage()], ids=["the row", "the database"])
def test_a_stop_during_a_wait_commits_nothing_and_the_next_process_goes_on(
    loop: IngestLoop, fault: Exception | None
) -> None:
    loop.rows.fault = fault
    loop.put(records(aws(key="rows/late.mp4")))
    loop.run(10)
    assert (loop.events, loop.dead_letters, loop.committed(TOPIC)) == ([], [], None)
    loop.restart()
    loop.rows.fault, loop.rows.found = None, {"rows/late.mp4": (ROW,)}
    loop.run(10)
    assert [event.media.record_key for event in loop.events] == ["video:42"]
    assert loop.committed(TOPIC) == 1


def test_an_upload_whose_row_never_comes_is_a_dead_letter_after_the_wait(loop: IngestLoop) -> None:
    loop.put(records(aws(key="rows/never.mp4")))
    loop.run(29)
    assert (loop.dead_letters, loop.committed(TOPIC)) == ([], None)
    loop.restart()
    loop.run(5)
    (letter,) = loop.dead_letters
    assert h.get_header(letter.headers, h.ERROR_CODE) == "notification.no_row"
    assert loop.committed(TOPIC) == 1


def test_old_notifications_wait_for_no_row(loop: IngestLoop) -> None:
    loop.put(records(aws(key="rows/never.mp4")))
    loop.clock.wait(3600)
    loop.run(1)
    assert (len(loop.dead_letters), loop.rows.asked) == (1, 1)


def test_a_removed_object_without_a_row_shows_nothing_and_is_passed_over(loop: IngestLoop) -> None:
    """As when the platform wrote another path before it removed the old file: the media is not deleted."""
    loop.rows.found["rows/new.mp4"] = (ROW,)
    loop.put(records(aws("ObjectRemoved:Delete", key="rows/old.mp4")))
    loop.run(2)
    assert (loop.events, loop.dead_letters, loop.counted("no_row")) == ([], [], 1)
    assert loop.committed(TOPIC) == 1


def test_a_database_that_is_away_is_waited_for_and_one_that_refuses_ends_the_role(loop: IngestLoop) -> None:
    loop.rows.found["rows/a.mp4"] = (ROW,)
    loop.rows.fault = outage()
    loop.put(records(aws(key="rows/a.mp4")))
    problems: list[str | None] = []
    loop.clock.after(50, lambda: problems.append(loop.role.database_problem))
    loop.clock.after(60, lambda: setattr(loop.rows, "fault", None))
    loop.run(200)
    assert [event.media.record_key for event in loop.events] == ["video:42"]
    assert problems[0] is not None
    assert loop.role.database_problem is None

    loop.restart()
    loop.rows.fault = ProgrammingError("SELECT", {}, Exception("no such column"))
    loop.put(records(aws(key="rows/a.mp4")))
    with pytest.raises(ProgrammingError):
        loop.run(60)


def test_the_wait_for_a_row_begins_again_with_a_database_that_could_not_be_written_to(loop: IngestLoop) -> None:
    loop.rows.fault = outage()
    loop.put(records(aws(key="rows/late.mp4")))
    loop.clock.after(100, lambda: setattr(loop.rows, "fault", None))
    loop.clock.after(120, lambda: loop.rows.found.update({"rows/late.mp4": (ROW,)}))
    loop.run(200)
    assert [event.media.record_key for event in loop.events] == ["video:42"]
    assert loop.dead_letters == []


DEATHS: list[tuple[str, Callable[[IngestLoop], Any]]] = [
    ("before the events are sent", lambda loop: loop.producer.before("flush", loop.die)),
    ("between two events", lambda loop: loop.producer.before("deliver", loop.die, skip=1)),
    ("before the dead letters are sent", lambda loop: loop.producer.before("flush", loop.die, skip=1)),
    ("between sending and committing", lambda loop: loop.consumer.before("commit", loop.die)),
]


@pytest.mark.parametrize("plan", [plan for _, plan in DEATHS], ids=[name for name, _ in DEATHS])
def test_a_process_that_dies_repeats_the_same_events_and_loses_none(
    loop: IngestLoop, plan: Callable[[IngestLoop], Any]
) -> None:
    for key in ("ids/9/1.mp4", "ids/9/2.mp4"):
        loop.put(records(aws(key=key)))
    loop.put(b"none")
    plan(loop)
    loop.run_until_killed()
    loop.restart()
    loop.clock.wait(60)
    loop.run(60)
    assert {(event.event_id, event.media.record_key) for event in loop.events} == {
        (event.event_id, event.media.record_key) for event in loop.events[-2:]
    }
    assert {event.media.record_key for event in loop.events} == {"video:1", "video:2"}
    assert {letter.value for letter in loop.dead_letters} == {b"none"}
    assert loop.committed(TOPIC) == 3
    assert json.loads(loop.values(UPLOADS)[0] or b"")["event_id"].startswith("s3-")


def test_a_cluster_that_takes_nothing_for_now_is_waited_for(loop: IngestLoop) -> None:
    loop.put(records(aws(key="ids/9/1.mp4")))
    loop.producer.fail("deliver", KafkaError(KafkaError.NOT_ENOUGH_REPLICAS))
    loop.run(30)
    assert [event.media.record_key for event in loop.events] == ["video:1"]
    assert loop.committed(TOPIC) == 1
