"""The report: a table for people, and what each fault made the roles say."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from tests.campaign.brokers.installation import ROLES
from tests.campaign.brokers.publisher import EVERY_S, LATE_EVERY, LATE_S
from tests.campaign.brokers.trial import Outcome

_COLUMNS: Final = (
    *("fault", "uploads", "lost", "duplicates", "older ones again", "dead letters"),
    *("first outcome after the fault", "longest wait", "first after the repair", "last of those before it"),
    *("processes that ended", "error lines"),
)
_SETUP: Final = """\
`make broker-faults` wrote this page. The whole installation runs on three Apache Kafka brokers in KRaft mode. Each is a controller, too.
Our topics and Kafka's own have three replicas and `min.insync.replicas=2`. Roles: {roles}; they are restarted 2 s after they end.
Their session timeout is 6 s, that of brokers is 3 s: Kafka's defaults are longer, and so are failovers there.

An upload comes every {every_s} s, before, during and after each fault. The file of every {late_every}th comes {late_s} s late, so
that the upload travels through the retry topics. Uploads that Kafka acknowledged (`acks=all`) are demanded. Rows, objects, topics
and logs are the judges."""
_TOTALS: Final = """\
{uploads} uploads, {faults} faults: {lost} lost, {dead} dead letters, {found} faults with findings. Times are in seconds, on a machine
with {processors} processors and a load of {load:.0f}."""
_COLUMNS_MEAN: Final = """\
A duplicate is one more `thumbnail.ready` for an upload, with the same event id. "Older ones again" counts the same for uploads of
earlier faults. "Last of those before it" is 0.0 where no upload had to wait for the repair. Most error lines are those of the client
libraries, which name the broker that is away."""
_OUR_EVENT: Final = re.compile(r"^(warning|error|critical) [a-z]+(_[a-z]+)+: .+")
_SHOWN: Final = 4


def table(outcomes: Iterable[Outcome]) -> str:
    """Return one row for each fault."""
    head = f"| {' | '.join(_COLUMNS)} |"
    line = f"|{'|'.join('---' if column == 'fault' else '---:' for column in _COLUMNS)}|"
    return "\n".join([head, line, *map(_row, outcomes)])


def _row(done: Outcome) -> str:
    counts = (done.acknowledged, done.lost, done.duplicates, done.repeated, done.dead_letters)
    times = (done.first_s, done.slowest_s, done.first_after_repair_s, done.last_after_repair_s)
    ends = (done.restarts, sum(done.said.errors.values()))
    cells = [done.fault.name, *map(str, counts), *map(_seconds, times), *map(str, ends)]
    return f"| {' | '.join(cells)} |"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def details(done: Outcome) -> Sequence[str]:
    """Return what happened, as lines."""
    return [_row(done), *_sentences(done), *(f"NOT AS IT MUST BE: {problem}" for problem in done.problems)]


def _sentences(done: Outcome) -> Iterator[str]:
    """What roles said in their own log events; the lines of the client libraries are counted only."""
    for role, said in sorted(done.said.sentences.items()):
        ours = [(sentence, count) for sentence, count in said.most_common() if _OUR_EVENT.match(sentence)]
        for sentence, count in ours[:_SHOWN]:
            yield f"{role}, {count} times: {sentence}"


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the page."""
    roles = ", ".join(f"{count} {role}" for role, count in ROLES.items())
    setup = _SETUP.format(roles=roles, every_s=EVERY_S, late_every=LATE_EVERY, late_s=LATE_S)
    totals = _TOTALS.format(
        uploads=sum(done.acknowledged for done in outcomes),
        faults=len(outcomes),
        lost=sum(done.lost for done in outcomes),
        dead=sum(done.dead_letters for done in outcomes),
        found=sum(bool(done.problems) for done in outcomes),
        processors=os.cpu_count(),
        load=os.getloadavg()[2],
    )
    said = ["## What was done, and what the roles said", *map(_section, outcomes)]
    return (
        "\n\n".join(["# Faults of a cluster of three brokers", setup, totals, table(outcomes), _COLUMNS_MEAN, *said])
        + "\n"
    )


def _section(done: Outcome) -> str:
    lines = [f"**{done.fault.name}**: {done.fault.done}.", *(f"- {line}" for line in _sentences(done))]
    lines += [f"- FINDING: {problem}" for problem in done.problems]
    return lines[0] + ("\n\n" + "\n".join(lines[1:]) if lines[1:] else "")
