"""One fault, from a quiet installation to a quiet installation, and what rows, objects, topics and logs say of it."""

import collections
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from tests.campaign.brokers.faults import Fault, Hit
from tests.campaign.brokers.installation import Installation, Marks, Said, said_since
from tests.campaign.brokers.publisher import Publisher, Sent

TICK_S: Final = 0.2
PARTITIONS_READ_WITHIN_S: Final = 60.0
IDS_EACH: Final = 10_000
AT_ONCE_S: Final = 4.0
FAILOVER_S: Final = 90.0


@dataclass(frozen=True)
class Pace:
    """How long uploads come before and after a fault, and how long it may take to recover."""

    before_s: float = 6.0
    after_s: float = 6.0
    settle_s: float = 240.0


@dataclass
class Outcome:
    """What one fault came to. Times are seconds; `problems` are sentences, empty when all was as it must be."""

    fault: Fault
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    repeated: int = 0
    first_s: float | None = None
    """From the fault to the first outcome of an upload that was published after it."""
    first_after_repair_s: float | None = None
    last_after_repair_s: float = 0.0
    """From the repair to the last outcome of those that were acknowledged before it; 0 when all were there."""
    slowest_s: float = 0.0
    """The longest that one upload waited for its outcome."""
    lasted_s: float = 0.0
    restarts: int = 0
    said: Said = field(default_factory=Said)
    problems: list[str] = field(default_factory=list)


