"""The report: a table for people, and what each fault made the roles say."""

from collections.abc import Iterable, Sequence
from typing import Final

from tests.campaign.brokers.trial import Outcome

_COLUMNS: Final = (
    *("fault", "acknowledged", "lost", "duplicates", "dead letters"),
    *("first outcome after the fault, s", "first after the repair, s", "last of those before the repair, s"),
    *("longest wait, s", "ended processes", "error lines"),
)


def table(outcomes: Iterable[Outcome]) -> str:
    """Return one row for each fault."""
    rows = [_row(done) for done in outcomes]
    head = "| " + " | ".join(_COLUMNS) + " |"
    line = "|" + "|".join("---" if number == 0 else "---:" for number in range(len(_COLUMNS))) + "|"
    return "\n".join([head, line, *rows])


def _row(done: Outcome) -> str:
    cells = (
        done.fault.name,
        str(done.acknowledged),
        str(done.lost),
        str(done.duplicates),
        str(done.dead_letters),
        _seconds(done.first_s),
        _seconds(done.first_after_repair_s),
        _seconds(done.last_after_repair_s),
        _seconds(done.slowest_s),
        str(done.restarts),
        str(sum(done.said.errors.values())),
    )
    return "| " + " | ".join(cells) + " |"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def details(done: Outcome) -> Sequence[str]:
    """Return what happened, as lines."""
    figures = (
        f"{done.acknowledged} acknowledged, {done.refused} refused, {done.lost} lost, {done.duplicates} duplicates,"
        f" {done.repeated} older ones repeated, first {_seconds(done.first_s)} s after the fault,"
        f" first/last {_seconds(done.first_after_repair_s)}/{_seconds(done.last_after_repair_s)} s after the repair,"
        f" slowest {_seconds(done.slowest_s)} s, {done.restarts} ended."
    )
    lines = [figures]
    for role, sentences in sorted(done.said.sentences.items()):
        lines += [f"{role} {count}x {sentence}" for sentence, count in sentences.most_common(6)]
    return [*lines, *(f"NOT AS IT MUST BE: {problem}" for problem in done.problems)]


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the page."""
    return table(outcomes) + "\n"
