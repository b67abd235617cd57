"""The operator drill: `python -m tests.campaign.drill`.

Starts the whole stack on this machine with uploads trickling in, breaks one thing after the other, and notes what the person
on call sees: which alert fires how soon, what `thumbnails status` and the page say, and how soon all is well again. Exit
code 0: all was as it must be. 1: findings. 2: it could not be run.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.campaign.chaos.plants import ROOT
from tests.campaign.drill import report
from tests.campaign.drill.drill import Drill, Result, as_json
from tests.campaign.drill.faults import FAULTS
from tests.campaign.drill.installation import MendError, an_installation
from tests.campaign.drill.rules import slowest_look_s
from tests.integration.web.browser import CHROMIUM
from tests.servers.disks import NoDiskError
from tests.system.bounded_run import EXIT_FOUND, EXIT_NOT_RUN, NOT_RUN, a_bounded_run, build_servers

HARD_STOP_AFTER_S: Final = 2700.0
_PREFIX: Final = "thumbnails-drill-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drill; see the module's text for the exit code."""
    options = _options(arguments)
    console = Console(highlight=False, soft_wrap=True)
    missing = [name for name in ("prometheus", str(CHROMIUM)) if shutil.which(name) is None]
    if missing:
        console.print(f"The drill needs {' and '.join(missing)}: install Debian's packages prometheus and chromium.")
        return EXIT_NOT_RUN
    say = partial(console.print, markup=False)
    try:
        build_servers(say)
        with a_bounded_run(_PREFIX, HARD_STOP_AFTER_S, keep=options.keep, say=say) as folder:
            result = _run(options, folder, say)
    except (MendError, NoDiskError, *NOT_RUN) as exc:
        console.print(f"The drill was not run to its end: {exc}", markup=False)
        return EXIT_NOT_RUN
    _say(result, options, console)
    return EXIT_FOUND if result.findings else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.campaign.drill", description=(__doc__ or "").partition("\n")[0])
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--factor", type=float, default=10.0, help="divide all durations of the rules by this (10)")
    parser.add_argument("--faults", default=",".join(names), help="only these, with commas: " + ",".join(names))
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as Markdown")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="where the screenshots go, for the report to show"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    options = parser.parse_args(arguments)
    unknown = set(options.faults.split(",")) - set(names)
    if unknown or options.factor < 1:
        parser.error(f"no such fault: {', '.join(unknown)}" if unknown else "the factor is 1 or more")
    return options


def _run(options: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> Result:
    say("Starting Apache Kafka, PostgreSQL, MinIO and Toxiproxy.")
    chosen = options.faults.split(",")
    pictures = options.pictures or folder
    pictures.mkdir(parents=True, exist_ok=True)
    with an_installation(folder, options.factor, say) as installation:
        return Drill(installation, pictures, options.factor, say).run(
            [fault for fault in FAULTS if fault.name in chosen]
        )


def _say(result: Result, options: argparse.Namespace, console: Console) -> None:
    if options.json:
        options.json.write_text(json.dumps(as_json(result), indent=1) + "\n")
    if options.report:
        # Links in the page are relative to it.
        pictures = (options.pictures or ROOT).resolve()
        base = options.report.resolve().parent
        shown = pictures.relative_to(base).as_posix()
        options.report.write_text(report.as_markdown(result, shown, slowest_look_s()))
    for finding in result.findings:
        console.print(f"  {finding}", markup=False)
    console.print(report.as_line(result), markup=False)


if __name__ == "__main__":
    sys.exit(main())
