"""A fault campaign against a whole installation: `python -m tests.campaign.chaos --seed 1`.

Starts Apache Kafka, PostgreSQL, MinIO behind Toxiproxy, three workers, two persist roles and a retry role on this
machine, publishes uploads whose outcome is known, breaks things by a plan that the seed decides, and then has an oracle
look at topics, rows and objects. Exit code 0: nothing found. 1: findings. 2: it could not be run.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.campaign.chaos import report
from tests.campaign.chaos.campaign import Campaign, Result
from tests.campaign.chaos.cluster import a_cluster
from tests.campaign.chaos.content_plants import ALL_PLANTS
from tests.campaign.chaos.layout import SMALL, WHOLE
from tests.campaign.chaos.plan import GAP_S, FaultKind, Plan, plan_faults
from tests.campaign.chaos.plants import ROOT, changed_copy
from tests.campaign.chaos.uploads import plan_uploads
from tests.system.bounded_run import EXIT_FOUND, EXIT_NOT_RUN, NOT_RUN, a_bounded_run, build_servers

HARD_STOP_AFTER_S: Final = 900.0
"""Beside the plan's own time: for the start, two drains, the end of all roles, and the oracle, on a machine with other work."""
_PREFIX: Final = "thumbnails-chaos-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one campaign; see the module's text for the exit code."""
    options = _options(arguments)
    console = Console(highlight=False, soft_wrap=True)
    most_s = options.minutes * 60 + HARD_STOP_AFTER_S
    try:
        build_servers(console.print)
        with a_bounded_run(_PREFIX, most_s, keep=options.keep, say=console.print) as folder:
            result = _run(options, folder, console.print)
    except NOT_RUN as exc:
        console.print(f"The campaign was not run to its end: {exc}")
        return EXIT_NOT_RUN
    _say(result, options, console)
    return EXIT_FOUND if result.oracle_report.findings else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.campaign.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="decides the plan of faults and uploads")
    parser.add_argument("--uploads", type=int, help="how many (2000; 240 with --plant)")
    parser.add_argument("--faults", type=int, help="how many (64; 12 with --plant)")
    parser.add_argument("--kinds", help="only these, with commas: " + ",".join(FaultKind))
    parser.add_argument("--small", action="store_true", help="fewer roles, and faults in quicker succession")
    parser.add_argument("--minutes", type=float, default=10.0, help="no fault and no upload later than this (10)")
    parser.add_argument("--plant", choices=sorted(ALL_PLANTS), help="run a copy of the product with this bug in it")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs of all roles")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as Markdown")
    options = parser.parse_args(arguments)
    options.uploads = options.uploads or (240 if options.plant else 2000)
    options.faults = options.faults or (12 if options.plant else 64)
    try:
        options.kinds = [FaultKind(name) for name in options.kinds.split(",")] if options.kinds else None
    except ValueError as exc:
        parser.error(str(exc))
    return options


def _run(options: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> Result:
    source = changed_copy(ALL_PLANTS[options.plant].edits, folder / "planted") if options.plant else ROOT
    kinds = options.kinds or (list(ALL_PLANTS[options.plant].kinds) if options.plant else list(FaultKind))
    layout, gap_s = (SMALL, GAP_S / 2) if options.small else (WHOLE, GAP_S)
    brokers = f"{layout.brokers} brokers" if layout.brokers > 1 else "a broker"
    say(f"Starting Apache Kafka ({brokers}), PostgreSQL behind PgBouncer, MinIO behind Toxiproxy, and the roles.")
    with a_cluster(folder, source, say, layout) as cluster:
        if cluster.no_disk is not None:
            say(f"No disk can be filled here, and that fault is left out: {cluster.no_disk}")
            kinds = [kind for kind in kinds if kind is not FaultKind.FILL_DISK]
        faults = plan_faults(options.seed, options.faults, kinds, gap_s=gap_s)
        plan = Plan(options.seed, faults, plan_uploads(options.seed, options.uploads))
        say(
            f"Seed {plan.seed}, plan {plan.digest}: {len(plan.uploads)} uploads,"
            f" {len(faults)} faults of {len({fault.kind for fault in faults})} kinds in {plan.lasts_s:.0f} s."
        )
        campaign = Campaign(cluster, plan, say, deadline=time.monotonic() + options.minutes * 60)
        return campaign.run()


def _say(result: Result, options: argparse.Namespace, console: Console) -> None:
    for finding in result.oracle_report.findings[:20]:
        console.print(f"  {finding.kind}: {finding.what}", markup=False)
    console.print(report.as_line(result), markup=False)
    if options.plant:
        planted = ALL_PLANTS[options.plant]
        caught = sorted(planted.caught_by & {finding.kind for finding in result.oracle_report.findings})
        console.print(f"Planted: {planted.what}. {'Caught by: ' + ', '.join(caught) if caught else 'NOT CAUGHT.'}")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(result), indent=1) + "\n")
    if result.trails and not options.plant:
        trails = Path(f"chaos-{options.seed}-trails.txt")
        trails.write_text("\n".join(result.trails) + "\n")
        console.print(f"The way of each upload that a finding names is in {trails}.")
    if options.report:
        options.report.write_text(report.as_markdown(result))


if __name__ == "__main__":
    sys.exit(main())
