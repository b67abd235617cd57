"""A backfill is paced, yields to live uploads, and goes on after it was killed, on SQLite and the in-memory Kafka."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from confluent_kafka import KafkaError

from schemas.cloudevents import read_event
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from service.backfill.pace import Pace, SendGate, records_waiting
from service.backfill.rows import RowPages
from service.backfill.runner import Backfill
from service.backfill.state import Mode, Reason, Run, backfill_file
from service.publish.uploads import PublishError, publish_uploads
from service.run_file import RunFileError
from streams.kafka.lag import GroupLag
from tests.doubles.memory_kafka.producer import MemoryProducer
from tests.doubles.memory_topics import Kafka
from tests.unit.service.backfill.platform_rows import VIDEO, VIDEOS, a_library, a_run

ROWS = 20
LIVE = b"live"
PARTITIONS = [("t", number) for number in range(3)]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """Nobody writes to it here."""
    path = tmp_path_factory.mktemp("library") / "rows.db"
    engine = a_library(f"sqlite:///{path}", dict.fromkeys(range(1, ROWS + 1), VIDEO))
    yield engine
    engine.dispose()


class Impatient(threading.Event):
    """Waits for nothing, so that no test waits for a rate."""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - the signature of an Event
        return self.is_set()


class Installation:
    """A backfill of the library's rows to a topic, and the workers that read it."""

    def __init__(self, library: sa.Engine, folder: Path) -> None:
        self.kafka = Kafka()
        self.producer = MemoryProducer(self.kafka.broker)
        self.file = backfill_file(folder / "state.json")
        self.stop = threading.Event()
        self._library = library

    def backfill(self, pace: Pace, **changes: object) -> Backfill:
        lag = GroupLag(self.kafka.make_consumer, monotonic=self.kafka.clock.monotonic)
        gate = SendGate(pace, lambda: records_waiting(lag, PARTITIONS), self.stop)
        fields = {"gate": gate, "send": self.send, "save": self.file.save} | changes
        return Backfill(pages=RowPages(self._library), **fields)  # type: ignore[arg-type] # the tests' own parts

    def send(self, uploads: list[MediaUploaded]) -> None:
        publish_uploads(self.producer, uploads, topic="t")

    def records(self) -> list[MediaUploaded]:
        values = [value for where in PARTITIONS for value in self._values(where) if value != LIVE]
        return [read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, value, ()) for value in values]

    def put_live(self, count: int) -> None:
        self.kafka.put(0, *[LIVE] * count)

    def waiting(self) -> int:
        """Records that the workers have not done."""
        done = self.kafka.broker.group("group").committed
        return sum(len(self._values(where)) - done.get(where, 0) for where in PARTITIONS)

    def work(self) -> None:
        """The workers do all that waits."""
        for where in PARTITIONS:
            self.kafka.commit(where[1], len(self._values(where)))

    def _values(self, where: tuple[str, int]) -> list[bytes]:
        messages = [entry.message for entry in self.kafka.broker.log(where).entries]
        return [message.value() or b"" for message in messages if message is not None]


@pytest.fixture
def installation(library: sa.Engine, tmp_path: Path) -> Installation:
    return Installation(library, tmp_path)


FAST = Pace(per_s=1e6, max_waiting=10_000)


def test_each_row_is_announced_once(installation: Installation, library: sa.Engine) -> None:
    run = a_run(library, kinds=VIDEOS)
    assert installation.backfill(FAST).run(run)
    assert sorted(event.media.id for event in installation.records()) == list(range(1, ROWS + 1))
    assert run.sent == ROWS


def test_no_more_waits_than_is_allowed_and_it_goes_on_when_workers_have_time(
    installation: Installation, library: sa.Engine
) -> None:
    most: list[int] = []

    class Workers(threading.Event):
        """While the backfill waits, the workers work."""

        def wait(self, timeout: float | None = None) -> bool:
            if timeout:
                installation.work()
            return self.is_set()

    def send(uploads: list[MediaUploaded]) -> None:
        installation.send(uploads)
        most.append(installation.waiting())

    installation.stop = Workers()
    installation.put_live(3)
    run = a_run(library, kinds=VIDEOS)
    assert installation.backfill(Pace(per_s=1e6, max_waiting=7), send=send).run(run)
    assert max(most) == 7, "the three live uploads count"
    assert len(installation.records()) == ROWS


