"""The working tree against another commit: processor time of a caged job on each kind of file, in turns, as a ratio with its spread.

Run: make bench-compare BASE=9782ebd, or python -m benchmarks.compare BASE [--inputs FOLDER] [--rounds N] [--json FILE]. Checks BASE out
beside the cache of the tests' servers, with an environment of its own by its lock file, and keeps it there for the next time. Each
round takes every file through both versions, and through this one with DECODE_REUSE=tenant; a ratio is that of neighbours. Where
npm is there, pictures go through sharp too, in the same round: the same sizes, without a cage.
"""

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Final

from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.clips import h264_camera, h264_drawn, inputs_folder, other_videos, photographs

ROOT: Final = Path(__file__).parents[2]
JOB_COSTS: Final = Path(__file__).with_name("job_costs.py")
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "thumbnail-pipeline" / "bench"
SHARP_COSTS: Final = JOB_COSTS.with_name("sharp_costs.mjs")
SHARP: Final = "sharp@0.35.5"
PICTURES: Final = (".jpg", ".png", ".webp")
JOBS: Final = 8
"""Of one file at a time: enough that a tick of the clock, 10 ms, is one part in fifty."""


def checkout(base: str, console: Console) -> Path:
    """The interpreter of a tree of that commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "--verify", f"{base}^{{commit}}"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    tree = CACHE / commit[:12]
    python = tree / ".venv" / "bin" / "python"
    if not (tree / ".ready").exists():
        console.print(f"Installing {commit[:12]} …")
        tree.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
        subprocess.run([sys.executable, "-m", "venv", str(tree / ".venv")], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(tree / "requirements.lock")], check=True)
        subprocess.run([*pip, "--no-deps", "--editable", str(tree)], check=True)
        (tree / ".ready").touch()
    return python


class Version:
    """One version's decoders, ready in a process of their own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._ask, self._answer = _pipes(process)
        self.hear()

    def hear(self) -> str:
        """Its next line. Raises RuntimeError when it has ended."""
        line = self._answer.readline()
        if not line:
            raise RuntimeError("the decoders of one version have ended; their error stands above")
        return line

    def cost_ms(self, path: Path, jobs: int = JOBS) -> float:
        """Processor time of one job on the file, in milliseconds."""
        self._ask.write(f"{path}\t{jobs}\n")
        self._ask.flush()
        return float(self.hear()) * 1000 / jobs


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("it was started with pipes")
    return process.stdin, process.stdout


def version(python: Path | str, way: str) -> AbstractContextManager[Version]:
    """Provide the decoders of the tree that the interpreter belongs to."""
    return started([str(python), str(JOB_COSTS), way], Path("/"))


def sharp(console: Console) -> AbstractContextManager[Version | None]:
    """Provide sharp; None where it cannot be had."""
    npm, folder = shutil.which("npm"), CACHE / SHARP
    if npm is None:
        return nullcontext()
    if not (folder / "node_modules" / "sharp").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), SHARP]
        if subprocess.run(command, check=False).returncode:
            console.print(f"{SHARP} cannot be installed: without it, then.")
            return nullcontext()
    return started(["node", str(SHARP_COSTS)], folder)


@contextmanager
def started(command: list[str], folder: Path) -> Iterator[Version]:
    """Provide what the command answers; it ends with the block."""
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Version(process)
        finally:
            if process.stdin is not None:
                process.stdin.close()


def files_in(folder: Path) -> list[Path]:
    """What goes through both: made once."""
    videos = [h264_camera(folder), h264_drawn(folder), *other_videos(folder)]
    paths = [item.path for item in (*videos, *photographs(folder))]
    small = folder / "small.jpg"
    if not small.exists():
        with Image.open(next(path for path in paths if path.suffix == ".jpg")) as photograph:
            photograph.convert("RGB").resize((640, 480)).save(small, quality=85)
    return [*paths, small]


def compared(base: str, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Milliseconds of each version and file, medians, and the ratios of neighbours."""
    rows: dict[str, dict[str, Any]] = {}
    before = checkout(base, console)
    with inputs_folder(options.inputs) as folder:
        console.print("Making the inputs …")
        files = files_in(folder)
        with (
            version(before, "fresh") as old,
            version(sys.executable, "fresh") as new,
            version(sys.executable, "reuse") as kept,
            sharp(console) as peer,
        ):
            for path in files:
                peers = [peer] if peer is not None and path.suffix in PICTURES else []
                ways = [old, new, kept, *peers]
                for each in ways:
                    each.cost_ms(path, 2)  # the first ones read cold files and code
                costs = [[each.cost_ms(path) for each in ways] for _ in range(options.rounds)]
                ratios, kept_ratios = ([cost[way] / cost[0] for cost in costs] for way in (1, 2))
                rows[path.name] = {
                    "base_ms": round(statistics.median(cost[0] for cost in costs), 1),
                    "now_ms": round(statistics.median(cost[1] for cost in costs), 1),
                    "reuse_ms": round(statistics.median(cost[2] for cost in costs), 1),
                    "now": round(statistics.median(ratios), 2),
                    "now_spread": [round(min(ratios), 2), round(max(ratios), 2)],
                    "reuse": round(statistics.median(kept_ratios), 2),
                    "reuse_spread": [round(min(kept_ratios), 2), round(max(kept_ratios), 2)],
                }
                if peers:
                    rows[path.name] |= {
                        "sharp_ms": round(statistics.median(cost[3] for cost in costs), 1),
                        "now_to_sharp": round(statistics.median(cost[1] / cost[3] for cost in costs), 2),
                        "reuse_to_sharp": round(statistics.median(cost[2] / cost[3] for cost in costs), 2),
                    }
                console.print(f"{path.name}: {rows[path.name]['now']}, with reuse {rows[path.name]['reuse']}")
    return rows


def main() -> None:
    """Measure, print the table, and write it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="A commit, tag or branch of this repository.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inputs", type=Path, help="Folder that keeps the inputs for another run.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console()
    rows = compared(options.base, options, console)
    table = Table(
        "file",
        f"{options.base}, CPU ms",
        "now",
        "DECODE_REUSE=tenant",
        "ratio now",
        "ratio with reuse",
        "sharp",
        "now, reuse to sharp",
    )
    for name, row in rows.items():
        table.add_row(
            name,
            str(row["base_ms"]),
            str(row["now_ms"]),
            str(row["reuse_ms"]),
            f"{row['now']:.2f} ({row['now_spread'][0]:.2f} to {row['now_spread'][1]:.2f})",
            f"{row['reuse']:.2f} ({row['reuse_spread'][0]:.2f} to {row['reuse_spread'][1]:.2f})",
            str(row.get("sharp_ms", "")),
            f"{row['now_to_sharp']:.2f}, {row['reuse_to_sharp']:.2f}" if "sharp_ms" in row else "",
        )
    console.print(table)
    if options.json:
        machine = {
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "cores": os.cpu_count(),
            "kernel": platform.release().partition("-")[0],
            "python": platform.python_version(),
            "load": [round(value, 1) for value in os.getloadavg()],
        }
        content = {"base": options.base, "rounds": options.rounds, "machine": machine, "files": rows}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
