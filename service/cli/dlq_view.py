"""Show dead letters: tables and sentences on a terminal, plain lines elsewhere, JSON for programs."""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from schemas import headers as h
from schemas.errors import NEXT_ACTIONS, ErrorCode
from service.cli.text_table import aligned

if TYPE_CHECKING:  # with them come Kafka's libraries, which a help text has no use for
    from streams.dlq.ledger import Mark
    from streams.dlq.read import DeadLetter, ErrorGroup

_NARROW: Final = 120
"""Columns of a terminal below which a table would cut off what matters: each record then has lines of its own."""
_HEX_ROW: Final = 16

stdout = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Print one line; text from dead letters is never markup."""
    stdout.print(Text(text), soft_wrap=True)


def write_json(data: object) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")


@contextmanager
def progress(what: str, total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Provide a bar on stderr where that is a terminal; the function adds to it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not (shown and stderr.is_terminal)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def state_of(mark: "Mark | None") -> str:
    """Return what became of a dead letter, in a word or two."""
    if mark is None:
        return "waiting"
    return f"{mark.state} {_short(mark.at)}"


def dead_letter_json(dead_letter: "DeadLetter", mark: "Mark | None") -> dict[str, Any]:
    """Return the facts of a dead letter, without its bytes."""
    return {
        "topic": dead_letter.record.topic,
        "partition": dead_letter.record.partition,
        "offset": dead_letter.record.offset,
        "code": dead_letter.code,
        "stage": dead_letter.stage,
        "company_id": dead_letter.company_id,
        "media": dead_letter.media,
        "message": dead_letter.header(h.ERROR_MESSAGE),
        "attempts": h.get_count(dead_letter.record.headers, h.ATTEMPTS),
        "replays": dead_letter.replays,
        "first_failed_at": dead_letter.header(h.FIRST_FAILED_AT),
        "failed_at": h.format_time(dead_letter.failed_at),
        "origin": dead_letter.header(h.ORIGINAL_TOPIC),
        "next_action": next_action(dead_letter),
        "state": "waiting" if mark is None else mark.state,
        "state_since": None if mark is None else h.format_time(mark.at),
        "decided_by": mark.by or None if mark is not None else None,
        "note": mark.note or None if mark is not None else None,
    }


def next_action(dead_letter: "DeadLetter") -> str:
    """Return what a person should do now: as this version knows it, else as the dead letter says."""
    try:
        return NEXT_ACTIONS[ErrorCode(dead_letter.code)]
    except ValueError:
        return dead_letter.header(h.NEXT_ACTION) or "Nothing is known about it: find out who wrote it to this topic."


def show_dead_letters(rows: "Sequence[tuple[DeadLetter, Mark | None]]") -> None:
    """Print dead letters: a table, or lines of their own on a narrow terminal, or one line each elsewhere."""
    heading = ("position", "failed at", "code", "stage", "company", "media", "replays", "state", "message")
    cells = [
        (
            dead_letter.position,
            _short(dead_letter.failed_at),
            dead_letter.code,
            dead_letter.stage,
            str(dead_letter.company_id or "-"),
            dead_letter.media or "-",
            str(dead_letter.replays),
            state_of(mark),
            dead_letter.header(h.ERROR_MESSAGE) or "-",
        )
        for dead_letter, mark in rows
    ]
    _show(
        heading, cells, lambda row: (f"{row[0]}  {row[2]}  {row[5]} of company {row[4]}, {row[7]}, {row[1]}", row[-1])
    )


def totals(groups: "Sequence[ErrorGroup]", topic: str) -> str:
    """Return how many dead letters there are, and what became of them."""
    count, waiting = sum(group.count for group in groups), sum(group.waiting for group in groups)
    acknowledged, discarded = sum(group.acknowledged for group in groups), sum(group.discarded for group in groups)
    seen = f" {acknowledged} are acknowledged, {discarded} discarded." if acknowledged or discarded else ""
    return f"{count} dead letters in {topic}, {waiting} of them waiting.{seen}"


def show_stats(groups: "Sequence[ErrorGroup]") -> None:
    """Print one row for each error code."""
    heading = ("code", "letters", "waiting", "first", "last", "example", "what to do now")
    cells = [
        (
            group.code,
            str(group.count),
            str(group.waiting),
            _short(group.first_at),
            _short(group.last_at),
            group.example,
            group.next_action,
        )
        for group in groups
    ]
    _show(
        heading, cells, lambda row: (f"{row[0]}: {row[1]}, {row[2]} waiting, last {row[4]}, such as {row[5]}", row[-1])
    )


def _show(
    heading: Sequence[str], rows: Sequence[Sequence[str]], in_two: Callable[[Sequence[str]], tuple[str, str]]
) -> None:
    """Print a table; `in_two` makes a headline and an indented text of a row, for narrow terminals."""
    if not rows:
        return
    if not stdout.is_terminal:
        sys.stdout.write(aligned(heading, rows))
    elif stdout.width < _NARROW:
        for row in rows:
            headline, text = in_two(row)
            stdout.print(Text(headline, style="bold"))
            stdout.print(Padding(Text(text), (0, 0, 0, 2 if stdout.width > 20 else 0)))
    else:
        table = Table(*heading)
        for column in table.columns[:-1]:
            column.no_wrap = True
        for row in rows:
            table.add_row(*map(Text, row))
        stdout.print(table)


def group_json(group: "ErrorGroup") -> dict[str, Any]:
    """Return the JSON of one error code."""
    return {
        "code": group.code,
        "count": group.count,
        "waiting": group.waiting,
        "acknowledged": group.acknowledged,
        "discarded": group.discarded,
        "first": h.format_time(group.first_at),
        "last": h.format_time(group.last_at),
        "example": group.example,
        "example_message": group.example_message,
        "next_action": group.next_action,
    }


def show_dead_letter(dead_letter: "DeadLetter", mark: "Mark | None") -> None:
    """Print everything about one dead letter."""
    record = dead_letter.record
    say(f"{record.topic} {dead_letter.position}, written {h.format_time(record.timestamp)}, {state_of(mark)}")
    for decision in () if mark is None else mark.decisions():
        say(f"{decision.state} {_short(decision.at)} by {decision.by}: {decision.note or 'no note.'}")
    say(f"\n{dead_letter.code}: {dead_letter.header(h.ERROR_MESSAGE) or 'it does not say why it is here.'}")
    say(f"What to do now: {next_action(dead_letter)}")
    say(
        f"\nCompany {dead_letter.company_id or '-'}, media {dead_letter.media or '-'}, replayed {dead_letter.replays} times before"
    )
    say("\nHeaders")
    for name, value in record.headers:
        say(f"  {h.header_text(name).decode()}: {'null' if value is None else as_text(value) or value.hex(' ')}")
    for title, data in (("Key", record.key), ("Value", record.value)):
        say(f"\n{title}, {'null' if data is None else f'{len(data)} bytes'}")
        if data:
            say(as_text(data) or hex_dump(data))


def shown_json(dead_letter: "DeadLetter", mark: "Mark | None") -> dict[str, Any]:
    """Return everything about one dead letter, its bytes in base64 and, where they are text, as text too."""
    record = dead_letter.record
    return dead_letter_json(dead_letter, mark) | {
        "decisions": [
            {"state": one.state, "at": h.format_time(one.at), "by": one.by, "note": one.note}
            for one in (() if mark is None else mark.decisions())
        ],
        "timestamp_ms": record.timestamp_ms,
        "key": _encoded(record.key),
        "value": _encoded(record.value),
        "value_text": None if record.value is None else as_text(record.value),
        "headers": [
            [name, _encoded(value), None if value is None else as_text(value)] for name, value in record.headers
        ],
    }


def as_text(data: bytes) -> str | None:
    """`data` as text, or None when it holds what is no text, or what a terminal would obey."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\n\t" for char in text) else None


def hex_dump(data: bytes) -> str:
    """Offset, bytes in hex, and the printable ones, sixteen a line."""
    rows = []
    for start in range(0, len(data), _HEX_ROW):
        row = data[start : start + _HEX_ROW]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start:08x}  {row.hex(' '):<47}  {plain}")
    return "\n".join(rows)


def _short(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
