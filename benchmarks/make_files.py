"""A whole `thumbnails make` run over many videos against a shell loop of ffmpegthumbnailer: wall time, in turns, and the ratio.

Run by `make bench`, or alone: python -m benchmarks.make_files [--files N] [--rounds N] [--json FILE]. Makes its own inputs: a
few videos of common kinds under many names. Start-up counts; ours makes one rendition a file, and three in another run.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.clips import h264_camera, h264_drawn, inputs_folder, other_videos

ONE_RENDITION: Final = "medium:320x240"
"""What ffmpegthumbnailer makes; three are made by default."""


def make_inputs(originals: Path, folder: Path, count: int) -> list[Path]:
    """`count` names in `folder` of the same few videos."""
    videos = [h264_drawn(originals).path, h264_camera(originals).path, *(item.path for item in other_videos(originals))]
    paths = []
    for number, video in zip(range(count), itertools.cycle(videos), strict=False):
        path = folder / f"{number:03}{video.suffix}"
        path.symlink_to(video.resolve())
        paths.append(path)
    return paths


def seconds_of(command: list[str], expected: Path, count: int, renditions: str = "") -> float:
    """Wall time of one run; every file must have its thumbnail."""
    expected.mkdir()
    environment = {**os.environ, "THUMBNAIL_RENDITIONS": renditions, "OUT": str(expected)}
    started = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    elapsed = time.perf_counter() - started
    made = len(list(expected.iterdir()))
    if made < count:
        raise RuntimeError(f"only {made} thumbnails of {count} files")
    shutil.rmtree(expected)
    return elapsed


def main() -> None:
    """Measure, print, and write JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inputs", type=Path, help="Folder that keeps the inputs for another run.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console()
    if not shutil.which("ffmpegthumbnailer"):
        console.print("ffmpegthumbnailer is not installed: nothing to compare with (Debian: ffmpegthumbnailer).")
        return
    with tempfile.TemporaryDirectory() as name, inputs_folder(options.inputs) as originals:
        console.print("Making the inputs …")
        paths, out = make_inputs(originals, Path(name), options.files), Path(name) / "out"
        ours = [sys.executable, "-m", "service", "make", *map(str, paths), "--out", str(out)]
        loop = 'for file in "$@"; do ffmpegthumbnailer -i "$file" -o "$OUT/$(basename "$file").jpg" -s 320 -t 10%; done'
        theirs = ["sh", "-c", loop, "sh", *map(str, paths)]
        rows = [
            (
                seconds_of(ours, out, len(paths), ONE_RENDITION),
                seconds_of(ours, out, len(paths)),
                seconds_of(theirs, out, len(paths)),
            )
            for _ in range(options.rounds)
        ]
    one, three, peer = ([row[way] for row in rows] for way in range(3))
    figures = {
        "files": options.files,
        "make_one_rendition_s": round(statistics.median(one), 2),
        "make_three_renditions_s": round(statistics.median(three), 2),
        "ffmpegthumbnailer_s": round(statistics.median(peer), 2),
        "ratio_one": round(statistics.median(theirs_s / ours_s for theirs_s, ours_s in zip(peer, one, strict=True)), 2),
        "ratio_three": round(
            statistics.median(theirs_s / ours_s for theirs_s, ours_s in zip(peer, three, strict=True)), 2
        ),
    }
    console.print_json(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
