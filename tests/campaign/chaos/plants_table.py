"""Runs the campaign once with each planted bug and says by what each was caught: `python -m tests.campaign.chaos.plants_table`.

Every result is kept in a JSON file at once. Whoever stops the program starts it again, and it goes on with what is left:
bugs without a result, and those that were not caught or not run to their end.
Exit code 0: all were caught. 1: one was not. 2: a campaign could not be run.
"""

import argparse
import collections
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.campaign.chaos.content_plants import ALL_PLANTS, CONTENT_PLANTS
from tests.campaign.chaos.plan import FaultKind
from tests.campaign.chaos.plants import PACKAGES, PLANTS, ROOT, Plant
from tests.system.bounded_run import EXIT_FOUND, EXIT_NOT_RUN

NONE: Final = "none"
"""A run without a bug, which must find nothing: what catches a bug must not be there without it."""
WITHOUT: Final = Plant("the product as it is", (), frozenset())
NAMES: Final = (NONE, *CONTENT_PLANTS, *PLANTS)
_SHOWN: Final = 3
_CAMPAIGN: Final = "tests/campaign/chaos"


@dataclass(frozen=True)
class Run:
    """One campaign: its findings by kind, some of them in words, and how long it took in seconds.

    `tree` is the digest of product and campaign that it was made with; `plan` is that of its plan.
    """

    name: str
    seed: int
    tree: str
    plan: str
    exit_code: int
    findings: dict[str, int]
    said: tuple[str, ...]
    took_s: float

    @property
    def caught_by(self) -> list[str]:
        """The kinds of findings that this bug must have and has."""
        return sorted(_plant(self.name).caught_by & self.findings.keys())

    @property
    def was_run(self) -> bool:
        """Whether its campaign came to its end."""
        return self.exit_code in (0, EXIT_FOUND)

    @property
    def is_right(self) -> bool:
        """Caught, or without a bug nothing found."""
        return self.exit_code == 0 if self.name == NONE else bool(self.caught_by)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left of all, or of those that are named; see the module's text for the exit code."""
    options = _options(arguments)
    names = options.plants.split(",")
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        options.parser.error(f"no such bug: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    console = Console(highlight=False, soft_wrap=True)
    tree = tree_digest()
    runs = {} if options.again else read_runs(options.json, options.seed)
    for name in names:
        run = runs.get(name)
        if run is None or not run.is_right or (options.same_tree and run.tree != tree):
            console.print(f"{'runs':<10} {name:<26} {len(runs)} of {len(NAMES)} have a result", markup=False)
            run = runs[name] = _run(name, options.seed, tree)
            write_runs(options.json, runs)
        console.print(_line(run), markup=False)
        if options.report:
            options.report.write_text(as_markdown(runs, options.seed))
    done = [runs[name] for name in names]
    if not all(run.was_run for run in done):
        return EXIT_NOT_RUN
    return 0 if all(run.is_right for run in done) else EXIT_FOUND


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.campaign.chaos.plants_table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plants", default=",".join(NAMES), help="only these, with commas")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the table as Markdown")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=Path("chaos-plants.json"),
        help="where results are kept (chaos-plants.json)",
    )
    parser.add_argument("--again", action="store_true", help="forget the results that are kept")
    parser.add_argument("--same-tree", action="store_true", help="repeat results of another state of the code")
    options = parser.parse_args(arguments)
    options.parser = parser
    return options


def _plant(name: str) -> Plant:
    return WITHOUT if name == NONE else ALL_PLANTS[name]


def tree_digest(root: Path = ROOT) -> str:
    """The same for the same product and the same campaign, and for no others."""
    files = [path for folder in (*PACKAGES, _CAMPAIGN) for path in (root / folder).rglob("*.py")]
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]


def read_runs(path: Path, seed: int) -> dict[str, Run]:
    """What was kept of a seed's runs, by name; of bugs that there are still."""
    if not path.exists():
        return {}
    found = [Run(**{**item, "said": tuple(item["said"])}) for item in json.loads(path.read_text())]
    return {run.name: run for run in found if run.seed == seed and run.name in NAMES}


