"""The faults: how each is made, what is done to repair it, and what the roles must say meanwhile."""

import collections
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.campaign.brokers.installation import GROUPS, Installation
from tests.doubles.letter_topics import DeadLetterTopics, Done
from tests.system.stack import run_cli, run_cli_here
from tests.system.supervisor import Role

REPLAY_PREFIX: Final = "replays."
REPLAYED: Final = 600
ANSWER_S: Final = 30.0
GONE: Final = "run `thumbnails topics create`"
TOO_FEW: Final = "Fewer replicas are in sync than"


class Hit:
    """Which brokers a fault has hit, so that its repair finds them."""

    def __init__(self) -> None:
        self.brokers: list[int] = []
        self.problems: list[str] = []

    def kill(self, at: Installation, number: int) -> None:
        """SIGKILL."""
        self.brokers.append(number)
        at.cluster.broker(number).kill()

    def stop(self, at: Installation, number: int) -> None:
        """End it in good order: its partitions get other leaders before."""
        self.brokers.append(number)
        at.cluster.broker(number).stop_process()

    def signal(self, at: Installation, number: int, signal_number: int) -> None:
        """Freeze it, or let it go on."""
        self.brokers.append(number)
        os.kill(at.cluster.broker(number).pid, signal_number)


Act = Callable[[Installation, Hit], None]


@dataclass(frozen=True)
class Fault:
    """One fault. It is held for `held_s` seconds, and then repaired.

    `fails_over`: it is held at least until uploads that came after it are ready, without the broker that is away.
    `says` is part of a sentence that each of `speakers` must log. `is_quiet`: every upload is done before it, for what a topic holds
    goes with it. `most_restarts`: so many processes may end. `turns_red`: roles whose readiness must fail meanwhile.
    """

    name: str
    done: str
    inject: Act
    repair: Act
    held_s: float = 8.0
    says: str | None = None
    speakers: tuple[str, ...] = ()
    turns_red: tuple[str, ...] = ()
    is_quiet: bool = False
    most_restarts: int = 0
    uses_new_partitions: bool = False
    fails_over: bool = False


def _nothing(_at: Installation, _hit: Hit) -> None:
    """A baseline."""


def _kill_leader(at: Installation, hit: Hit) -> None:
    hit.kill(at, at.cluster.leader_of("media.uploaded"))


def _kill_coordinator(role: str) -> Act:
    def kill(at: Installation, hit: Hit) -> None:
        hit.kill(at, at.cluster.coordinator_of(GROUPS[role]))

    return kill


def _kill_controller(at: Installation, hit: Hit) -> None:
    hit.kill(at, at.cluster.controller())


def _freeze(at: Installation, hit: Hit) -> None:
    hit.signal(at, at.cluster.leader_of("thumbnail.ready"), signal.SIGSTOP)


def _thaw(at: Installation, hit: Hit) -> None:
    for number in hit.brokers:
        os.kill(at.cluster.broker(number).pid, signal.SIGCONT)
    at.cluster.wait_until_in_sync()


def _start(at: Installation, hit: Hit) -> None:
    for number in hit.brokers:
        at.cluster.broker(number).launch()
    for number in hit.brokers:
        at.cluster.broker(number).wait_until_it_answers()
    at.cluster.wait_until_in_sync()


def _restart_all(at: Installation, _hit: Hit) -> None:
    for broker in at.cluster.brokers:
        broker.restart()
        at.cluster.wait_until_in_sync()
        at.supervise()


def _stop_two(at: Installation, hit: Hit) -> None:
    """The leader of media.uploaded-0 is the one that stays."""
    stays = at.cluster.leader_of("media.uploaded")
    for broker in at.cluster.brokers:
        if broker.number != stays:
            hit.stop(at, broker.number)


def _raise_partitions(at: Installation, _hit: Hit) -> None:
    admin = at.cluster.admin()
    wanted = {"media.uploaded": 9, "thumbnail.ready": 9, "thumbnail.retry.1": 6}
    for future in admin.create_partitions([NewPartitions(name, count) for name, count in wanted.items()]).values():
        future.result(ANSWER_S)
    at.cluster.wait_until_in_sync()


def _delete_topic(name: str) -> Act:
    def delete(at: Installation, _hit: Hit) -> None:
        admin = AdminClient({"bootstrap.servers": at.cluster.bootstrap_servers})
        (future,) = admin.delete_topics([name]).values()
        future.result(ANSWER_S)

    return delete


def _create_topics(at: Installation, _hit: Hit) -> None:
    done = run_cli(dict(at.environment), "topics", "create")
    assert done.returncode == 0, done.stderr


def _make_again(name: str) -> Act:
    """As a script does that empties a topic: nobody has seen that it was away."""

    def delete_and_create(at: Installation, hit: Hit) -> None:
        _delete_topic(name)(at, hit)
        run_cli_here(dict(at.environment), "topics", "create")  # in this process: at once

    return delete_and_create


