"""`thumbnails dlq …`: look at dead letters, replay, acknowledge or discard them, export them to a file, purge them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from service.cli import dlq_view as view
from service.cli.dlq_options import (
    AnyTopic,
    AsJson,
    By,
    Limit,
    Note,
    Positions,
    Topic,
    Waiting,
    Yes,
    choosing_dead_letters,
    decision_of,
    position_of,
    positions_of,
)
from service.cli.loading import loading
from service.cli.stop_signals import stopping_on_signals
from service.dlq_source import DlqSource
from service.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, fail
from streams.failures.marks import MarkState

if TYPE_CHECKING:  # with them come the libraries of Kafka and the database, which a help text has no use for
    from service.dead_letters import DeadLetterBox
    from service.prospects import Prospects
    from service.settings import Settings
    from streams.dlq.decide import Decision
    from streams.dlq.export import Purgeable
    from streams.dlq.read import DeadLetterFilter
    from streams.kafka.reader import Extent

DEFAULT_RATE_PER_S: Final = 100.0
"""Far above what one worker decodes, so that nobody waits for the replay; far below what would flood a broker."""

dlq_app = typer.Typer(
    no_args_is_help=True,
    help="Look at records that were given up, and replay them: see docs/dead-letters.md.\n\n"
    "Exit codes: 0 done, 1 something failed, 2 wrong use, 130 interrupted.",
)


def _open(topic: DlqSource) -> "DeadLetterBox":
    with loading():
        from service.dead_letters import DeadLetterBox
        from service.settings import Settings

    return DeadLetterBox(Settings(), topic)


@dlq_app.command("list")
@choosing_dead_letters
def list_dead_letters(
    *,
    topic: Topic = DlqSource.UPLOADS,
    wanted: "DeadLetterFilter",
    waiting: Waiting = False,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Show dead letters, one a line. Example: thumbnails dlq list --code storage.* --since 24h --waiting."""
    with _open(topic) as box:
        ledger, extents = box.ledger(), box.extents()
        with _reading(extents, shown=not as_json) as read_one:
            every = box.dead_letters(wanted, extents, read_one)
            found = islice((one for one in every if not waiting or ledger.needs_attention(one.record)), limit)
            if as_json:
                for dead_letter in found:
                    view.write_json(view.dead_letter_json(dead_letter, ledger.of(dead_letter.record)))
                return
            rows = [(dead_letter, ledger.of(dead_letter.record)) for dead_letter in found]
    view.show_dead_letters(rows)
    view.say(f"{len(rows)} dead letters of {_total(extents)} in {box.topic}.")


@dlq_app.command()
def show(
    position: Annotated[str, typer.Argument(help="PARTITION:OFFSET, as `list` shows it.")],
    topic: Topic = DlqSource.UPLOADS,
    as_json: AsJson = False,
) -> None:
    """Show everything about one dead letter. Example: thumbnails dlq show 0:17."""
    partition, offset = position_of(position)
    with _open(topic) as box:
        dead_letter = box.one(partition, offset)
        if dead_letter is None:
            fail(f"{box.topic} has no dead letter at {position}: `thumbnails dlq list` shows those that it has.")
        mark = box.ledger().of(dead_letter.record)
    if as_json:
        view.write_json(view.shown_json(dead_letter, mark))
    else:
        view.show_dead_letter(dead_letter, mark)


@dlq_app.command()
@choosing_dead_letters
def stats(
    *,
    topic: AnyTopic = None,
    wanted: "DeadLetterFilter",
    as_json: AsJson = False,
) -> None:
    """Count dead letters by error code, with what to do. Example: thumbnails dlq stats --since 7d."""
    with loading():
        from streams.dlq.read import group_by_code

    for source in DlqSource if topic is None else (topic,):
        with _open(source) as box:
            ledger, extents = box.ledger(), box.extents()
            with _reading(extents, shown=not as_json) as read_one:
                groups = group_by_code(box.dead_letters(wanted, extents, read_one), ledger)
        if as_json:
            for group in groups:
                view.write_json({"topic": box.topic} | view.group_json(group))
            continue
        view.show_stats(groups)
        view.say(view.totals(groups, box.topic))


