"""One thumbnail of each kind of media against what others use: medians, ratios, bytes read.

Run by `make bench`, or alone: python -m benchmarks.frames [--rounds N] [--inputs FOLDER] [--json FILE]. Makes its own inputs. All ways take
turns in each round, so that a machine whose speed drifts slows all; a ratio is that of the medians. Ours is
`create_thumbnails` in a warm process with one rendition of 320x240, which is what the others make; the command-line
tools are whole processes, and ours in a cage is one, too. `ours, fixed` takes the first keyframe unseen, as the
other tools do, where ours looks for a better one when it is poor. `bare` is the floor: one keyframe decoded, scaled and encoded.
Tools that are not installed are left out (Debian: ffmpegthumbnailer ffmpeg libvips-tools libvips42; PyPI: pyvips).
ffmpegthumbnailer's library has no binding for Python: it is measured as a process, as people run it.
"""

import argparse
import asyncio
import importlib
import io
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
import cv2
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.clips import Input, h264_camera, h264_drawn, h264_test_card, inputs_folder, other_videos, photographs
from processors.limits import FFMPEG_FORMATS
from processors.sandbox.pool import DecodeSlots
from processors.thumbnails import create_thumbnails
from processors.types import RenditionSpec, ThumbnailSet, ThumbnailSpec
from service.cli.make.sources import FileSource

pyvips: Any = None
with suppress(ImportError, OSError):  # no such package, or no libvips
    pyvips = importlib.import_module("pyvips")
    pyvips.cache_set_max(0)  # it would remember the last result

SPEC: Final = ThumbnailSpec(renditions=(RenditionSpec("medium", 320, 240),))
FIXED: Final = replace(SPEC, strategy="fixed")
Way = Callable[[], object]


def make_inputs(folder: Path) -> list[Input]:
    """Common kinds of media."""
    return [
        h264_drawn(folder),
        h264_camera(folder),
        h264_test_card(folder),
        *other_videos(folder),
        *photographs(folder),
    ]


def ways_of(
    item: Input, time_s: float, out: Path, slots: DecodeSlots, loop: asyncio.AbstractEventLoop
) -> dict[str, Way]:
    """Every way there is on this machine; each leaves one thumbnail behind, in memory or in a file.

    `time_s` is the moment that we show.
    """
    ways: dict[str, Way] = {
        "ours": lambda: _ours(item.path, SPEC),
        "ours, caged": lambda: loop.run_until_complete(_caged(slots, item.path)),
    }
    path = str(item.path)
    if item.is_video:
        ways["ours, fixed"] = lambda: _ours(item.path, FIXED)
        ways |= {"bare": lambda: _bare_keyframe(item.path, time_s), "OpenCV exact seek": lambda: _opencv(item.path)}
        tools = {
            "ffmpegthumbnailer": ["ffmpegthumbnailer", "-i", path, "-o", f"{out}.jpg", "-s", "320", "-t", "10%"],
            "ffmpeg -skip_frame nokey": _ffmpeg(path, f"{out}.ff.jpg"),
        }
    else:
        ways["Pillow draft"] = lambda: _pillow(item.path)
        if pyvips is not None:
            ways["pyvips"] = lambda: _pyvips(item.path)
        tools = {"vipsthumbnail": ["vipsthumbnail", path, "-s", "320x240", "-o", f"{out}.v.webp[Q=80]"]}
    installed = {name: command for name, command in tools.items() if shutil.which(command[0])}
    return ways | {name: partial(_run, command) for name, command in installed.items()}


def _count_requests(path: Path) -> tuple[ThumbnailSet, int]:
    """One result, and how many reads of the source it took."""
    source, lengths = FileSource(path), []

    class Counted:
        size = source.size

        def read_at(self, offset: int, length: int) -> bytes:
            """As the file's."""
            lengths.append(length)
            return source.read_at(offset, length)

    try:
        return create_thumbnails(Counted(), SPEC), len(lengths)
    finally:
        source.close()


def _ours(path: Path, spec: ThumbnailSpec) -> object:
    source = FileSource(path)
    try:
        return create_thumbnails(source, spec)
    finally:
        source.close()


