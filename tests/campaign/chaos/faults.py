"""How each kind of fault is made, and undone: those of roles and of storage; one function a kind, or a few that differ in a word."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from tests.campaign.chaos.cluster import Cluster
from tests.campaign.chaos.injection import Inject, Injection, NobodyHitError
from tests.campaign.chaos.plan import Fault, FaultKind
from tests.campaign.chaos.server_faults import (
    add_partitions,
    cut_database,
    kill_broker,
    kill_pooler,
    make_database_read_only,
    replay,
    restart_database,
    rolling_restart,
    skew_clock,
    stop_broker,
    stop_database,
)
from tests.servers.toxiproxy import Latency, ResetPeer
from tests.system.supervisor import Role, children_of, kill_quietly

VICTIM_TIMEOUT_S: Final = 8.0
SLOW_MS: Final = 600

T = TypeVar("T")


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


def _stop_role(name: str) -> Inject:
    def inject(cluster: Cluster, fault: Fault) -> Injection:
        role = _victim(cluster, fault, lambda: _living(cluster, name))
        process = role.process  # by then the role may have another one
        process.send_signal(signal.SIGSTOP)
        return Injection(f"{role.log.stem}, process {process.pid}", lambda: process.send_signal(signal.SIGCONT))

    return inject


def _add_worker(cluster: Cluster, _fault: Fault) -> Injection:
    role = cluster.add_worker()
    return Injection(f"a worker more, process {role.process.pid}", lambda: cluster.retire(role))


def _remove_worker(cluster: Cluster, fault: Fault) -> Injection:
    role = _victim(cluster, fault, lambda: _living(cluster, "worker"))
    cluster.retire(role)
    return Injection(f"{role.log.stem} leaves", cluster.add_worker)


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
    FaultKind.STOP_WORKER: _stop_role("worker"),
    FaultKind.STOP_PERSIST: _stop_role("persist"),
    FaultKind.STOP_RETRY: _stop_role("retry"),
    FaultKind.ADD_WORKER: _add_worker,
    FaultKind.REMOVE_WORKER: _remove_worker,
    FaultKind.KILL_BROKER: kill_broker,
    FaultKind.STOP_BROKER: stop_broker,
    FaultKind.ROLLING_RESTART: rolling_restart,
    FaultKind.ADD_PARTITIONS: add_partitions,
    FaultKind.RESTART_DATABASE: restart_database,
    FaultKind.CUT_DATABASE: cut_database,
    FaultKind.STOP_DATABASE: stop_database,
    FaultKind.READ_ONLY_DATABASE: make_database_read_only,
    FaultKind.KILL_POOLER: kill_pooler,
    FaultKind.S3_DOWN: _s3_down,
    FaultKind.S3_SLOW: _s3_slow,
    FaultKind.S3_RESET: _s3_reset,
    FaultKind.FILL_DISK: _fill_disk,
    FaultKind.SKEW_CLOCK: skew_clock,
    FaultKind.REPLAY: replay,
}
