"""`thumbnails publish`: uploads files as a company would, or publishes one event."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from service.cli.loading import loading
from service.exits import EXIT_FAILED, EXIT_USAGE, fail

if TYPE_CHECKING:
    import sqlalchemy as sa

    from schemas.events import MediaUploaded

_FOLLOW: Final = "`thumbnails follow {}` shows what becomes of it{}.\n"


def publish(
    files: Annotated[list[Path] | None, typer.Argument(help="Files to store as uploads of the company.")] = None,
    company: Annotated[str, typer.Option(metavar="ID|SLUG", help="The company that uploads.")] = "1",
    event: Annotated[str | None, typer.Option(help="A whole media.uploaded event as JSON, or @FILE.")] = None,
    wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for the outcomes; shows each thumbnail's URL.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object an upload.")] = False,
) -> None:
    """Upload files as a company would, or publish one event. Example: thumbnails publish clip.mp4 --wait 60."""
    if bool(files) == bool(event):
        fail("Give either files or --event JSON.", EXIT_USAGE)
    with loading():
        from service.observability.traces import start_traces
        from service.publish.files import shown
        from service.publish.publisher import Publisher
        from service.roles import build as bootstrap
        from service.settings import Settings

    settings = Settings()
    with bootstrap.open_engine(settings) as engine:
        uploads = []
        with start_traces(settings.traces, "publish") as tracing:
            publisher = Publisher(settings, engine, tracing)
            if event:
                uploads.append(publisher.publish_event(_read(event)))
                _print(_facts(uploads[0]), as_json=as_json)
            for path, upload in publisher.publish_files(company, files) if files else ():
                uploads.append(upload)
                _print(_facts(upload) | {"key": upload.media.key, "file": shown(path)}, as_json=as_json)
        if wait is None:
            others = "" if len(uploads) == 1 else "; the others in the same way, or all in `thumbnails status`"
            sys.stderr.write(_FOLLOW.format(uploads[0].event_id, others))
        elif not _print_outcomes(engine, uploads, wait, as_json=as_json):
            raise typer.Exit(EXIT_FAILED)


def _read(event: str) -> bytes:
    if not event.startswith("@"):
        return event.encode(errors="surrogateescape")
    try:
        return Path(event[1:]).read_bytes()
    except OSError as exc:
        fail(f"{exc.filename}: {exc.strerror}.", EXIT_FAILED)


def _print_outcomes(engine: "sa.Engine", uploads: "list[MediaUploaded]", wait_s: float, *, as_json: bool) -> bool:
    """Print one line an upload as it ends; return whether all are ready."""
    from service.cli.text_table import printable
    from service.publish.publisher import outcome_of

    deadline, are_ready = time.monotonic() + wait_s, True
    for upload in uploads:
        status, said = outcome_of(engine, upload, deadline) or (
            "waiting",
            f"No outcome within {wait_s:g} s: see `thumbnails follow {upload.event_id}`.",
        )
        _print(_facts(upload) | {"status": status, "said": printable(said)}, as_json=as_json)
        are_ready = are_ready and status == "ready"
    return are_ready


def _facts(upload: "MediaUploaded") -> dict[str, str]:
    return {"event_id": upload.event_id, "record_key": upload.media.record_key}


def _print(facts: dict[str, str], *, as_json: bool) -> None:
    """One record is one line, however long, and it is out at once: the next step may fail."""
    line = json.dumps(facts, ensure_ascii=False) if as_json else "  ".join(facts.values())
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
