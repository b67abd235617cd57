"""The roles against a database that refuses, and behind PgBouncer: `python -m tests.campaign.database`.

Brings a PostgreSQL of its own into each state in which it takes no results, sends results, repairs it, and notes when
all rows are there; fails over between two servers; and sends uploads through the whole flow behind PgBouncer in
transaction mode. Exit code 0: all was as it must be. 1: findings. 2: it could not be run.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.campaign.database.pooled import PERSIST_ROLES, WORKERS, Pooled, flow
from tests.campaign.database.refusals import HOLD_S, Refusal, TimedOutError, fail_over, refuse_all
from tests.servers.kafka.choice import choose_kafka, running
from tests.servers.pgbouncer import POOL_SIZE, NoPgBouncerError
from tests.system.bounded_run import EXIT_FOUND, EXIT_NOT_RUN, NOT_RUN, a_bounded_run

MOST_S: Final = 2400.0
_PREFIX: Final = "thumbnails-database-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both parts; see the module's text for the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tests.campaign.database", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--results", type=int, default=200, help="results in each state (200)")
    parser.add_argument("--uploads", type=int, default=1000, help="uploads behind PgBouncer (1000)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs of all roles")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    say = partial(console.print, markup=False)
    refusals: list[Refusal] = []
    pooled: Pooled | None = None
    stopped = None
    try:
        with a_bounded_run(_PREFIX, MOST_S, keep=options.keep, say=say) as folder, running(choose_kafka()) as kafka:
            try:
                if options.results:
                    refusals = _refusals(kafka, folder, options.results, say)
                if options.uploads:
                    (folder / "pooled").mkdir()
                    pooled = flow(kafka, folder / "pooled", options.uploads, say)
            except (TimedOutError, AssertionError) as exc:
                stopped = str(exc)
    except (NoPgBouncerError, *NOT_RUN) as exc:
        say(f"It was not run to its end: {exc}")
        return EXIT_NOT_RUN
    findings = ([stopped] if stopped else []) + _findings(refusals, pooled)
    if options.report:
        options.report.write_text(as_markdown(refusals, pooled, findings))
    if options.json:
        data = {"refusals": [asdict(one) for one in refusals], "pooled": asdict(pooled) if pooled else None}
        options.json.write_text(json.dumps(data | {"findings": findings}, indent=1) + "\n")
    say("\n".join(findings) if findings else f"{len(refusals)} states: nothing found.")
    return EXIT_FOUND if findings else 0


def _refusals(kafka: str, folder: Path, results: int, say: Callable[[str], None]) -> list[Refusal]:
    found = list(refuse_all(kafka, folder / "states", results, say))
    say("failover")
    return [*found, fail_over(kafka, folder / "failover", results)]


def _findings(refusals: Sequence[Refusal], pooled: Pooled | None) -> list[str]:
    found = [f"{one.name}: {problem}" for one in refusals for problem in one.findings]
    return found + ([f"behind PgBouncer: {problem}" for problem in pooled.findings] if pooled else [])


def as_markdown(refusals: Sequence[Refusal], pooled: Pooled | None, findings: Sequence[str]) -> str:
    """Return the report for people."""
    lines = ["# Database refusals, and PgBouncer", "", "`make database` wrote this page.", ""]
    lines += ["## Findings", "", *(f"- {finding}" for finding in findings or ["None."]), ""]
    if refusals:
        lines += _table(refusals)
    if pooled is not None:
        lines += _pooled(pooled)
    return "\n".join(lines)


def _table(refusals: Sequence[Refusal]) -> list[str]:
    rows = [
        f"| {one.name} | {one.sqlstate} | {'yes' if one.is_real else 'trigger'} | {one.dead_letters} | {one.rows} |"
        f" {one.red_s:.1f} | {one.rows_s:.1f} | {one.green_s:.1f} |"
        for one in refusals
    ]
    sentences = [f"- {one.sqlstate}: {one.problem}" for one in refusals]
    return [
        "## States",
        "",
        (
            f"One persist role as a process on PostgreSQL; {refusals[0].results} results in each state, which lasts {HOLD_S:g} s"
            " after the role was red. Real: PostgreSQL got into the state as in production; else a trigger raised the SQLSTATE."
        ),
        (
            "Seconds: from the first result until `/health/ready` is 503 with the sentence below; from the repair until all rows"
            " are there, and until it is 200. The role's longest pause is 10 s."
        ),
        "",
        "| state | SQLSTATE | real | dead letters | rows | red after s | rows after s | green after s |",
        "|---|---|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "## Sentences",
        "",
        *sentences,
        "",
    ]


def _pooled(pooled: Pooled) -> list[str]:
    sizes = ", ".join(f"{count} of {size}" for size, count in pooled.transactions.items())
    timeouts = ", ".join(pooled.statement_timeouts)
    return [
        "## Behind PgBouncer in transaction mode",
        "",
        (
            f"{pooled.uploads} uploads in {pooled.batches} batches of 1 to 5, {WORKERS} workers, {PERSIST_ROLES} persist roles,"
            f" a retry role, {POOL_SIZE} sessions of the server. One file in 20 came late."
        ),
        "",
        "| | |",
        "|---|---|",
        f"| ready | {pooled.ready} |",
        f"| dead letters | {pooled.dead_letters} |",
        f"| came back from retries | {pooled.retried} |",
        f"| lines `database_down` | {pooled.down_lines} |",
        f"| results in a transaction | {sizes} |",
        f"| `db upgrade`, two at once meanwhile | exit codes {', '.join(map(str, pooled.upgrades))} |",
        f"| advisory locks left | {pooled.advisory_locks} |",
        f"| `statement_timeout` of the pool's sessions outside of a transaction | {timeouts} |",
        f"| seconds | {pooled.seconds:.0f} |",
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