def test_while_live_uploads_fill_the_cap_nothing_is_sent(installation: Installation, library: sa.Engine) -> None:
    waited = []

    class GivingUp(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            if len(waited) > 3:
                self.set()
            return self.is_set()

    installation.stop = GivingUp()
    installation.put_live(7)
    run = a_run(library, kinds=VIDEOS)
    assert not installation.backfill(Pace(per_s=1e6, max_waiting=7)).run(run)
    assert (run.sent, run.ids_done) == (0, 0)


def test_the_rate_is_kept() -> None:
    now = [100.0]

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            now[0] += timeout or 0.0
            return self.is_set()

    gate = SendGate(Pace(per_s=2.5, max_waiting=100), lambda: 0, Clock(), clock=lambda: now[0])
    sent = 0
    while sent < 30:
        count = gate.room()
        assert count == 3
        gate.sent(count)
        sent += count
    assert now[0] - 100.0 == pytest.approx(27 / 2.5)


def test_a_batch_is_a_second_s_worth_and_no_more_than_may_wait() -> None:
    assert Pace(per_s=0.1, max_waiting=100).batch == 1
    assert Pace(per_s=1e6, max_waiting=3).batch == 3


def test_killed_between_sending_and_writing_it_down_it_sends_the_same_events_again(
    installation: Installation, library: sa.Engine
) -> None:
    class KilledError(BaseException):
        pass

    saved: list[int] = []

    def save(run: Run) -> None:
        if run.sent > 8:
            raise KilledError
        saved.append(run.sent)
        installation.file.save(run)

    pace = Pace(per_s=4, max_waiting=10_000)
    installation.stop = Impatient()
    with pytest.raises(KilledError):
        installation.backfill(pace, save=save).run(a_run(library, kinds=VIDEOS))
    assert len(installation.records()) == 12

    run = installation.file.load("t")
    assert run.sent == 8
    assert installation.backfill(pace).run(run)
    events = installation.records()
    assert len(events) == ROWS + 4, "the last batch again"
    assert len({event.event_id for event in events}) == ROWS
    assert {event.media.id for event in events} == set(range(1, ROWS + 1))


def test_a_stop_finishes_the_batch_and_the_next_run_goes_on_behind_it(
    installation: Installation, library: sa.Engine
) -> None:
    def send(uploads: list[MediaUploaded]) -> None:
        installation.stop.set()  # Ctrl-C in the middle of it
        installation.send(uploads)

    run = a_run(library, kinds=VIDEOS)
    assert not installation.backfill(Pace(per_s=5, max_waiting=10_000), send=send).run(run)
    assert [event.media.id for event in sorted(installation.records(), key=lambda event: event.media.id)] == [
        *range(1, 6)
    ]

    installation.stop.clear()
    assert installation.backfill(FAST).run(installation.file.load("t"))
    assert sorted(event.media.id for event in installation.records()) == list(range(1, ROWS + 1))


def test_a_broker_that_refuses_stops_it_and_nothing_is_passed_over(
    installation: Installation, library: sa.Engine
) -> None:
    installation.producer.fail("deliver", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    run = a_run(library, kinds=VIDEOS)
    installation.file.save(run)
    with pytest.raises(PublishError):
        installation.backfill(FAST).run(run)
    assert installation.backfill(FAST).run(installation.file.load("t"))
    assert {event.media.id for event in installation.records()} == set(range(1, ROWS + 1))


def test_what_was_left_out_is_remembered_over_an_interruption(library: sa.Engine, tmp_path: Path) -> None:
    file, run = backfill_file(tmp_path / "state.json"), a_run(library, Mode.ALL)
    run.leave_out(Reason.NO_KEY, "video:7")
    file.save(run)
    assert file.load("t") == run
    file.remove()
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_gone_on_with_is_said(library: sa.Engine, tmp_path: Path) -> None:
    file = backfill_file(tmp_path / "state.json")
    with pytest.raises(RunFileError, match="no backfill was interrupted here"):
        file.load("t")
    file.require_none()
    file.path.write_text("{}")
    with pytest.raises(RunFileError, match="is not the state of a backfill"):
        file.load("t")
    with pytest.raises(RunFileError, match="go on with --resume"):
        file.require_none()
    file.save(a_run(library))
    with pytest.raises(RunFileError, match="to t, and not to other"):
        file.load("other")


def test_the_list_of_examples_is_bounded(library: sa.Engine) -> None:
    run = a_run(library)
    for number in range(1000):
        run.leave_out(Reason.NO_KEY, f"video:{number}")
    assert (run.left_out[Reason.NO_KEY].rows, len(run.left_out[Reason.NO_KEY].examples)) == (1000, 20)
