"""Show what waits in the retry topics: a table that fits 80 columns, plain lines elsewhere, JSON for programs."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from schemas import headers as h
from service.cli.dlq_view import say, stdout
from service.cli.text_table import aligned
from service.waiting_retries import Cancellation, CancelReport
from streams.dlq.retries import WaitingRetry, by_code_and_company

MAX_NAMED: Final = 20
_WIDE: Final = 110
"""Columns of a terminal from which the message has room in the table."""


def waiting_json(one: WaitingRetry) -> dict[str, Any]:
    """Return the facts of one waiting record."""
    return {
        "position": one.position,
        "topic": one.topic,
        "partition": one.partition,
        "offset": one.offset,
        "tier": one.tier,
        "code": one.code,
        "company_id": one.company_id,
        "key": one.key,
        "message": one.message,
        "due_at": _time(one.due_at),
        "first_failed_at": _time(one.first_failed_at),
        "origin": one.origin,
        "state": "waiting" if one.cancelled is None else "cancelled",
        "state_since": None if one.cancelled is None else _time(one.cancelled.at),
        "decided_by": None if one.cancelled is None else one.cancelled.by or None,
        "note": None if one.cancelled is None else one.cancelled.note or None,
    }


def show_waiting(rows: Sequence[WaitingRetry]) -> None:
    """Print one record a line."""
    if not rows:
        return
    heading, now = ("position", "due", "code", "company", "key", "message"), datetime.now(UTC)
    cells = [
        (
            one.position,
            due_text(one.due_at, now) if one.cancelled is None else "cancelled",
            one.code,
            "-" if one.company_id is None else str(one.company_id),
            one.key or "-",
            one.message or "-",
        )
        for one in rows
    ]
    if not stdout.is_terminal:
        sys.stdout.write(aligned(heading, cells))
        return
    shown = len(heading) if stdout.width >= _WIDE else len(heading) - 1
    table = Table(*heading[:shown], box=None, pad_edge=False, header_style="dim")
    for column in table.columns:
        column.no_wrap = True
    for row in cells:
        table.add_row(*map(Text, row[:shown]))
    stdout.print(table)


def due_text(due_at: datetime | None, now: datetime) -> str:
    """Return when a record is due, in words: «in 9 s», «in 3 min», «now»."""
    if due_at is None:
        return "now"
    left_s = (due_at - now).total_seconds()
    if left_s <= 0:
        return "now"
    return f"in {left_s:.0f} s" if left_s < 120 else f"in {left_s / 60:.0f} min"


def report_json(report: CancelReport, cancellation: Cancellation, *, dry_run: bool) -> dict[str, Any]:
    """Return what a cancellation did."""
    return {
        "dry_run": dry_run,
        "by": cancellation.by,
        "note": cancellation.note,
        "cancelled": [
            waiting_json(one) | {"state": "cancelled" if not dry_run else "waiting"} for one in report.cancelled
        ],
        "cancelled_before": report.cancelled_before,
        "cleanups": [one.position for one in report.cleanups],
        "not_waiting": report.not_waiting,
        "too_late": [one.position for one in report.too_late],
        "perhaps_too_late": [one.position for one in report.perhaps_too_late],
        "interrupted": report.is_interrupted,
    }


def show_report(report: CancelReport, *, dry_run: bool) -> None:
    """Print what a cancellation did, or would do."""
    now = datetime.now(UTC)
    for group in by_code_and_company(report.cancelled) if dry_run else ():
        whose = "no company that can be read" if group.company_id is None else f"company {group.company_id}"
        say(f"{group.code}: {group.count} of {whose}, the next {due_text(group.next.due_at, now)}")
        say(f"  {group.next.position}  {group.next.key or '-'}: {group.next.message}")
    count = len(report.cancelled)
    if dry_run:
        say(f"{_records(count)} would be cancelled.")
    elif count:
        say(
            f"{_records(count)} cancelled: not tried again when due, but kept in thumbnail.dlq.parked, and announced as failed."
        )
    _show_left_out(report)
    if not (count or report.cancelled_before or report.cleanups or report.not_waiting or report.too_late):
        say("Nothing was cancelled: no record waits that these options mean.")
    elif dry_run and count:
        say('This was a dry run: add --yes --note "…" to cancel them.')
    if report.is_interrupted:
        say("Interrupted: run it again to go on.")


def _show_left_out(report: CancelReport) -> None:
    if report.cancelled_before:
        say(f"{report.cancelled_before} were cancelled before, and stay so.")
    if report.cleanups:
        say(
            f"Left out: {_named([one.position for one in report.cleanups])}. A cleanup or a deletion cannot be cancelled."
        )
    if report.not_waiting:
        say(f"Not waiting any more: {_named(report.not_waiting)}. `thumbnails retries list` shows what waits.")
    if report.too_late:
        say(f"Too late: {_named([one.position for one in report.too_late])} went back to work meanwhile. {_FOLLOW}")
    if report.perhaps_too_late:
        say(
            f"Perhaps too late: {_named([one.position for one in report.perhaps_too_late])}, due at this moment. {_FOLLOW}"
        )


_FOLLOW: Final = "`thumbnails follow KEY` shows what became of each."


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"


def _named(positions: Sequence[str]) -> str:
    return ", ".join(positions[:MAX_NAMED]) + (", …" if len(positions) > MAX_NAMED else "")


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else h.format_time(moment)
