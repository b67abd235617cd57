"""The half of the comparison that runs in each of the two trees: reads lines of `path TAB jobs`, answers each with CPU seconds.

Started by path, with the interpreter of its tree: it imports that tree's decoders, whatever the names of their modules are there.
The time is user and system, of this process, of its slot, and of every child that has ended or still waits.
"""

import asyncio
import importlib
import os
import resource
import sys
from pathlib import Path
from typing import Any, Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
SLOTS: Final = ("processors.sandbox.pool", "processors.decode_slots")
"""Of this version, and of 0.1."""


class LocalFile:
    """A file as a source: what a worker does with one in local storage. The trees' own classes for it differ in name and place."""

    def __init__(self, path: str) -> None:
        self._fd: Final = os.open(path, os.O_RDONLY)
        self.size: Final = os.fstat(self._fd).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """See processors.types.Source."""
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def first_of(names: tuple[str, ...]) -> Any:
    """The first module that this tree has."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(f"none of {', '.join(names)}")


def ticks_of(pid: int | str, fields: slice) -> int:
    """Ticks of a process, by proc(5): its own are fields 11 and 12 behind its name, those of its dead children 13 and 14."""
    try:
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[fields]))
    except OSError:
        return 0


def cpu_s(slots: list[int]) -> float:
    """What has been used until now."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ticks = 0
    for slot in slots:
        children = Path(f"/proc/{slot}/task/{slot}/children").read_text().split()
        ticks += ticks_of(slot, slice(11, 15)) + sum(ticks_of(child, slice(11, 13)) for child in children)
    return own.ru_utime + own.ru_stime + ticks / TICKS


async def serve(*, reuse: bool) -> None:
    """Answer every line of standard input until its end."""
    pool, spec = first_of(SLOTS), importlib.import_module("processors.types").ThumbnailSpec()
    options: dict[str, Any] = {}
    if reuse:
        options["reuse"] = importlib.import_module("processors.sandbox.process").Reuse(max_jobs=1000, max_age_s=3600)
    async with pool.DecodeSlots(1, **options) as slots:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            path, jobs = line.rstrip("\n").split("\t")
            before = cpu_s(slots.pids)
            for _ in range(int(jobs)):
                source = LocalFile(path)
                await slots.create_thumbnails(source, spec, kind=None, **({"tenant": "one"} if reuse else {}))
                source.close()
            await asyncio.sleep(0.05)  # the last child has ended, and the one after it waits
            print(cpu_s(slots.pids) - before, flush=True)


if __name__ == "__main__":
    asyncio.run(serve(reuse=sys.argv[1] == "reuse"))
