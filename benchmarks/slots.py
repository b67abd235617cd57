"""Decode slots against the same function in bare processes: jobs a second side by side, ratios, peak memory.

Run by `make bench`, or alone: python benchmarks/slots.py [--slices N] [--seconds S] [--json FILE]. Makes its own inputs:
a 720p H.264 clip of 20 s and a 12-megapixel JPEG. Slices of both ways alternate, so that a machine whose speed drifts
slows both; the ratio is that of each pair of neighbours, and the median of them is what to quote.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from processors.decode_slots import DecodeSlots
from processors.slot import warm_up
from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSpec
from service.make import FileSource

PROCESSES = 2
SPEC = ThumbnailSpec()


def make_inputs(folder: Path) -> dict[str, Path]:
    """Textured moving pictures: flat colours would make decoding look free."""
    generator = np.random.default_rng(11)
    texture = Image.fromarray(generator.integers(0, 255, (90, 320, 3), dtype=np.uint8)).resize(
        (2560, 720), Image.Resampling.BICUBIC
    )
    wide = np.asarray(texture)
    clip = folder / "clip-720p.mp4"
    with av.open(str(clip), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(500):
            pixels = np.ascontiguousarray(wide[:, number * 2 : number * 2 + 1280])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    photo = folder / "photo-12mp.jpg"
    small = generator.integers(0, 255, (375, 500, 3), dtype=np.uint8)
    Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC).save(photo, quality=90)
    return {"H.264 720p": clip, "JPEG 12 MP": photo}


def bare_slice(path: Path, seconds: float) -> float:
    """Jobs a second of plain warm processes that decode a local file in a loop."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    workers = [context.Process(target=_bare_loop, args=(path, seconds, barrier, results)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    rates = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return float(sum(rates))


def _bare_loop(path: Path, seconds: float, barrier: Barrier, results: Any) -> None:
    warm_up()
    create_thumbnails(FileSource(path), SPEC)
    barrier.wait()
    started, jobs = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        source = FileSource(path)
        create_thumbnails(source, SPEC)
        source.close()
        jobs += 1
    results.put(jobs / (time.perf_counter() - started))


async def slots_slice(slots: DecodeSlots, path: Path, seconds: float) -> float:
    """Jobs a second of the same files through the slots, as a worker does it."""
    started, jobs = time.perf_counter(), 0

    async def loop() -> None:
        nonlocal jobs
        while time.perf_counter() - started < seconds:
            source = FileSource(path)
            await slots.create_thumbnails(source, SPEC, kind=None)
            source.close()
            jobs += 1

    await asyncio.gather(*(loop() for _ in range(2 * PROCESSES)))  # two wait while two work, as with WORKER_CONCURRENCY
    return jobs / (time.perf_counter() - started)


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def run(slices: int, seconds: float) -> dict[str, Any]:
    """Every figure of the comparison."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(Path(folder))
        for name, path in inputs.items():
            rows = []
            for _ in range(slices):
                bare = await asyncio.to_thread(bare_slice, path, seconds)
                async with DecodeSlots(PROCESSES) as slots:
                    await slots.create_thumbnails(FileSource(path), SPEC, kind=None)
                    caged = await slots_slice(slots, path, seconds)
                    slot_mb = max(peak_mb(pid) for pid in slots.pids)
                rows.append((bare, caged, caged / bare))
            figures[name] = {
                "bare_jobs_s": statistics.median(row[0] for row in rows),
                "slots_jobs_s": statistics.median(row[1] for row in rows),
                "ratio": statistics.median(row[2] for row in rows),
                "ratios": [round(row[2], 3) for row in rows],
                "slot_peak_mb": slot_mb,
            }
    figures["worker_peak_mb"] = peak_mb(os.getpid())
    figures["child_peak_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = asyncio.run(run(options.slices, options.seconds))
    for name, row in figures.items():
        if isinstance(row, dict):
            print(
                f"{name}: {row['slots_jobs_s']:.1f} jobs/s in {PROCESSES} slots, {row['bare_jobs_s']:.1f} in {PROCESSES} bare"
                f" processes, median ratio {row['ratio']:.2f} of {row['ratios']}; a slot's peak {row['slot_peak_mb']:.0f} MiB"
            )
    print(
        f"Peak of this process {figures['worker_peak_mb']:.0f} MiB, of the largest child {figures['child_peak_mb']:.0f} MiB"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
