"""How each kind of fault is made, and undone. One function a kind, or a few that differ in a word."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import psycopg

from tests.campaign.chaos.cluster import Cluster
from tests.campaign.chaos.plan import Fault, FaultKind
from tests.servers.toxiproxy import Latency, ResetPeer
from tests.system.supervisor import Role, children_of, kill_quietly

VICTIM_TIMEOUT_S: Final = 8.0
SLOW_MS: Final = 600
MOST_BEHIND_S: Final = 7200.0
MOST_AHEAD_S: Final = 240.0
"""Less than EVENT_MAX_CLOCK_SKEW_S: an upload that lies further ahead is refused, and is no good upload any more."""

T = TypeVar("T")


class NobodyHitError(Exception):
    """There was no victim, and none came within a moment."""


@dataclass(frozen=True)
class Injection:
    """A fault under way: whom it hit, and how it ends."""

    note: str
    undo: Callable[[], object] = lambda: None


Inject = Callable[[Cluster, Fault], Injection]


def _victim(cluster: Cluster, fault: Fault, find: Callable[[], Sequence[T]]) -> T:
    deadline = time.monotonic() + VICTIM_TIMEOUT_S
    while not (found := find()):
        if time.monotonic() > deadline:
            raise NobodyHitError(f"nobody to hit for {fault.kind}")
        cluster.supervise()
        time.sleep(0.01)
    return found[int(fault.choice * len(found)) % len(found)]


def _living(cluster: Cluster, name: str) -> list[Role]:
    return [role for role in cluster.supervisor.of(name) if role.process.poll() is None]


def _hit_role(name: str, number: signal.Signals) -> Inject:
    def inject(cluster: Cluster, fault: Fault) -> Injection:
        role = _victim(cluster, fault, lambda: _living(cluster, name))
        role.process.send_signal(number)
        return Injection(f"{role.log.stem}, process {role.process.pid}")

    return inject


def _slots(cluster: Cluster) -> list[int]:
    return [slot for role in _living(cluster, "worker") for slot in children_of(role.process.pid)]


def _hit_slot(number: signal.Signals) -> Inject:
    def inject(cluster: Cluster, fault: Fault) -> Injection:
        pid = _victim(cluster, fault, lambda: [slot for slot in _slots(cluster) if kill_quietly(slot, 0)])
        if not kill_quietly(pid, number):
            raise NobodyHitError(f"the slot {pid} had just ended")
        return Injection(f"slot {pid}")

    return inject


def _hit_decoder(number: signal.Signals) -> Inject:
    def inject(cluster: Cluster, fault: Fault) -> Injection:
        deadline = time.monotonic() + VICTIM_TIMEOUT_S
        while time.monotonic() < deadline:  # a decoder lives for some hundredths of a second
            pid = _victim(cluster, fault, lambda: [child for slot in _slots(cluster) for child in children_of(slot)])
            if kill_quietly(pid, number):
                return Injection(f"decoder {pid}")
        raise NobodyHitError("every decoder had ended before the signal")

    return inject


def _stop_worker(cluster: Cluster, fault: Fault) -> Injection:
    role = _victim(cluster, fault, lambda: _living(cluster, "worker"))
    process = role.process  # by then the role may have another one
    process.send_signal(signal.SIGSTOP)
    return Injection(f"{role.log.stem}, process {process.pid}", lambda: process.send_signal(signal.SIGCONT))


def _add_worker(cluster: Cluster, _fault: Fault) -> Injection:
    role = cluster.add_worker()
    return Injection(f"a worker more, process {role.process.pid}", lambda: cluster.retire(role))


def _remove_worker(cluster: Cluster, fault: Fault) -> Injection:
    role = _victim(cluster, fault, lambda: _living(cluster, "worker"))
    cluster.retire(role)
    return Injection(f"{role.log.stem} leaves", cluster.add_worker)


def _kill_broker(cluster: Cluster, _fault: Fault) -> Injection:
    cluster.kafka.kill()
    return Injection("Apache Kafka", cluster.kafka.start)


def _stop_broker(cluster: Cluster, _fault: Fault) -> Injection:
    pid = cluster.kafka.pid
    os.kill(pid, signal.SIGSTOP)
    return Injection(f"Apache Kafka, process {pid}", lambda: os.kill(pid, signal.SIGCONT))


def _restart_database(cluster: Cluster, _fault: Fault) -> Injection:
    cluster.postgres.stop_process()
    return Injection("PostgreSQL", cluster.postgres.start)


def _cut_database(cluster: Cluster, _fault: Fault) -> Injection:
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(cluster.places.database_url.replace("+psycopg", ""), autocommit=True) as connection:
        ended = connection.execute(query).fetchall()
    return Injection(f"{len(ended)} connections")


def _s3_down(cluster: Cluster, _fault: Fault) -> Injection:
    cluster.s3_door.cut()
    return Injection("connections are refused", cluster.s3_door.restore)


def _s3_slow(cluster: Cluster, _fault: Fault) -> Injection:
    cluster.s3_door.add(Latency(SLOW_MS, SLOW_MS // 2))
    return Injection(f"answers {SLOW_MS} ms later", cluster.s3_door.clear)


def _s3_reset(cluster: Cluster, _fault: Fault) -> Injection:
    cluster.s3_door.add(ResetPeer())
    return Injection("connections are reset", cluster.s3_door.clear)


def _fill_disk(cluster: Cluster, _fault: Fault) -> Injection:
    ballast = cluster.places.storage_root / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for block in (bytes(1 << 20), bytes(1 << 12)):
            with suppress(OSError):  # no space left on the device: that is what is wanted
                while file.write(block):
                    pass
    return Injection(f"{ballast.stat().st_size >> 20} MiB taken", ballast.unlink)


def _skew_clock(cluster: Cluster, fault: Fault) -> Injection:
    cluster.clock_skew_s = fault.choice * (MOST_AHEAD_S + MOST_BEHIND_S) - MOST_BEHIND_S

    def undo() -> None:
        cluster.clock_skew_s = 0.0

    return Injection(f"uploads say {cluster.clock_skew_s:+.0f} s", undo)


INJECTORS: Final[dict[FaultKind, Inject]] = {
    FaultKind.KILL_WORKER: _hit_role("worker", signal.SIGKILL),
    FaultKind.TERM_WORKER: _hit_role("worker", signal.SIGTERM),
    FaultKind.KILL_PERSIST: _hit_role("persist", signal.SIGKILL),
    FaultKind.TERM_PERSIST: _hit_role("persist", signal.SIGTERM),
    FaultKind.KILL_RETRY: _hit_role("retry", signal.SIGKILL),
    FaultKind.TERM_RETRY: _hit_role("retry", signal.SIGTERM),
    FaultKind.KILL_SLOT: _hit_slot(signal.SIGKILL),
    FaultKind.TERM_SLOT: _hit_slot(signal.SIGTERM),
    FaultKind.KILL_DECODER: _hit_decoder(signal.SIGKILL),
    FaultKind.TERM_DECODER: _hit_decoder(signal.SIGTERM),
    FaultKind.STOP_WORKER: _stop_worker,
    FaultKind.ADD_WORKER: _add_worker,
    FaultKind.REMOVE_WORKER: _remove_worker,
    FaultKind.KILL_BROKER: _kill_broker,
    FaultKind.STOP_BROKER: _stop_broker,
    FaultKind.RESTART_DATABASE: _restart_database,
    FaultKind.CUT_DATABASE: _cut_database,
    FaultKind.S3_DOWN: _s3_down,
    FaultKind.S3_SLOW: _s3_slow,
    FaultKind.S3_RESET: _s3_reset,
    FaultKind.FILL_DISK: _fill_disk,
    FaultKind.SKEW_CLOCK: _skew_clock,
}
