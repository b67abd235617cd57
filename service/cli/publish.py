"""`thumbnails publish`: uploads files as a company would, or publishes one event."""

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

_FOLLOW: Final = (
    "`thumbnails status` shows what waits or failed, `thumbnails web` each thumbnail as it comes;"
    " with --wait 60 this command waits for the outcome.\n"
)


def publish(
    files: Annotated[list[Path] | None, typer.Argument(help="Files to store as uploads of the company.")] = None,
    company: Annotated[str, typer.Option(metavar="ID|SLUG", help="The company that uploads.")] = "1",
    event: Annotated[str | None, typer.Option(help="A whole media.uploaded event as JSON, or @FILE.")] = None,
    wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for the outcomes; shows each thumbnail's URL.")
    ] = None,
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
        from service.tenants.references import company_id_of

    settings = Settings()
    with bootstrap.open_engine(settings) as engine:
        uploads = []
        with start_traces(settings.traces, "publish") as tracing:
            publisher = Publisher(settings, engine, tracing)
            if event:
                uploads.append(publisher.publish_event(_read(event)))
                _print(uploads[0].event_id, uploads[0].media.record_key)
            for path, upload in publisher.publish_files(company_id_of(engine, company), files) if files else ():
                uploads.append(upload)
                _print(upload.event_id, upload.media.record_key, upload.media.key, shown(path))
        if wait is None:
            sys.stderr.write(_FOLLOW)
        elif not _print_outcomes(engine, uploads, wait):
            raise typer.Exit(EXIT_FAILED)


def _read(event: str) -> bytes:
    if not event.startswith("@"):
        return event.encode(errors="surrogateescape")
    try:
        return Path(event[1:]).read_bytes()
    except OSError as exc:
        fail(f"{exc.filename}: {exc.strerror}.", EXIT_FAILED)


def _print_outcomes(engine: "sa.Engine", uploads: "list[MediaUploaded]", wait_s: float) -> bool:
    """Print one line an upload as it ends; return whether all are ready."""
    from service.cli.text_table import printable
    from service.publish.publisher import outcome_of

    deadline, are_ready = time.monotonic() + wait_s, True
    for upload in uploads:
        status, said = outcome_of(engine, upload, deadline) or (
            "waiting",
            f"No outcome within {wait_s:g} s: see `thumbnails status`.",
        )
        _print(upload.event_id, upload.media.record_key, status, printable(said))
        are_ready = are_ready and status == "ready"
    return are_ready


def _print(*fields: str) -> None:
    """One record is one line, however long, and it is out at once: the next step may fail."""
    sys.stdout.write("  ".join(fields) + "\n")
    sys.stdout.flush()
