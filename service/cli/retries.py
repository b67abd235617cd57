"""`thumbnails retries …`: look at the records that wait for another attempt, and cancel them."""

import re
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli import dlq_view as view
from service.cli.dlq_options import AsJson, By, Note, Yes, name_of, note_of
from service.cli.loading import loading
from service.cli.stop_signals import stopping_on_signals
from service.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, fail

if TYPE_CHECKING:  # with them come Kafka's libraries, which a help text has no use for
    from service.waiting_retries import CancelReport, RetryBox
    from streams.dlq.retries import RetryFilter

retries_app = typer.Typer(
    no_args_is_help=True,
    help="Look at records that wait for another attempt, and cancel them: see docs/dead-letters.md.\n\n"
    "Exit codes: 0 done, 1 something failed or waits no more, 2 wrong use, 130 interrupted.",
)

Codes = Annotated[list[str] | None, typer.Option("--code", help="Error code, or its beginning: storage.*. Repeatable.")]
Companies = Annotated[list[int] | None, typer.Option("--company", help="Company id. Repeatable.")]
Keys = Annotated[list[str] | None, typer.Option("--key", "--media", help="video:42 or ar_content:9. Repeatable.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="No more records than this, the first due ones.")]


def _open() -> "RetryBox":
    with loading():
        from service.settings import Settings
        from service.waiting_retries import RetryBox

    return RetryBox(Settings())


@retries_app.command("list")
def list_retries(
    *,
    code: Codes = None,
    company: Companies = None,
    key: Keys = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Show what waits, the first due ones first. Example: thumbnails retries list --code source.missing --company 3."""
    with _open() as box:
        found = box.waiting(_filter(code, company, key))
    from service.cli import retries_view as shown

    rows = list(islice(found, limit))
    if as_json:
        for one in rows:
            view.write_json(shown.waiting_json(one))
        return
    shown.show_waiting(rows)
    view.say(
        f"{len(rows)} records of {len(found)} that wait." if len(rows) < len(found) else f"{len(rows)} records wait."
    )


@retries_app.command()
def cancel(
    *,
    positions: Annotated[
        list[str] | None, typer.Argument(help="TIER:PARTITION:OFFSET …, as `list` shows it; without any, by filters.")
    ] = None,
    code: Codes = None,
    company: Companies = None,
    key: Keys = None,
    limit: Limit = None,
    note: Note = "",
    by: By = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give up records that wait: each is not tried again when it is due. Named ones at once, without --yes; needs --note.

    Its upload then says failed with upload.cancelled, and its record is kept in thumbnail.dlq.parked.

    Example: thumbnails retries cancel --key video:42 --note "Acme uploads it again" --yes.
    """
    wanted, is_dry = _filter(code, company, key, positions), not (yes or positions)
    if not is_dry and not note:
        fail('Nothing was cancelled: say why with --note "…"; it is kept with your name and the time.', EXIT_USAGE)
    with loading():
        from service.cli import retries_view as shown
        from service.waiting_retries import Cancellation

    cancellation = Cancellation(name_of(by), note_of(note))
    with stopping_on_signals() as stop, _open() as box:
        report = box.plan(wanted, limit) if is_dry else box.cancel(wanted, limit, cancellation, stop)
    if as_json:
        view.write_json(shown.report_json(report, cancellation, dry_run=is_dry))
    else:
        shown.show_report(report, dry_run=is_dry)
    raise typer.Exit(_exit_code(report))


def _exit_code(report: "CancelReport") -> int:
    is_done = not report.not_waiting and not report.too_late
    return EXIT_INTERRUPTED if report.is_interrupted else 0 if is_done else EXIT_FAILED


def _filter(
    code: list[str] | None, company: list[int] | None, key: list[str] | None, positions: list[str] | None = None
) -> "RetryFilter":
    with loading():
        from streams.dlq.retries import RetryFilter

    return RetryFilter(tuple(code or ()), tuple(company or ()), tuple(key or ()), _positions(positions or ()))


def _positions(texts: Any) -> frozenset[str]:
    found = [re.fullmatch(r"(\d):(\d{1,9}):(\d{1,18})", text) for text in texts]
    if not all(found):
        raise typer.BadParameter("give TIER:PARTITION:OFFSET, as `thumbnails retries list` shows it, such as 1:0:17")
    return frozenset(":".join(str(int(number)) for number in match.groups()) for match in found if match)
