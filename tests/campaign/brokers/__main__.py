"""Faults of a cluster of three brokers: `python -m tests.campaign.brokers`.

Runs the whole installation on three Apache Kafka brokers with three replicas and min.insync.replicas=2, makes one fault after
the other while uploads come, and judges by rows, objects and topics. Exit code 0: nothing found. 1: findings. 2: not run.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.campaign.brokers import report
from tests.campaign.brokers.faults import FAULTS
from tests.campaign.brokers.installation import an_installation
from tests.campaign.brokers.trial import Outcome, Pace, Trial
from tests.servers import postgres as postgres_service
from tests.servers.postgres import NoPostgresError, SystemPostgres
from tests.system.bounded_run import EXIT_FOUND, EXIT_NOT_RUN, NOT_RUN, a_bounded_run

HARD_STOP_AFTER_S: Final = 3600.0
_PREFIX: Final = "thumbnails-brokers-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the faults; see the module's text for the exit code."""
    options = _options(arguments)
    console = Console(highlight=False, soft_wrap=True)
    say = partial(console.print, markup=False)
    try:
        with a_bounded_run(_PREFIX, HARD_STOP_AFTER_S, keep=options.keep, say=say) as folder:
            outcomes = _run(options, folder, say)
    except NOT_RUN as exc:
        console.print(f"The faults were not made to their end: {exc}", markup=False)
        return EXIT_NOT_RUN
    say(report.table(outcomes))
    return EXIT_FOUND if any(done.problems for done in outcomes) else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.campaign.brokers", description=(__doc__ or "").partition("\n")[0])
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--faults", default=",".join(names), help="only these, with commas: " + ",".join(names))
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as Markdown")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    options = parser.parse_args(arguments)
    unknown = set(options.faults.split(",")) - set(names)
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return options


def _run(options: argparse.Namespace, folder: Path, say: "partial[None]") -> list[Outcome]:
    binaries = postgres_service.system_binaries()
    if binaries is None:
        raise NoPostgresError("No PostgreSQL of the system's own: install the package postgresql.")
    postgres = SystemPostgres(binaries)
    try:
        url = postgres_service.new_database(postgres.start())
        say("Starting three brokers and all roles.")
        with an_installation(folder, url) as installation:
            trial, outcomes = Trial(installation, Pace(), say), []
            chosen = options.faults.split(",")
            for fault in FAULTS:
                if fault.name in chosen:
                    outcomes.append(trial.run(fault))
                    for line in report.details(outcomes[-1]):
                        say(f"  {line}")
                    if options.report:
                        options.report.write_text(report.as_markdown(outcomes))
            return outcomes
    finally:
        postgres.stop()


if __name__ == "__main__":
    sys.exit(main())