async def _caged(slots: DecodeSlots, path: Path) -> object:
    source = FileSource(path)
    try:
        return await slots.create_thumbnails(source, SPEC, kind=None)
    finally:
        source.close()


def _bare_keyframe(path: Path, time_s: float) -> bytes:
    """What nobody can be faster than with this decoder: the keyframe that we show; no choice, no orientation, no checks."""
    hurry = {"probesize": "32", "analyzeduration": "1", "fpsprobesize": "0", "skip_frame": "all"}
    with av.open(str(path), options={**hurry, "format_whitelist": FFMPEG_FORMATS}) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(int(time_s * av.time_base) + 1)
        packet = next(packet for packet in container.demux(stream) if packet.is_keyframe)
        frame = (stream.codec_context.decode(packet) or stream.codec_context.decode(None))[0]
        picture: Any = frame.reformat(320, 180, "rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "WEBP", quality=80, method=2)
    return out.getvalue()


def _opencv(path: Path) -> bytes:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    capture.set(cv2.CAP_PROP_POS_MSEC, 2100)
    is_there, picture = capture.read()
    capture.release()
    if not is_there:
        return b""  # no AV1 in OpenCV's wheel
    return bytes(cv2.imencode(".webp", cv2.resize(picture, (320, 180), interpolation=cv2.INTER_AREA))[1])


def _pillow(path: Path) -> bytes:
    out = io.BytesIO()
    with Image.open(path) as image:
        image.thumbnail((320, 240))
        image.convert("RGB").save(out, "WEBP", quality=80, method=2)
    return out.getvalue()


def _pyvips(path: Path) -> bytes:
    return bytes(pyvips.Image.thumbnail(str(path), 320, height=240).write_to_buffer(".webp[Q=80]"))


def _ffmpeg(source: str, out: str) -> list[str]:
    before = ["ffmpeg", "-v", "error", "-y", "-threads", "1", "-skip_frame", "nokey", "-ss", "2"]
    return [*before, "-i", source, "-frames:v", "1", "-vf", "scale=320:-2", out]


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """Median milliseconds of each way, all taking turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if number:
                times[name].append((time.perf_counter() - started) * 1000)
    return {name: round(statistics.median(found), 2) for name, found in times.items()}


def main() -> None:
    """Measure, print the table, and write it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--inputs", type=Path, help="Folder that keeps the inputs for another run.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console, figures = Console(), []
    cv2.setNumThreads(1)
    with (
        tempfile.TemporaryDirectory() as name,
        inputs_folder(options.inputs) as folder,
        asyncio.Runner() as runner,
    ):
        loop, slots = runner.get_loop(), DecodeSlots(1)
        loop.run_until_complete(slots.start())
        console.print("Making the inputs …")
        for item in make_inputs(folder):
            result, requests = _count_requests(item.path)
            ways = ways_of(item, result.frame.time_s or 0.0, Path(name) / "out", slots, loop)
            medians = measure(ways, options.rounds)
            figures.append(
                {
                    "input": item.name,
                    "bytes": item.path.stat().st_size,
                    "bytes_read": result.bytes_read,
                    "requests": requests,
                    "candidates": result.frame.candidates,
                    "ms": medians,
                    "ours_to_bare": round(medians["ours"] / medians["bare"], 2) if "bare" in medians else None,
                    "ratio_to_ours": {way: round(ms / medians["ours"], 2) for way, ms in medians.items()},
                }
            )
            console.print(table_of(figures[-1]))
        loop.run_until_complete(slots.stop())
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


def table_of(figure: dict[str, Any]) -> Table:
    """One input's figures."""
    read = f"{figure['bytes_read'] / 1e6:.2f} of {figure['bytes'] / 1e6:.1f} MB read in {figure['requests']} requests"
    table = Table("way", "ms", "of ours", title=f"{figure['input']}: {read}, {figure['candidates']} looked at")
    for way, ms in sorted(figure["ms"].items(), key=lambda pair: float(pair[1])):
        table.add_row(way, f"{ms:.1f}", f"{figure['ratio_to_ours'][way]:.2f}")
    return table


if __name__ == "__main__":
    main()
