"""A worker's decode slots, cage included, against plain processes that decode local files: jobs a second, ratios, cost of a job.

Run by `make bench`, or alone: python -m benchmarks.slots [--slices N] [--seconds S] [--each] [--json FILE]. Makes its
own inputs. The plain processes are as warm as they can be: they start once, and decode one file after the other in the
memory that they have already; both ways run in turns, so that a machine whose speed drifts slows both. A ratio is that of
each pair of neighbours, and the median of them is what to quote.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.clips import h264_camera, h264_drawn, h264_test_card, inputs_folder, other_videos, photographs
from processors.sandbox.pool import DecodeSlots
from processors.sandbox.process import _ENVIRONMENT
from processors.sandbox.warm_up import load_decoders, use_decoders
from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSpec
from service.cli.make.sources import FileSource

PROCESSES: Final = 2
SPEC: Final = ThumbnailSpec()
EMPTY_JOBS: Final = 50


def make_loads(folder: Path, *, each: bool) -> dict[str, list[Path]]:
    """What is decoded, in turns."""
    video, pictures = h264_camera(folder), [item.path for item in photographs(folder)]
    videos = [video, h264_drawn(folder), h264_test_card(folder), *other_videos(folder)]
    loads = {
        video.name: [video.path],
        "seven videos of five codecs": [item.path for item in videos],
        f"{video.name}, and JPEG, PNG, WebP 12 MP": [video.path, *pictures],
    }
    return loads | {item.name: [item.path] for item in videos if each}


@contextmanager
def bare_processes() -> Iterator[list[Connection]]:
    """Warm plain processes; each takes (paths, seconds) and gives the jobs that it did in that time."""
    # The slots' own settings of the C library are read at a process' start.
    before = dict(os.environ)
    os.environ.update(_ENVIRONMENT)
    context, connections, workers = get_context("spawn"), [], []
    for number in range(PROCESSES):
        ours, theirs = Pipe()
        worker = context.Process(target=_bare_process, args=(theirs, number), daemon=True)
        worker.start()
        connections.append(ours)
        workers.append(worker)
    os.environ.clear()
    os.environ.update(before)
    try:
        yield connections
    finally:
        for connection, worker in zip(connections, workers, strict=True):
            connection.send(None)
            worker.join()


def _bare_process(connection: Connection, offset: int) -> None:
    load_decoders()
    use_decoders()
    while (order := connection.recv()) is not None:
        paths, seconds = order
        started, jobs = time.perf_counter(), 0
        for path in itertools.islice(itertools.cycle(paths), offset, None):
            source = FileSource(path)
            create_thumbnails(source, SPEC)
            source.close()
            jobs += 1
            if time.perf_counter() - started >= seconds:
                break
        connection.send(jobs / (time.perf_counter() - started))


def bare_slice(processes: list[Connection], paths: list[Path], seconds: float) -> float:
    """Jobs a second of the plain processes."""
    for process in processes:
        process.send((paths, seconds))
    return sum(float(process.recv()) for process in processes)


async def slots_slice(slots: DecodeSlots, paths: list[Path], seconds: float) -> float:
    """Jobs a second of the same files through the slots, as a worker does it."""
    started, jobs, files = time.perf_counter(), 0, itertools.cycle(paths)

    async def loop() -> None:
        nonlocal jobs
        while time.perf_counter() - started < seconds:
            await one_job(slots, next(files))
            jobs += 1

    await asyncio.gather(*(loop() for _ in range(2 * PROCESSES)))  # two wait while two work, as with WORKER_CONCURRENCY
    return jobs / (time.perf_counter() - started)


async def one_job(slots: DecodeSlots, path: Path) -> None:
    source = FileSource(path)
    try:
        await slots.create_thumbnails(source, SPEC, kind=None)
    finally:
        source.close()


async def measure_empty_job(slots: DecodeSlots, folder: Path) -> dict[str, float]:
    """Milliseconds of the smallest picture that there is, one at a time: in the cage, and in this process."""
    path = folder / "tiny.png"
    Image.new("RGB", (32, 32), "teal").save(path)
    load_decoders()
    use_decoders()
    caged, bare = [], []
    for _ in range(EMPTY_JOBS):
        started = time.perf_counter()
        await one_job(slots, path)
        between = time.perf_counter()
        source = FileSource(path)
        create_thumbnails(source, SPEC)
        source.close()
        caged.append((between - started) * 1000)
        bare.append((time.perf_counter() - between) * 1000)
        await asyncio.sleep(0.01)  # as between uploads: the next child is forked meanwhile
    of_both = statistics.median(caged), statistics.median(bare)
    return {
        "caged_ms": round(of_both[0], 2),
        "bare_ms": round(of_both[1], 2),
        "cage_ms": round(of_both[0] - of_both[1], 2),
    }


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Every figure of the comparison."""
    slices, seconds = options.slices, options.seconds
    figures: dict[str, Any] = {"loads": {}}
    with inputs_folder(options.inputs) as folder, bare_processes() as processes:
        console.print("Making the inputs …")
        loads = make_loads(folder, each=options.each)
        async with DecodeSlots(PROCESSES) as slots:
            for load, paths in loads.items():
                rows = []
                for number in range(slices + 1):
                    bare = await asyncio.to_thread(bare_slice, processes, paths, seconds)
                    caged = await slots_slice(slots, paths, seconds)
                    if number:  # the first one warms the files and the plain processes up
                        rows.append((bare, caged, caged / bare))
                figures["loads"][load] = {
                    "bare_jobs_s": round(statistics.median(row[0] for row in rows), 2),
                    "slots_jobs_s": round(statistics.median(row[1] for row in rows), 2),
                    "ratio": round(statistics.median(row[2] for row in rows), 3),
                    "ratios": [round(row[2], 3) for row in rows],
                }
            figures["empty_job"] = await measure_empty_job(slots, folder)
            figures["slot_peak_mb"] = round(max(peak_mb(pid) for pid in slots.pids))
    figures["worker_peak_mb"] = round(peak_mb(os.getpid()))
    return figures


def main() -> None:
    """Measure, print the table, and write it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--each", action="store_true", help="Every video alone, too.")
    parser.add_argument("--inputs", type=Path, help="Folder that keeps the inputs for another run.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console()
    figures = asyncio.run(run(options, console))
    table = Table(
        "load", f"{PROCESSES} slots, jobs/s", f"{PROCESSES} processes, jobs/s", "ratio", "of", title="The cage"
    )
    for load, row in figures["loads"].items():
        table.add_row(
            load, f"{row['slots_jobs_s']:.1f}", f"{row['bare_jobs_s']:.1f}", f"{row['ratio']:.2f}", str(row["ratios"])
        )
    console.print(table)
    empty = figures["empty_job"]
    console.print(
        f"The smallest picture: {empty['caged_ms']:.1f} ms in the cage, {empty['bare_ms']:.1f} ms in this process: the cage"
        f" costs {empty['cage_ms']:.1f} ms a job. Peak memory of a slot {figures['slot_peak_mb']} MiB."
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
