"""`thumbnails republish`: the topic thumbnail.state, written again from the database."""

import json
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from service.cli.loading import loading
from service.cli.moments import moment_of
from service.cli.stop_signals import stopping_on_signals
from service.exits import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, fail

if TYPE_CHECKING:
    import sqlalchemy as sa

    from service.republish.run import Republish
    from service.run_file import RunFile
    from service.settings import Settings

DEFAULT_RATE_PER_S: Final = 1_000.0
DEFAULT_STATE: Final = Path("thumbnails-republish.json")
REPORT_S: Final = 10.0
BATCH: Final = 1_000
"""As many states as persist sends under the lock at once: a round trip to the broker for each batch decides the rate."""


def republish(
    company: Annotated[str | None, typer.Option(metavar="ID|SLUG", help="Media of this company alone.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment_of, metavar="TIME", help="Row written at or after: a time, or 24h."),
    ] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="States a second at most.")] = DEFAULT_RATE_PER_S,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows, and send nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --state.")] = False,
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="Holds how far it is; deleted at the end.")
    ] = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """Write thumbnail.state again from the database. Example: thumbnails republish --company acme --dry-run."""
    if resume and (company or since):
        fail("--resume goes on with the rows that were chosen then: give no others.", EXIT_USAGE)
    with loading():
        from service.republish.run import republish_file
        from service.roles import build as bootstrap
        from service.settings import Settings

    settings, file = Settings(), republish_file(state)
    with stopping_on_signals() as stop, bootstrap.open_engine(settings) as engine:
        run = file.load(settings.kafka.topics.state) if resume else _new_run(settings, engine, company, since)
        view = _View(run, as_json=as_json)
        if dry_run:
            _count(engine, run, view, rate, stop)
        else:
            if not resume:
                file.require_none()
            _send(settings, engine, run, view, rate, stop, file)
    raise typer.Exit(EXIT_INTERRUPTED if stop.is_set() else EXIT_OK)


def _new_run(settings: "Settings", engine: "sa.Engine", company: str | None, since: datetime | None) -> "Republish":
    from schemas.events import MediaKind
    from service.republish.run import Republish
    from service.republish.runner import last_ids
    from service.tenants.references import company_id_of

    company_id = None if company is None else company_id_of(engine, company)
    ids = last_ids(engine, tuple(MediaKind))
    return Republish(topic=settings.kafka.topics.state, company_id=company_id, since=since, last_ids=ids)


class _View:
    """Prints a line every ten seconds and at the end, as text or as JSON."""

    def __init__(self, run: "Republish", *, as_json: bool) -> None:
        self._run: Final = run
        self._as_json: Final = as_json
        self._began_at = self._reported_at = time.monotonic()
        self._began_with: Final = run.sent

    def advance(self) -> None:
        """Report from time to time."""
        if time.monotonic() - self._reported_at >= REPORT_S:
            self._reported_at = time.monotonic()
            self.report("running")

    def report(self, state: str, **more: object) -> None:
        """Print one line."""
        run, seconds = self._run, time.monotonic() - self._began_at
        rate = round((run.sent - self._began_with) / seconds) if seconds > 0 else 0
        facts: dict[str, object] = {"state": state, "sent": run.sent, "gone": run.gone, "rate_per_s": rate}
        facts |= {"ids_done": run.ids_done, "ids_in_all": run.ids_in_all, **more}
        text = json.dumps(facts) if self._as_json else "  ".join(f"{name}={fact}" for name, fact in facts.items())
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _count(engine: "sa.Engine", run: "Republish", view: _View, rate: float, stop: threading.Event) -> None:
    from service.republish.runner import Republisher

    found = Republisher(engine, lambda _media: 0, lambda _run: None, view.advance).count(run, stop)
    view.report("dry_run", states=found, at_least_s=round(found / rate, 1))


def _send(
    settings: "Settings",
    engine: "sa.Engine",
    run: "Republish",
    view: _View,
    rate: float,
    stop: threading.Event,
    file: "RunFile[Republish]",
) -> None:
    from schemas.metrics import Metrics
    from service.backfill.pace import Pace, SendGate
    from service.kafka.clients import consumers_of, make_producer
    from service.republish.runner import Republisher
    from service.roles.build import persist_group
    from streams.kafka.client import send_and_wait
    from streams.kafka.topic_reader import TopicReader
    from streams.persist.states import StateSender

    producer = make_producer(settings.kafka)
    sender = StateSender(engine, run.topic, Metrics())
    work = Republisher(
        engine,
        lambda media: sender.send(media, lambda records: send_and_wait(producer, records)),
        file.save,
        view.advance,
    )
    file.save(run)  # a folder that cannot be written to is found before anything is sent
    unlimited = sys.maxsize
    gate = SendGate(Pace(rate, unlimited, most=BATCH), lambda: 0, stop)
    try:
        is_through = work.run(run, gate)
        if is_through and run.is_of_everything:
            with TopicReader(consumers_of(settings.kafka, persist_group(settings)), run.topic) as reader:
                work.send_gone(run, reader.read(reader.extents()), stop)
    except Exception as exc:
        view.report("paused")
        _explain(exc, run.topic)
        raise
    if stop.is_set():
        view.report("paused")
        sys.stderr.write(f"Go on with `thumbnails republish --resume --state {file.path}`.\n")
    else:
        file.remove()
        view.report("done")


def _explain(exc: Exception, topic: str) -> None:
    """Raise what the client says of the broker as a sentence."""
    from service.kafka.connection import KafkaUnreachableError
    from streams.kafka.client import NotAcknowledgedError, explain_fault

    if isinstance(exc, NotAcknowledgedError):
        raise KafkaUnreachableError(
            f"{topic} could not be written: {explain_fault(exc)}. Go on with --resume."
        ) from exc
