"""Options that the commands of `thumbnails dlq` share, and how their texts are read."""

import functools
import getpass
import inspect
import os
import re
import socket
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from schemas import headers as h
from service.cli.moments import moment_of
from service.dlq_source import DlqSource
from streams.failures.marks import MarkState

if TYPE_CHECKING:  # with them come Kafka's libraries, which a help text has no use for
    from streams.dlq.decide import Decision
    from streams.dlq.read import DeadLetterFilter


def position_of(text: str) -> tuple[int, int]:
    """Partition and offset in PARTITION:OFFSET."""
    found = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text)
    if found is None:
        raise typer.BadParameter("give PARTITION:OFFSET, as `thumbnails dlq list` shows it, such as 0:17")
    return int(found[1]), int(found[2])


def positions_of(texts: Iterable[str]) -> frozenset[str]:
    """Return each PARTITION:OFFSET in its plain form."""
    return frozenset(f"{partition}:{offset}" for partition, offset in map(position_of, texts))


MAX_NOTE: Final = 500
MAX_NAME: Final = 100


def decision_of(
    state: MarkState, positions: list[str] | None, limit: int | None, note: str, by: str | None
) -> "Decision":
    """Return what the options say: the note and the name as one printable line each."""
    from streams.dlq.decide import Decision

    return Decision(state, name_of(by), note_of(note), positions_of(positions or ()), limit)


def note_of(note: str) -> str:
    """Return the note as one printable line."""
    if len(note) > MAX_NOTE:
        raise typer.BadParameter(f"a note has at most {MAX_NOTE} characters: link to what is longer")
    return h.header_text(note).decode().strip()


def name_of(by: str | None) -> str:
    """Return the name of who decides, as one printable line; the login and the host where none is given."""
    return h.header_text(by or _login()).decode().strip()[:MAX_NAME] or "unknown"


def _login() -> str:
    try:
        login = getpass.getuser()
    except (KeyError, OSError):  # a container's user id need not have a name
        login = f"uid-{os.getuid()}"
    return f"{login}@{socket.gethostname()}"


Topic = Annotated[
    DlqSource, typer.Option("--topic", help="uploads: thumbnail.dlq; ready: thumbnail.ready.dlq; parked.")
]
AnyTopic = Annotated[
    DlqSource | None,
    typer.Option("--topic", help="uploads, ready or parked; without it, each of them.", show_default=False),
]
Codes = Annotated[list[str] | None, typer.Option("--code", help="Error code, or its beginning: storage.*. Repeatable.")]
Stages = Annotated[list[str] | None, typer.Option("--stage", help="How far it had come: read, decode, … Repeatable.")]
Companies = Annotated[list[int] | None, typer.Option("--company", help="Company id. Repeatable.")]
Media = Annotated[list[str] | None, typer.Option("--media", help="video:42 or ar_content:9. Repeatable.")]
Sources = Annotated[
    list[str] | None, typer.Option("--source", help="Producer, by the record's header ce_source. Repeatable.")
]
Since = Annotated[
    datetime | None, typer.Option("--since", parser=moment_of, help="Failed at or after: a time, or 24h.")
]
Until = Annotated[datetime | None, typer.Option("--until", parser=moment_of, help="Failed before: a time, or 1h.")]
Waiting = Annotated[bool, typer.Option("--waiting", help="Only those not replayed, parked, acknowledged or discarded.")]
Positions = Annotated[list[str] | None, typer.Argument(help="PARTITION:OFFSET …; without any, all.")]
Note = Annotated[str, typer.Option("--note", help="Why, in a few words: kept with your name and the time.")]
By = Annotated[
    str | None, typer.Option("--by", help="Who decides it; your login and host without it.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, it is a dry run.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="No more dead letters than this.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def filter_of(
    code: Codes = None,
    stage: Stages = None,
    company: Companies = None,
    media: Media = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
) -> "DeadLetterFilter":
    """Return the dead letters that all the options together mean."""
    from streams.dlq.read import DeadLetterFilter

    return DeadLetterFilter(
        codes=tuple(code or ()),
        stages=tuple(stage or ()),
        companies=tuple(company or ()),
        media=tuple(media or ()),
        sources=tuple(source or ()),
        since=since,
        until=until,
    )


def choosing_dead_letters(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options of filter_of in place of its parameter `wanted`, which is what they mean together."""
    options = inspect.signature(filter_of).parameters
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for own in inspect.signature(command).parameters.values()
        for parameter in (options.values() if own.name == "wanted" else (own,))
    ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        wanted = filter_of(**{name: given.pop(name) for name in options})
        command(wanted=wanted, **given)

    # Typer reads both, and neither would know of the options.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # functions take any attribute
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
