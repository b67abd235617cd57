"""How a snapshot looks: readable on 80 columns, most urgent first; plain lines where there is no terminal."""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from schemas import headers as h
from service.status.owners import owners
from service.status.snapshot import Snapshot

MAX_ROWS: Final = 8
"""Of a table that could grow without end, such as that of tenants."""
_PLAIN_WIDTH: Final = 10_000
"""No line of a pipe or a file is wrapped, so that a search finds every sentence."""


def console() -> Console:
    """Return where it is shown."""
    return Console(highlight=False)


def plain(found: Snapshot, max_lag_s: float) -> str:
    """Return the view as lines for a pipe, without spaces at their ends."""
    page = Console(highlight=False, width=_PLAIN_WIDTH, file=io.StringIO(), color_system=None)
    with page.capture() as captured:
        page.print(render(found, max_lag_s))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def render(found: Snapshot, max_lag_s: float) -> RenderableType:
    """Return the whole view."""
    data = found.to_json(max_lag_s)
    parts: list[RenderableType] = [_headline(data), *(_bullet(line) for line in data["attention"]), _work(data)]
    if data["failures"]:
        parts += [Text(), *_failures(data, found.at)]
    if data["fallbacks"]:
        parts += [Text(), _fallbacks(data)]
    parts.append(Text())
    if data["topics"] is not None:
        parts += [_topics(data), Text(), _retries(data, found.at), Text()]
    if data["tenants"] is not None:
        parts += [_shares(data), Text()]
    return Group(*parts, _roles(data))


def _headline(data: dict[str, Any]) -> Text:
    count = len(data["attention"])
    headline = (
        ("all is well", "bold green")
        if data["ok"]
        else (f"{count} thing{' needs' if count == 1 else 's need'} attention", "bold red")
    )
    return Text.assemble(("thumbnails status  ", "bold"), headline, f"  {data['at'][:19]}Z")


def _bullet(line: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_row(Text("!", style="bold red"), Text(line))
    return row


def _work(data: dict[str, Any]) -> Text:
    rate = data["throughput"]
    done = (
        "throughput unknown"
        if rate is None
        else f"{rate['per_s']:g} uploads/s over {rate['window_s']:.0f} s: {rate['ready']} ready, {rate['failed']} failed"
    )
    slots, breakers = data["slots"], data["breakers"]
    roles = (
        f"in flight {_or_dash(data['in_flight'])}, slots {_or_dash(slots['busy'])} busy {_or_dash(slots['idle'])} idle,"
        f" breakers {_or_dash(breakers['open'])} open {_or_dash(breakers['half_open'])} half open"
    )
    return Text(f"{done}\n{roles}")


def _topics(data: dict[str, Any]) -> Table:
    table = _table("topic", "records", "behind", "oldest", "group", right=(1, 2, 3))
    for topic in data["topics"]:
        for group in topic["groups"]:
            if ".retry." not in topic["name"]:
                late = f"{group['lag_seconds']:.0f} s" if group["lag_records"] else "-"
                _row(table, topic["name"], topic["records"], group["lag_records"], late, group["group"])
    return table


def _retries(data: dict[str, Any], at: datetime) -> RenderableType:
    tiers = _table("retry tier", "waiting", "next due", right=(1, 2))
    for row in data["retries"]:
        _row(tiers, row["tier"], row["waiting"], _when(row["next_due_at"], at))
    waiting = data["waiting_retries"]
    if not waiting:
        return tiers
    reasons = _table("waits after", "company", "records", "next", "such as", right=(1, 2, 3))
    for row in waiting[:MAX_ROWS]:
        company = "-" if row["company_id"] is None else row["company_id"]
        example = row["example"]["media"] or row["example"]["position"]
        _row(reasons, row["code"], company, row["count"] - row["cancelled"], _when(row["next_due_at"], at), example)
    if len(waiting) > MAX_ROWS:
        _row(reasons, f"+{len(waiting) - MAX_ROWS} more", "", "", "", "")
    both = Table.grid()
    both.add_row(tiers)
    both.add_row(Text())
    both.add_row(reasons)
    return both


def _when(due_at: str | None, at: datetime) -> str:
    due = h.parse_time(due_at)
    if due is None:
        return "-"
    left_s = (due - at).total_seconds()
    if left_s >= 0:
        return f"in {left_s:.0f} s" if left_s < 120 else f"in {left_s / 60:.0f} min"
    return f"{-left_s:.0f} s ago"


def _shares(data: dict[str, Any]) -> Table:
    tenants = _table("company", "ready", "failed", right=(0, 1, 2))
    for row in data["tenants"][:MAX_ROWS]:
        _row(tenants, row["company_id"], row["ready"], row["failed"])
    if len(data["tenants"]) > MAX_ROWS:
        _row(tenants, f"+{len(data['tenants']) - MAX_ROWS}", "", "")
    providers = _table("stored at", "ready", "fallbacks", right=(1, 2))
    for row in data["providers"][:MAX_ROWS]:
        _row(providers, row["provider"], row["ready"], row["fallbacks"])
    both = Table.grid(padding=(0, 4))
    both.add_row(tenants, providers)
    return both


def _failures(data: dict[str, Any], at: datetime) -> list[RenderableType]:
    """Return one row a code with the command for all of them, which wraps nowhere: it is copied from here."""
    table = _table("failing", "dead", "retrying", "next", "whose", right=(1, 2, 3))
    for row in data["failures"][:MAX_ROWS]:
        _row(
            table,
            row["code"],
            row["waiting"] or "-",
            row["retrying"] or "-",
            _when(row["next_due_at"], at),
            owners({company["company_id"]: company["count"] for company in row["companies"]}),
        )
    if len(data["failures"]) > MAX_ROWS:
        _row(table, f"+{len(data['failures']) - MAX_ROWS} more", "", "", "", "")
    commands = _table("for all of them", "")
    for row in data["failures"][:MAX_ROWS]:
        _row(commands, row["code"], row["command"])
    return [table, Text(), commands]


def _fallbacks(data: dict[str, Any]) -> Table:
    table = _table("stored locally", "storage", "ready", "why", right=(2,))
    for row in data["fallbacks"][:MAX_ROWS]:
        number = row["connection_id"]
        storage = "?" if number is None else f"{number} ({row['provider']})"
        why = f"{row['reason']}: {row['problem']}" if row["problem"] else row["reason"]
        _row(table, f"company {row['company_id']}", storage, row["ready"], why)
    if len(data["fallbacks"]) > MAX_ROWS:
        _row(table, f"+{len(data['fallbacks']) - MAX_ROWS} more", "", "", "")
    return table


def _roles(data: dict[str, Any]) -> RenderableType:
    if not data["roles"]:
        return Text("No role was asked: give their metrics endpoints, --metrics worker:8080,persist:8080.")
    table = _table("role", "state", "version", "endpoint")
    for role in data["roles"]:
        lost = f"lost {', '.join(role['down'])}" if role["down"] else None
        state = role["problem"] or lost or ("ready" if role["ok"] else "not ready")
        _row(table, role["role"] or "?", state, role["version"] or "?", role["url"])
    return table


def _table(*names: str, right: Sequence[int] = ()) -> Table:
    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for number in right:
        table.columns[number].justify = "right"
    for column in table.columns[:-1]:
        column.no_wrap = True  # names and numbers stay whole; the last column, which says what to do, wraps
    return table


def _row(table: Table, *cells: object) -> None:
    # As Text: names come from records and settings, and are never markup; without what a terminal would obey.
    table.add_row(*(Text(h.header_text(cell).decode()) for cell in cells))


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
