"""What one upload of each kind costs: jobs a second of two slots, processor time, bytes read and written, memory.

Run: python -m benchmarks.sizing [--seconds S] [--inputs FOLDER]. The table of docs/sizing.md. Each kind goes through the decode
slots as in a worker, cage included, from a local file; Kafka, storage and the database are measured by benchmarks.worker
and benchmarks.persistence.
"""

import argparse
import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.clips import h264_camera, inputs_folder, other_videos, photographs
from benchmarks.slots import SPEC, peak_mb
from processors.sandbox.pool import DecodeSlots
from service.cli.make.sources import FileSource

SLOTS: Final = 2
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Of one kind of upload."""

    jobs_a_second: float
    cpu_ms: float
    read_kb: float
    written_kb: float


def cpu_s(pids: list[int]) -> float:
    """Processor time of these processes and the children that they have waited for, in seconds."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(fields[number]) for number in range(11, 15))  # utime, stime, cutime, cstime
    return total / _TICKS_A_SECOND


async def cost_of(slots: DecodeSlots, path: Path, seconds: float) -> Cost:
    """As a worker does it: more jobs in work than slots."""
    jobs = read = written = 0
    pids = [os.getpid(), *slots.pids]
    await one(slots, path)
    started, before_s = time.perf_counter(), cpu_s(pids)

    async def loop() -> None:
        nonlocal jobs, read, written
        while time.perf_counter() - started < seconds:
            bytes_read, bytes_written = await one(slots, path)
            jobs, read, written = jobs + 1, read + bytes_read, written + bytes_written

    await asyncio.gather(*(loop() for _ in range(2 * SLOTS)))
    elapsed_s, used_s = time.perf_counter() - started, cpu_s(pids) - before_s
    return Cost(jobs / elapsed_s, used_s * 1000 / jobs, read / jobs / 1024, written / jobs / 1024)


async def one(slots: DecodeSlots, path: Path) -> tuple[int, int]:
    """Bytes read of the source, and bytes of all renditions."""
    source = FileSource(path)
    try:
        made = await slots.create_thumbnails(source, SPEC, kind=None)
    finally:
        source.close()
    return made.bytes_read, sum(len(rendition.content) for rendition in made.renditions)


async def run(seconds: float, inputs: Path | None) -> None:
    """Measure and print every kind."""
    with inputs_folder(inputs) as folder:
        items = [h264_camera(folder), *other_videos(folder), *photographs(folder)]
        print(
            "| upload | jobs/s, 2 slots | CPU ms | read KiB | written KiB | CPU s per 1,000 |\n|---|---|---|---|---|---|"
        )
        async with DecodeSlots(SLOTS) as slots:
            for item in items:
                cost = await cost_of(slots, item.path, seconds)
                figures = f"{cost.jobs_a_second:.1f} | {cost.cpu_ms:.0f} | {cost.read_kb:.0f} | {cost.written_kb:.0f}"
                print(f"| {item.name} | {figures} | {cost.cpu_ms:.0f} |", flush=True)
            print(f"Peak of a slot {max(peak_mb(pid) for pid in slots.pids):.0f} MiB; {os.cpu_count()} cores.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--inputs", type=Path, help="Folder that keeps the inputs for another run.")
    options = parser.parse_args()
    asyncio.run(run(options.seconds, options.inputs))


if __name__ == "__main__":
    main()
