"""Options that the commands of `thumbnails dlq` share, and how their texts are read."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from service.dead_letters import Source
from streams.dead_letter_filter import DeadLetterFilter


def moment_of(text: str) -> datetime:
    """A time as people write it: 2026-11-23T18:09:00Z, 2026-11-23, or an age: 90m, 24h, 7d."""
    age = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if age is not None:
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[age[2]]
        return datetime.now(UTC) - timedelta(**{unit: int(age[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("give a time such as 2026-11-23T18:09:00Z, or an age such as 90m, 24h, 7d") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def position_of(text: str) -> tuple[int, int]:
    """Partition and offset in PARTITION:OFFSET."""
    found = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text)
    if found is None:
        raise typer.BadParameter("give PARTITION:OFFSET, as `thumbnails dlq list` shows it, such as 0:17")
    return int(found[1]), int(found[2])


Topic = Annotated[Source, typer.Option("--topic", help="uploads: thumbnail.dlq; ready: thumbnail.ready.dlq; parked.")]
Codes = Annotated[list[str] | None, typer.Option("--code", help="Error code, or its beginning: storage.*. Repeatable.")]
Stages = Annotated[list[str] | None, typer.Option("--stage", help="How far it had come: read, decode, … Repeatable.")]
Companies = Annotated[list[int] | None, typer.Option("--company", help="Company id. Repeatable.")]
Media = Annotated[list[str] | None, typer.Option("--media", help="video:42 or ar_content:9. Repeatable.")]
Since = Annotated[
    datetime | None, typer.Option("--since", parser=moment_of, help="Failed at or after: a time, or 24h.")
]
Until = Annotated[datetime | None, typer.Option("--until", parser=moment_of, help="Failed before: a time, or 1h.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="No more letters than this.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def filter_of(
    code: list[str] | None,
    stage: list[str] | None,
    company: list[int] | None,
    media: list[str] | None,
    since: datetime | None,
    until: datetime | None,
    positions: list[str] | None = None,
) -> DeadLetterFilter:
    """The letters that all the options together mean."""
    places = (position_of(text) for text in positions or ())
    return DeadLetterFilter(
        codes=tuple(code or ()),
        stages=tuple(stage or ()),
        companies=tuple(company or ()),
        media=tuple(media or ()),
        since=since,
        until=until,
        positions=frozenset(f"{partition}:{offset}" for partition, offset in places),
    )
