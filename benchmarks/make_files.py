"""A whole `thumbnails make` run over many videos against a shell loop of ffmpegthumbnailer: wall time, in turns, and the ratio.

Run by `make bench`, or alone: python -m benchmarks.make_files [--files N] [--rounds N] [--json FILE]. Makes its own inputs: a
few videos of common kinds under many names. Start-up counts; three renditions a file against one.
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

from rich.console import Console

from benchmarks.clips import h264_1080p, other_videos


def make_inputs(folder: Path, count: int) -> list[Path]:
    """`count` names of the same few videos."""
    originals = [h264_1080p(folder).path, *(item.path for item in other_videos(folder))]
    paths = []
    for number, original in zip(range(count), itertools.cycle(originals), strict=False):
        path = folder / f"{number:03}{original.suffix}"
        os.link(original, path)
        paths.append(path)
    return paths


def seconds_of(command: list[str], expected: Path, count: int) -> float:
    """Wall time of one run; every file must have its thumbnail."""
    expected.mkdir()
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console()
    if not shutil.which("ffmpegthumbnailer"):
        console.print("ffmpegthumbnailer is not installed: nothing to compare with (Debian: ffmpegthumbnailer).")
        return
    with tempfile.TemporaryDirectory() as name:
        console.print("Making the inputs …")
        paths, out = make_inputs(Path(name), options.files), Path(name) / "out"
        ours = [sys.executable, "-m", "service", "make", *map(str, paths), "--out", str(out)]
        loop = 'for file in "$@"; do ffmpegthumbnailer -i "$file" -o "$OUT/$(basename "$file").jpg" -s 320 -t 10%; done'
        theirs = ["env", f"OUT={out}", "sh", "-c", loop, "sh", *map(str, paths)]
        rows = [(seconds_of(ours, out, len(paths)), seconds_of(theirs, out, len(paths))) for _ in range(options.rounds)]
    figures = {
        "files": options.files,
        "thumbnails_make_s": round(statistics.median(row[0] for row in rows), 2),
        "ffmpegthumbnailer_s": round(statistics.median(row[1] for row in rows), 2),
        "ratio": round(statistics.median(row[1] / row[0] for row in rows), 2),
    }
    console.print_json(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