def write_runs(path: Path, runs: Mapping[str, Run]) -> None:
    """Whole at once: a program that is stopped while it writes loses nothing."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps([asdict(run) for run in runs.values()], indent=1) + "\n")
    partial.replace(path)


def _run(name: str, seed: int, tree: str) -> Run:
    began, plant = time.monotonic(), _plant(name)
    with tempfile.NamedTemporaryFile(suffix=".json") as figures:
        command = [sys.executable, "-m", "tests.campaign.chaos", "--seed", str(seed), "--small", "--json", figures.name]
        command += ["--uploads", str(plant.uploads), "--faults", str(plant.faults)]
        command += ["--kinds", ",".join(plant.kinds), *([] if name == NONE else ["--plant", name])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = json.loads(Path(figures.name).read_text() or "{}")
    if done.returncode not in (0, EXIT_FOUND):
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
    findings = found.get("findings", [])
    kinds = collections.Counter(finding["kind"] for finding in findings)
    telling = [finding for finding in findings if name == NONE or finding["kind"] in plant.caught_by]
    said = tuple(f"{finding['kind']}: {finding['what'][:200]}" for finding in telling[:_SHOWN])
    took_s = round(time.monotonic() - began, 1)
    return Run(name, seed, tree, found.get("plan_digest", ""), done.returncode, dict(kinds.most_common()), said, took_s)


def _findings(run: Run) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in run.findings.items()) or "none"


def _line(run: Run) -> str:
    state = "ok" if run.is_right else "NOT CAUGHT" if run.was_run else "NOT RUN"
    return "\n".join(
        [f"{state:<10} {run.name:<26} {_findings(run)} ({run.took_s:.0f} s)", *(f"{'':11}{line}" for line in run.said)]
    )


def as_markdown(runs: Mapping[str, Run], seed: int) -> str:
    """The table of all bugs; those without a run say so."""
    missing = [name for name in NAMES if name not in runs or not runs[name].was_run]
    wrong = [name for name in NAMES if name in runs and runs[name].was_run and not runs[name].is_right]
    caught = len(NAMES) - 1 - len([name for name in {*missing, *wrong} if name != NONE])
    lines = [
        "# Planted bugs",
        "",
        f"`make chaos-plants` writes this page: the campaign of seed {seed}, small, on copies of the product with one bug each.",
        "",
        f"{caught} of {len(NAMES) - 1} bugs were caught. {_without(runs.get(NONE))}"
        + "".join(
            f" {title}: {_named(names)}." for title, names in (("Not run", missing), ("Not right", wrong)) if names
        ),
        "",
        "| bug | what it does | faults | uploads | caught by | all findings | for example |",
        "|---|---|---|---:|---|---|---|",
    ]
    lines += [_row(name, runs.get(name)) for name in NAMES]
    trees = sorted({run.tree for run in runs.values()})
    return "\n".join([*lines, "", f"State of product and campaign, as a digest of their code: {_named(trees)}."]) + "\n"


def _without(run: Run | None) -> str:
    if run is None or not run.was_run:
        return "The product without a bug was not run."
    return f"Without a bug, findings: {_findings(run)}."


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(name: str, run: Run | None) -> str:
    plant = _plant(name)
    kinds = ", ".join(FaultKind(kind) for kind in plant.kinds)
    head = f"| `{name}` | {plant.what} | {plant.faults}: {kinds} | {plant.uploads} |"
    if run is None or not run.was_run:
        return f"{head} **not run** | | |"
    caught = ", ".join(run.caught_by) or ("-" if run.is_right else "**not caught**" if name != NONE else "**findings**")
    example = run.said[0].replace("|", "\\|") if run.said else "-"
    return f"{head} {caught} | {_findings(run)} | {example} |"


if __name__ == "__main__":
    sys.exit(main())