def _replay_while_its_coordinator_dies(at: Installation, hit: Hit) -> None:
    """Of dead letters of another installation in the same cluster, whose oracle counts each replay."""

    def command(arguments: list[str]) -> Done:
        done = run_cli(replaying, *arguments)
        return Done(done.returncode, done.stdout, done.stderr)

    replaying = dict(at.environment) | {"KAFKA_TOPIC_PREFIX": REPLAY_PREFIX}
    topics = DeadLetterTopics(at.cluster.bootstrap_servers, REPLAY_PREFIX, command)
    topics.fill(REPLAYED)
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "dlq", "replay", "--yes", "--rate", "100", "--json"],
        env=os.environ | replaying,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + ANSWER_S
    while topics.length("thumbnail.due") == 0:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it does not begin"
        time.sleep(0.1)
    hit.kill(at, at.cluster.transaction_coordinator_of(f"{REPLAY_PREFIX}thumbnails-dlq-replay"))
    said = process.communicate(timeout=120)[0]
    times = collections.Counter(message.key() for message in topics.committed("thumbnail.due"))
    if process.returncode != 0:
        hit.problems.append(f"the replay ended with {process.returncode}: {said[-300:]}")
        done = command(["dlq", "replay", "--yes"])
        times = collections.Counter(message.key() for message in topics.committed("thumbnail.due"))
        hit.problems += [] if done.code == 0 else [f"the next replay ended with {done.code}: {done.err[-300:]}"]
    wrong = {key: count for key, count in times.items() if count != 1}
    if wrong or len(times) != REPLAYED:
        hit.problems.append(f"{len(times)} of {REPLAYED} dead letters were replayed, not once: {wrong}")


def _delete_group(role: str) -> Act:
    """As when its offsets expired: a group that is empty for a week has none. Its roles are away meanwhile."""

    def delete(at: Installation, _hit: Hit) -> None:
        roles = at.supervisor.of(role)
        for one in roles:
            one.process.terminate()
        for one in roles:
            one.process.wait(60)
        admin = at.cluster.admin()
        deadline = time.monotonic() + ANSWER_S
        while admin.describe_consumer_groups([GROUPS[role]])[GROUPS[role]].result(10).members:
            assert time.monotonic() < deadline, "the group has members still"
        (future,) = admin.delete_consumer_groups([GROUPS[role]]).values()
        future.result(ANSWER_S)

    return delete


def speaking_roles(at: Installation, fault: Fault) -> list[Role]:
    """Return the processes that must say what is wrong."""
    return [role for role in at.supervisor.roles if role.name in fault.speakers]


_KILLED: Final = "killed (SIGKILL)"
FAULTS: Final = (
    Fault("baseline", "nothing", _nothing, _nothing),
    Fault("leader-killed", f"leader of media.uploaded-0 {_KILLED}", _kill_leader, _start, fails_over=True),
    Fault(
        "worker-coordinator-killed",
        f"coordinator of the workers {_KILLED}",
        _kill_coordinator("worker"),
        _start,
        fails_over=True,
    ),
    Fault(
        "persist-coordinator-killed",
        f"coordinator of persist {_KILLED}",
        _kill_coordinator("persist"),
        _start,
        fails_over=True,
    ),
    Fault(
        "retry-coordinator-killed",
        f"coordinator of retry {_KILLED}",
        _kill_coordinator("retry"),
        _start,
        fails_over=True,
    ),
    Fault(
        "controller-killed",
        f"active controller, a broker as well, {_KILLED}",
        _kill_controller,
        _start,
        fails_over=True,
    ),
    Fault(
        "transaction-coordinator-killed",
        "coordinator of a replay's transactions killed (SIGKILL) while it replays 600 dead letters",
        _replay_while_its_coordinator_dies,
        _start,
        held_s=0.0,
    ),
    Fault(
        "broker-frozen",
        "leader of thumbnail.ready-0 frozen (SIGSTOP) for 20 s",
        _freeze,
        _thaw,
        held_s=20.0,
        fails_over=True,
    ),
    Fault("rolling-restart", "all three restarted, one after the other", _restart_all, _nothing, held_s=0.0),
    Fault(
        "too-few-replicas",
        "two of three brokers stopped for 70 s",
        _stop_two,
        _start,
        held_s=70.0,
        says=TOO_FEW,
        speakers=("worker",),
        turns_red=("worker", "persist", "retry"),
    ),
    Fault(
        "partitions-raised",
        "media.uploaded and thumbnail.ready 6 to 9, thumbnail.retry.1 3 to 6; uploads go to the new ones alone",
        _raise_partitions,
        _nothing,
        uses_new_partitions=True,
        held_s=20.0,
    ),
    *(
        Fault(
            f"{topic}-deleted",
            f"{topic} deleted for 15 s, then `topics create`",
            _delete_topic(topic),
            _create_topics,
            held_s=15.0,
            says=GONE,
            speakers=("worker", "persist", "retry"),
            is_quiet=True,
            most_restarts=100,
        )
        for topic in ("media.uploaded", "thumbnail.retry.1", "thumbnail.ready")
    ),
    Fault(
        "media.uploaded-made-again",
        "media.uploaded deleted, and made again at once",
        _make_again("media.uploaded"),
        _nothing,
        is_quiet=True,
        most_restarts=100,
    ),
    *(
        Fault(
            f"{role}-offsets-gone",
            f"the group of {role} deleted while its roles are away, as when its offsets expire",
            _delete_group(role),
            _nothing,
            held_s=0.0,
            most_restarts=2,
        )
        for role in ("worker", "persist", "retry")
    ),
)
