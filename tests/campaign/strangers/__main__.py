"""Strangers' records among good uploads, through a whole installation: `python -m tests.campaign.strangers --seed 1`.

Starts Apache Kafka, PostgreSQL and the three roles on this machine, sends the records that the seed decides, waits until
all topics are at rest, and judges. Exit code 0: nothing found. 1: findings. 2: it could not be run.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.campaign.strangers import report
from tests.campaign.strangers.flood import SETTINGS, Flood, run_flood, set_up
from tests.campaign.strangers.judge import Verdict, judge
from tests.servers import postgres as postgres_service
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.postgres import NoPostgresError, SystemPostgres
from tests.system.bounded_run import EXIT_FOUND, EXIT_NOT_RUN, NOT_RUN, a_bounded_run
from tests.system.stack import a_stack

_AROUND_S: Final = 300.0
"""For the services' start, and for the judge."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run once; see the module's text for the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tests.campaign.strangers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=1, help="decides the records")
    parser.add_argument("--records", type=int, default=100_000, help="how many strangers' records (100000)")
    parser.add_argument("--good", type=int, default=1_000, help="how many good uploads (1000)")
    parser.add_argument("--minutes", type=float, default=60.0, help="all must be at rest by then (60)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs of all roles")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as Markdown")
    options = parser.parse_args(arguments)
    try:
        with a_bounded_run(
            "thumbnails-strangers-", options.minutes * 60 + _AROUND_S, keep=options.keep, say=_say
        ) as folder:
            flood, verdict = _run(options, folder, _say)
    except NOT_RUN as exc:
        _say(f"It was not run to its end: {exc}")
        return EXIT_NOT_RUN
    for finding in verdict.findings[:20]:
        _say(f"  {finding}")
    _say(report.as_line(flood, verdict))
    if options.report:
        options.report.write_text(report.as_markdown(flood, verdict))
    return EXIT_FOUND if verdict.findings else 0


def _run(options: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> tuple[Flood, Verdict]:
    binaries = postgres_service.system_binaries()
    if binaries is None:
        raise NoPostgresError("No PostgreSQL of the system's own: install the package postgresql.")
    with ExitStack() as services:
        kafka = ApacheKafka()
        services.callback(kafka.stop)
        postgres = SystemPostgres(binaries)
        services.callback(postgres.stop)
        url = postgres_service.new_database(postgres.start())
        stack = services.enter_context(a_stack(kafka.start(), url, "", folder, **SETTINGS, DECODE_SLOTS="2"))
        set_up(stack, options.good)
        flood = run_flood(stack, options.seed, options.records, options.good, most_s=options.minutes * 60, say=say)
        return flood, judge(stack, flood)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    sys.exit(main())
