"""`thumbnails follow`: one upload's way, live."""

import json
import os
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from service.cli.loading import loading
from service.exits import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from service.follow.steps import Step
    from service.settings import Settings
    from streams.kafka.records import InboundRecord

ROW_S: Final = 10.0
"""The persist role writes a result within a second or two."""
_DAY: Final = timedelta(days=1)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _age(text: str | timedelta) -> timedelta:
    if isinstance(text, timedelta):  # the default
        return text
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time: write 90s, 15m, 24h or 7d.")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def follow(
    upload: Annotated[
        str,
        typer.Argument(
            metavar="KEY|EVENT_ID", help="video:42 or ar_content:9 for its newest upload, or an event's id."
        ),
    ],
    since: Annotated[
        timedelta,
        typer.Option(parser=_age, metavar="TIME", show_default="24h", help="How far to look back: 15m, 24h, 7d."),
    ] = _DAY,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for the outcome; without it, until it comes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a step.")] = False,
) -> None:
    """Follow one upload; exit code 0 when it is ready, 1 when not. Example: thumbnails follow video:42 --timeout 60."""
    with loading():
        from service.follow.follower import Follower
        from service.follow.steps import Sought, State
        from service.settings import Settings

    settings, last, started = Settings(), None, time.monotonic()
    with Follower(settings, Sought(upload)) as follower:
        sys.stderr.write(f"Following {upload}{_until(timeout)}; Ctrl-C ends it.\n")
        for step in follower.steps(datetime.now(UTC) - since, timeout):
            last = step
            _print(step, as_json=as_json)
        record = follower.upload
    if last is None or not last.state.is_final:
        waited = f"{time.monotonic() - started:.0f} s"
        what = f"{upload} was not seen" if last is None else f"{upload} has no outcome"
        sys.stderr.write(f"{what} after {waited}: `thumbnails status` shows what waits, --since looks further back.\n")
        raise typer.Exit(EXIT_FAILED)
    if last.state is State.READY and record is not None and os.environ.get("DATABASE_URL"):
        _print(_row(settings, record), as_json=as_json)
    raise typer.Exit(EXIT_OK if last.state is State.READY else EXIT_FAILED)


def _until(timeout: float | None) -> str:
    return "" if timeout is None else f" for {timeout:g} s"


def _print(step: "Step", *, as_json: bool) -> None:
    text = f"{step.at:%H:%M:%S}Z  {step.state:<11}  {step.said}"
    line = json.dumps(step.to_json(), ensure_ascii=False) if as_json else text
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _row(settings: "Settings", record: "InboundRecord") -> "Step":
    """Return whether the row shows the thumbnail; the upload is ready in any case."""
    from schemas.cloudevents import read_event
    from schemas.errors import ThumbnailError
    from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
    from service.follow.steps import State, Step
    from service.publish.publisher import outcome_of
    from service.roles import build as bootstrap
    from service.tenants.values import RowError

    try:
        upload = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, record.value, record.headers)
        with bootstrap.open_engine(settings) as engine:
            found = outcome_of(engine, upload, time.monotonic() + ROW_S)
    except (RowError, ThumbnailError) as exc:
        return Step(datetime.now(UTC), State.NOT_VISIBLE, f"the row cannot be read: {exc}")
    now = datetime.now(UTC)
    if found is None:
        return Step(
            now, State.NOT_VISIBLE, f"the row does not show it after {ROW_S:g} s: is `thumbnails persist` running?"
        )
    return Step(now, State.VISIBLE, f"the row {upload.media.record_key} shows it")
