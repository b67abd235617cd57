"""`thumbnails backfill`: thumbnails for media that the database already has."""

import threading
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from service.cli.loading import loading
from service.cli.moments import moment_of
from service.cli.stop_signals import stopping_on_signals
from service.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, fail

if TYPE_CHECKING:
    import sqlalchemy as sa

    from service.backfill.pace import Pace
    from service.backfill.state import Run
    from service.cli.backfill_view import View
    from service.run_file import RunFile
    from service.settings import Settings

DEFAULT_RATE_PER_S: Final = 100.0
"""Far above what one worker decodes: --max-waiting holds it back."""
DEFAULT_MAX_WAITING: Final = 8
"""A live upload waits for so many others at most: as many as one worker has in work at once (WORKER_CONCURRENCY)."""
DEFAULT_STATE: Final = Path("thumbnails-backfill.json")


class Kind(StrEnum):
    """The tables, as record keys name them."""

    VIDEO = "video"
    AR_CONTENT = "ar_content"


class _Chosen(NamedTuple):
    """The options that say which rows are wanted."""

    failed: bool
    older: bool
    all: bool
    company: str | None
    kind: Kind | None
    since: datetime | None
    until: datetime | None


_NOTHING_CHOSEN: Final = _Chosen(failed=False, older=False, all=False, company=None, kind=None, since=None, until=None)


def backfill(
    failed: Annotated[bool, typer.Option("--failed", help="Rows whose last upload failed.")] = False,
    older: Annotated[
        bool,
        typer.Option("--older-than-settings", help="Rows made with other THUMBNAIL_* settings than those here."),
    ] = False,
    all_rows: Annotated[bool, typer.Option("--all", help="Every row, also those with thumbnails.")] = False,
    company: Annotated[str | None, typer.Option(metavar="ID|SLUG", help="Rows of this company alone.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Rows of one table alone.", show_default=False)] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment_of, metavar="TIME", help="Row written at or after: a time, or 24h."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=moment_of, metavar="TIME", help="Row written before: a time, or 1h.")
    ] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="Events a second at most.")] = DEFAULT_RATE_PER_S,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Send nothing while so many uploads wait for the workers.")
    ] = DEFAULT_MAX_WAITING,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, and send nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the backfill in --state.")] = False,
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="Holds how far it is; deleted at the end.")
    ] = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """Announce rows that have no thumbnail. Example: thumbnails backfill --company acme --dry-run."""
    chosen = _Chosen(failed, older, all_rows, company, kind, since, until)
    _check(chosen, resume=resume)
    with loading():
        from service.backfill.pace import Pace
        from service.backfill.state import backfill_file
        from service.cli.backfill_view import View
        from service.roles import build as bootstrap
        from service.settings import Settings

    settings, pace, file = Settings(), Pace(rate, max_waiting), backfill_file(state)
    with stopping_on_signals() as stop, bootstrap.open_engine(settings) as engine:
        run = file.load(settings.kafka.topics.uploads) if resume else _new_run(settings, engine, chosen)
        view = View(run, as_json=as_json)
        if dry_run:
            _count(settings, engine, view, pace, stop)
        else:
            if not resume:
                file.require_none()
            _send(settings, engine, view, pace, stop, file)
    raise typer.Exit(EXIT_INTERRUPTED if run.kind is not None else EXIT_FAILED if run.has_faults else EXIT_OK)


def _check(chosen: _Chosen, *, resume: bool) -> None:
    if resume and chosen != _NOTHING_CHOSEN:
        fail("--resume goes on with the rows that were chosen then: give no others.", EXIT_USAGE)
    modes = (chosen.failed, chosen.older, chosen.all)
    if sum(modes) > 1:
        fail("Give one of --failed, --older-than-settings and --all: --all includes the other two.", EXIT_USAGE)
    if (chosen.since or chosen.until) and not any(modes):
        fail(
            "Rows without thumbnails have no time: --since and --until go with --failed, --older-than-settings or --all.",
            EXIT_USAGE,
        )


def _new_run(settings: "Settings", engine: "sa.Engine", chosen: _Chosen) -> "Run":
    from processors.output.fingerprint import settings_fingerprint
    from schemas.events import MediaKind
    from service.backfill.rows import RowPages
    from service.backfill.state import Mode, RowChoice, Run, run_name
    from service.roles.decoding import build_spec
    from service.tenants.references import company_id_of

    mode = Mode.ALL if chosen.all else Mode.FAILED if chosen.failed else Mode.OLDER if chosen.older else Mode.MISSING
    kinds = {Kind.VIDEO: MediaKind.VIDEO, Kind.AR_CONTENT: MediaKind.IMAGE}
    choice = RowChoice(
        mode=mode,
        company_id=None if chosen.company is None else company_id_of(engine, chosen.company),
        kinds=tuple(kinds.values()) if chosen.kind is None else (kinds[chosen.kind],),
        since=chosen.since,
        until=chosen.until,
        settings=settings_fingerprint(build_spec(settings.decode)) if mode is Mode.OLDER else None,
    )
    last_ids = RowPages(engine).last_ids(choice)
    return Run(name=run_name(choice.mode), topic=settings.kafka.topics.uploads, choice=choice, last_ids=last_ids)


def _count(settings: "Settings", engine: "sa.Engine", view: "View", pace: "Pace", stop: threading.Event) -> None:
    from processors.output.renditions import parse_renditions
    from service.backfill.rows import RowPages
    from service.backfill.runner import count_rows

    with view.progress("Counting"):
        counts = count_rows(RowPages(engine), view.run, stop, view.advance)
    view.show_counts(engine, counts, pace, len(parse_renditions(settings.decode.thumbnail_renditions)))


def _send(
    settings: "Settings", engine: "sa.Engine", view: "View", pace: "Pace", stop: threading.Event, file: "RunFile[Run]"
) -> None:
    from service.backfill.pace import SendGate, records_waiting
    from service.backfill.rows import RowPages
    from service.backfill.runner import Backfill
    from service.kafka.clients import consumers_of, make_producer
    from service.observability.traces import start_traces
    from service.publish.publisher import upload_partitions
    from service.publish.uploads import publish_uploads
    from streams.kafka.lag import GroupLag

    partitions = upload_partitions(settings.kafka)
    producer, topic = make_producer(settings.kafka), view.run.topic
    file.save(view.run)  # a folder that cannot be written to is found before anything is sent
    with (
        closing(GroupLag(consumers_of(settings.kafka, settings.worker.worker_group))) as lag,
        start_traces(settings.traces, "backfill") as tracing,
    ):
        work = Backfill(
            pages=RowPages(engine),
            gate=SendGate(pace, lambda: view.waits(records_waiting(lag, partitions)), stop),
            send=lambda uploads: publish_uploads(producer, uploads, topic=topic, tracing=tracing),
            save=file.save,
            on_batch=view.advance,
        )
        try:
            with view.progress("Sending"):
                is_through = work.run(view.run)
        except Exception:
            view.show_end(file.path, is_through=False)
            raise
    if is_through:
        file.remove()
    view.show_end(file.path, is_through=is_through)
