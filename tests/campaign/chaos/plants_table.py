"""Runs the campaign once with each planted bug and says by what each was caught: `python -m tests.campaign.chaos.plants_table`.

Exit code 0: all were caught. 1: one was not. 2: a campaign could not be run.
"""

import argparse
import collections
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.campaign.chaos.content_plants import ALL_PLANTS, CONTENT_PLANTS
from tests.campaign.chaos.plants import PLANTS
from tests.system.bounded_run import EXIT_FOUND, EXIT_NOT_RUN

UPLOADS: Final = 150
FAULTS: Final = 4
MORE_UPLOADS: Final = {"ignore-tombstones": 300}
"""For a case that is rare."""
NONE: Final = "none"
"""A run without a bug, which must find nothing: what catches a bug must not be there without it."""


_SHOWN: Final = 3


@dataclass(frozen=True)
class Run:
    """One campaign: how many findings of each kind, and how long it took in seconds."""

    name: str
    exit_code: int
    findings: dict[str, int]
    took_s: float

    @property
    def is_right(self) -> bool:
        """Caught, or without a bug nothing found."""
        if self.name == NONE:
            return self.exit_code == 0
        return bool(ALL_PLANTS[self.name].caught_by & self.findings.keys())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all, or those that are named; see the module's text for the exit code."""
    parser = argparse.ArgumentParser("python -m tests.campaign.chaos.plants_table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plants", default=",".join([NONE, *CONTENT_PLANTS, *PLANTS]), help="only these, with commas")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as Markdown")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    runs = []
    for name in options.plants.split(","):
        run = _run(name, options.seed)
        runs.append(run)
        console.print(_line(run), markup=False)
        if options.report:  # after each: whoever stops it keeps what there is
            options.report.write_text(_as_markdown(runs, options.seed))
    if any(run.exit_code not in (0, EXIT_FOUND) for run in runs):
        return EXIT_NOT_RUN
    return 0 if all(run.is_right for run in runs) else EXIT_FOUND


def _run(name: str, seed: int) -> Run:
    began = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".json") as figures:
        command = [sys.executable, "-m", "tests.campaign.chaos", "--seed", str(seed), "--small", "--json", figures.name]
        command += ["--uploads", str(MORE_UPLOADS.get(name, UPLOADS)), "--faults", str(FAULTS)]
        kinds = "kill-worker,kill-persist" if name == NONE else ",".join(ALL_PLANTS[name].kinds)
        command += ["--kinds", kinds, *([] if name == NONE else ["--plant", name])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = json.loads(Path(figures.name).read_text() or "{}")
    if done.returncode not in (0, EXIT_FOUND):
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
    kinds_found = collections.Counter(finding["kind"] for finding in found.get("findings", []))
    for finding in found.get("findings", [])[:_SHOWN]:
        sys.stderr.write(f"    {finding['kind']}: {finding['what'][:200]}\n")
    return Run(name, done.returncode, dict(kinds_found.most_common()), time.monotonic() - began)


def _line(run: Run) -> str:
    findings = ", ".join(f"{kind} {count}" for kind, count in run.findings.items()) or "nothing found"
    return f"{'ok' if run.is_right else 'NOT CAUGHT':<10} {run.name:<26} {findings} ({run.took_s:.0f} s)"


def _as_markdown(runs: list[Run], seed: int) -> str:
    lines = [
        "# Planted bugs",
        "",
        f"`make chaos-plants`: the campaign of seed {seed}, small ({UPLOADS} uploads, {FAULTS} faults), on copies of the",
        "product with one bug each.",
        "",
        "| bug | what it does | caught by | all findings |",
        "|---|---|---|---|",
    ]
    for run in runs:
        findings = ", ".join(f"{kind} {count}" for kind, count in run.findings.items()) or "none"
        if run.name == NONE:
            lines.append(f"| none | the product as it is | {'-' if run.is_right else '**findings**'} | {findings} |")
            continue
        bug = ALL_PLANTS[run.name]
        caught = ", ".join(sorted(bug.caught_by & run.findings.keys())) or "**not caught**"
        lines.append(f"| `{run.name}` | {bug.what} | {caught} | {findings} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