class Trial:
    """Makes faults one after the other."""

    def __init__(self, installation: Installation, pace: Pace, say: Callable[[str], object]) -> None:
        self._at: Final = installation
        self._pace: Final = pace
        self._say: Final = say
        self._next_id = 1
        self._red: set[str] = set()
        self._dead: set[str] = set()

    def run(self, fault: Fault) -> Outcome:
        """Make the fault, repair it, and judge."""
        at, done, hit = self._at, Outcome(fault), Hit()
        self._say(f"{fault.name}: {fault.done}")
        dead_before = self._count("thumbnail.dlq") + self._count("thumbnail.ready.dlq")
        ready_before = 0 if "ready-deleted" in fault.name else self._count("thumbnail.ready")
        publisher = Publisher(at.platform, self._next_id, self._note)
        self._next_id += IDS_EACH
        publisher.start()
        self._watch(self._pace.before_s)
        if fault.is_quiet:
            publisher.end()
            self._settle(publisher, done)
            publisher = self._and_on(publisher, done)
        restarts, marks = at.restarts(), Marks.of(at)
        self._red, self._dead = set(), set()
        began = time.monotonic()
        fault.inject(at, hit)
        if fault.is_quiet:
            publisher.start()
        if fault.uses_new_partitions:
            publisher.use_partitions((6, 7, 8))
        self._watch(fault.held_s, is_fault=True)
        if fault.fails_over:
            self._watch_until_others_take_over(publisher, done, began)
        repairing = time.monotonic()
        fault.repair(at, hit)
        repaired = time.monotonic()
        done.lasted_s = repaired - began
        self._watch(self._pace.after_s)
        publisher.end()
        self._settle(publisher, done)
        at.wait_until_joined()
        self._judge(publisher.sent, done, (began, repairing, repaired))
        done.restarts = at.restarts() - restarts
        done.said = said_since(marks)
        done.dead_letters = self._count("thumbnail.dlq") + self._count("thumbnail.ready.dlq") - dead_before
        done.repeated = max(0, self._count("thumbnail.ready") - ready_before - done.acknowledged - done.duplicates)
        self._judge_roles(done)
        done.problems += hit.problems
        return done

    def _and_on(self, before: Publisher, done: Outcome) -> Publisher:
        """Count what was published so far, and go on with a new publisher."""
        self._judge(before.sent, done, (before.sent[-1].published_at + 1,) * 3)
        publisher = Publisher(self._at.platform, self._next_id, self._note)
        self._next_id += IDS_EACH
        return publisher

    def _watch(self, seconds: float, *, is_fault: bool = False) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._at.supervise()
            if is_fault:
                self._look_at_health()
            time.sleep(TICK_S)

    def _watch_until_others_take_over(self, publisher: Publisher, done: Outcome, began: float) -> None:
        """Until what was published at once after the fault is ready, so that partitions of each broker are among it."""
        deadline = time.monotonic() + FAILOVER_S
        while True:
            self._watch(TICK_S)
            at_once = [sent for sent in publisher.sent if began <= sent.published_at < began + AT_ONCE_S]
            late = time.monotonic() < began + AT_ONCE_S
            if not late and all(sent.ready_at for sent in at_once if not sent.refused):
                return
            if time.monotonic() > deadline:
                waiting = sum(not sent.ready_at for sent in at_once)
                done.problems.append(f"{waiting} of {len(at_once)} uploads wait for the broker that is away")
                return

    def _look_at_health(self) -> None:
        for role in self._at.supervisor.roles:
            if role.process.poll() is None and not self._at.is_ready(role):
                self._red.add(role.name)

    def _settle(self, publisher: Publisher, done: Outcome) -> None:
        """Until each acknowledged upload has its outcome."""
        deadline = time.monotonic() + self._pace.settle_s
        while True:
            self._at.supervise()
            self._note(publisher.sent)
            waiting = [sent for sent in publisher.sent if sent.acknowledged_at and not sent.ready_at]
            if not waiting:
                return
            if time.monotonic() > deadline:
                done.problems.append(f"{len(waiting)} uploads are not ready after {self._pace.settle_s:.0f} s")
                return
            time.sleep(TICK_S)

    def _note(self, uploads: list[Sent]) -> None:
        """Note when each row showed its upload, as of this moment; the publisher calls it, also while a fault is being made."""
        if not uploads:
            return
        query = sa.text(
            "SELECT id, thumbnail_event_id FROM ar_contents WHERE id BETWEEN :first AND :last AND thumbnail_status = 'ready'"
        )
        with self._at.platform.engine.connect() as connection:
            found = connection.execute(query, {"first": uploads[0].media_id, "last": uploads[-1].media_id}).all()
        shown, now = {int(row[0]): str(row[1]) for row in found}, time.monotonic()
        for sent in uploads:
            if sent.ready_at is None and shown.get(sent.media_id) == sent.upload.event["event_id"]:
                sent.ready_at = now

    def _judge(self, uploads: list[Sent], done: Outcome, moments: tuple[float, float, float]) -> None:
        began, repairing, repaired = moments
        platform = self._at.platform
        demanded = [sent for sent in uploads if sent.acknowledged_at is not None]
        for sent in uploads:
            if sent.acknowledged_at is None and sent.ready_at is None:  # nothing is promised for it
                platform.expected.pop(sent.upload.record_key, None)
        ready = [(sent, sent.ready_at) for sent in demanded if sent.ready_at is not None]
        done.acknowledged += len(demanded)
        done.refused += len(uploads) - len(demanded)
        done.lost += len(demanded) - len(ready)
        after = [ready_at for sent, ready_at in ready if sent.published_at >= began]
        done.first_s = min(after) - began if after else None
        later = [ready_at for _, ready_at in ready if ready_at >= repaired]
        done.first_after_repair_s = min(later) - repaired if later else None
        pending = [ready_at for sent, ready_at in ready if (sent.acknowledged_at or 0) < repairing]
        done.last_after_repair_s = max(0.0, max(pending, default=0.0) - repaired)
        waits = [ready_at - sent.published_at for sent, ready_at in ready]
        done.slowest_s = max([done.slowest_s, *waits])
        keys = {sent.upload.record_key for sent in demanded}
        results = collections.Counter(
            message.key().decode() for message in platform.read_topic("thumbnail.ready") if message.key()
        )
        done.duplicates += sum(count - 1 for key, count in results.items() if key in keys)
        done.problems += platform.problems()[:20]
        if done.fault.uses_new_partitions:
            late = [wait for wait in waits if wait > PARTITIONS_READ_WITHIN_S]
            done.problems += [f"{len(late)} uploads in new partitions waited for more than 60 s"] if late else []

    def _judge_roles(self, done: Outcome) -> None:
        fault = done.fault
        if done.restarts > fault.most_restarts:
            done.problems.append(f"{done.restarts} processes ended: {self._exits()}")
        if done.dead_letters:
            done.problems.append(f"{done.dead_letters} dead letters")
        if done.said.raw:
            done.problems.append(f"{len(done.said.raw)} lines that are no log lines: {done.said.raw[:3]}")
        for role in fault.speakers:
            if not any(fault.says and fault.says in sentence for sentence in done.said.sentences.get(role, ())):
                done.problems.append(f"{role} does not say: {fault.says}")
        done.problems += [f"{role} stays ready" for role in fault.turns_red if role not in self._red]

    def _exits(self) -> dict[str, list[int]]:
        return {role.log.stem: role.exit_codes for role in self._at.supervisor.roles if role.exit_codes}

    def _count(self, topic: str) -> int:
        return len(self._at.platform.read_topic(topic))