@dlq_app.command()
@choosing_dead_letters
def replay(
    *,
    positions: Positions = None,
    topic: Topic = DlqSource.UPLOADS,
    wanted: "DeadLetterFilter",
    limit: Limit = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Dead letters a second at most.")] = DEFAULT_RATE_PER_S,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to work, each once. Example: thumbnails dlq replay --code storage.denied --yes."""
    with loading():
        from service.cli import dlq_reports as reports
        from service.dead_letters import DeadLetterBox
        from service.observability.traces import start_traces
        from service.settings import Settings
        from streams.dlq.replay import ReplayPace

    chosen = replace(wanted, positions=positions_of(positions or ()))
    settings = Settings()
    with (
        stopping_on_signals() as stop,
        start_traces(settings.traces, "replay") as tracing,
        DeadLetterBox(settings, topic) as box,
        _prospects(settings, is_wanted=not yes and topic is not DlqSource.READY) as prospects,
    ):
        extents = chosen.within(box.extents())
        with view.progress("Replaying" if yes else "Planning", _total(extents), shown=not as_json) as advance:
            dead_letters = box.dead_letters(chosen, extents, lambda: advance(1))
            pace, named = ReplayPace(rate, limit), chosen.positions
            report = box.replay(
                dead_letters, pace, dry_run=not yes, stop=stop, tracing=tracing, named=named, prospects=prospects
            )
    unasked = None if prospects is None else prospects.problem
    if as_json:
        view.write_json(reports.report_json(report, dry_run=not yes) | {"database_problem": unasked})
    else:
        reports.show_report(report, topic, dry_run=not yes)
        if unasked is not None and report.total:
            view.say(f"The database was not asked which companies and media are gone: {unasked}")
    raise typer.Exit(EXIT_INTERRUPTED if report.is_interrupted else EXIT_FAILED if yes and report.refused else 0)


@contextmanager
def _prospects(settings: "Settings", *, is_wanted: bool) -> "Iterator[Prospects | None]":
    if not is_wanted:
        yield None
        return
    with loading():
        from service.prospects import Prospects

    found = Prospects(settings)
    try:
        yield found
    finally:
        found.close()


@dlq_app.command()
@choosing_dead_letters
def ack(
    *,
    positions: Positions = None,
    topic: Topic = DlqSource.UPLOADS,
    wanted: "DeadLetterFilter",
    limit: Limit = None,
    note: Note = "",
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Acknowledge dead letters: seen, no attention needed, still replayed by filters. Named ones at once, without --yes.

    Example: thumbnails dlq ack 0:17 --note "asked Acme for a new file".
    """
    decision = decision_of(MarkState.ACKNOWLEDGED, positions, limit, note, by)
    _decide(decision, topic, wanted, yes=yes, as_json=as_json)


@dlq_app.command()
@choosing_dead_letters
def discard(
    *,
    positions: Positions = None,
    topic: Topic = DlqSource.UPLOADS,
    wanted: "DeadLetterFilter",
    limit: Limit = None,
    note: Note = "",
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give dead letters up: no attention needed, replayed only when named. Named ones at once, without --yes; needs --note.

    Example: thumbnails dlq discard --code media.corrupt --until 7d --note "no new file came".
    """
    decision = decision_of(MarkState.DISCARDED, positions, limit, note, by)
    if (yes or decision.positions) and not decision.note:
        fail('Nothing was discarded: say why with --note "…"; it is kept with your name and the time.', EXIT_USAGE)
    _decide(decision, topic, wanted, yes=yes, as_json=as_json)


def _decide(decision: "Decision", topic: DlqSource, wanted: "DeadLetterFilter", *, yes: bool, as_json: bool) -> None:
    from service.cli import dlq_reports as reports

    dry_run = not (yes or decision.positions)
    chosen = replace(wanted, positions=decision.positions)
    with stopping_on_signals() as stop, _open(topic) as box:
        extents = chosen.within(box.extents())
        with _reading(extents, shown=not as_json) as read_one:
            report = box.decide(box.dead_letters(chosen, extents, read_one), decision, dry_run=dry_run, stop=stop)
    if as_json:
        view.write_json(reports.decision_json(report, decision, dry_run=dry_run))
    else:
        reports.show_decision(report, decision, dry_run=dry_run)
    is_done = not report.not_found and (dry_run or not report.half_sent)
    raise typer.Exit(EXIT_INTERRUPTED if report.is_interrupted else 0 if is_done else EXIT_FAILED)


@dlq_app.command()
@choosing_dead_letters
def export(
    *,
    file: Annotated[Path, typer.Argument(help="JSON lines; replaced only when the new file is complete.")],
    topic: Topic = DlqSource.UPLOADS,
    wanted: "DeadLetterFilter",
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Write dead letters to a file, every byte of them. Example: thumbnails dlq export letters.jsonl."""
    with _open(topic) as box:
        extents = box.extents()
        with _reading(extents, shown=not as_json) as read_one:
            count = box.export(file, islice(box.dead_letters(wanted, extents, read_one), limit))
    if as_json:
        view.write_json({"file": str(file), "topic": box.topic, "letters": count})
    else:
        view.say(f"{count} dead letters of {box.topic} are in {file}.")


@dlq_app.command()
def purge(
    exported: Annotated[Path, typer.Option(help="File of `thumbnails dlq export` that holds what is to be deleted.")],
    topic: Topic = DlqSource.UPLOADS,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the topic's name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters that were exported. Example: thumbnails dlq purge --exported letters.jsonl."""
    if not exported.is_file():
        fail(f"{exported} is not a file: give that of `thumbnails dlq export`.")
    with _open(topic) as box:
        with _reading(box.extents(), shown=not as_json) as read_one:
            found = box.purgeable(exported, read_one)
        doomed = {number: state.until for number, state in found.items() if state.dead_letters}
        if not as_json:
            _tell_purge(box.topic, found, exported)
        if not doomed:
            fail(f"{exported} does not hold the first dead letters of {box.topic}: nothing can be deleted.")
        if not yes:
            _confirm(box.topic)
        box.purge(doomed)
    deleted, kept = sum(state.dead_letters for state in found.values()), sum(state.kept for state in found.values())
    if as_json:
        view.write_json({"topic": box.topic, "deleted": deleted, "kept": kept, "until": doomed})
    else:
        view.say(f"{deleted} dead letters of {box.topic} are deleted, {kept} are left.")


def _tell_purge(topic: str, found: "dict[int, Purgeable]", exported: Path) -> None:
    for number, state in found.items():
        view.say(
            f"{topic} partition {number}: {state.dead_letters} dead letters before offset {state.until} can be deleted."
        )
        if state.kept:
            view.say(f"  {state.kept} are kept: the next one is not in {exported}.")


def _confirm(topic: str) -> None:
    if not sys.stdin.isatty():
        fail("Nothing was deleted: add --yes, or run it on a terminal to confirm.", EXIT_USAGE)
    if typer.prompt("Type the topic's name to delete them") != topic:
        fail("That is another name: nothing was deleted.")


@contextmanager
def _reading(extents: "dict[int, Extent]", *, shown: bool) -> Iterator[Callable[[], None]]:
    with view.progress("Reading", _total(extents), shown=shown) as advance:
        yield lambda: advance(1)


def _total(extents: "dict[int, Extent]") -> int:
    return sum(extent.count for extent in extents.values())
