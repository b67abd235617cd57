"""What each role has used, as the kernel says: processor time with its children's, and the most memory."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.system.supervisor import Role, children_of

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Used:
    """Processor time in seconds, and the largest resident size of the role's own process and of its children in MiB."""

    cpu_s: float
    own_mib: float
    children_mib: float


def used_by(role: Role) -> Used:
    """Of a role that runs."""
    pids = [role.process.pid]
    for pid in pids:
        pids += children_of(pid)
    cpu_s = sum(_cpu_s(pid) for pid in pids)
    return Used(cpu_s, _peak_mib(pids[0]), sum(_peak_mib(pid) for pid in pids[1:]))


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) * _TICK_S  # user and system, then those of children that have ended


def _peak_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) / 1024 if found else 0.0
