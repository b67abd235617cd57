"""`thumbnails reconcile`: what rows show against what the storages hold."""

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from service.cli.loading import loading
from service.cli.stop_signals import stopping_on_signals
from service.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, fail

if TYPE_CHECKING:
    import sqlalchemy as sa

    from service.backfill.pace import Pace
    from service.cli.reconcile_view import ReconcileView
    from service.reconcile.fixes import Announcer
    from service.reconcile.runner import ReconcileOptions
    from service.reconcile.state import Reconciliation, StateFile
    from service.settings import Settings

DEFAULT_STATE: Final = Path("thumbnails-reconcile.json")
DEFAULT_GRACE: Final = "24h"
"""A media's row may come later than its upload."""
DEFAULT_STUCK_AFTER: Final = "48h"
"""Longer than an upload is retried: RETRY_BUDGET_S is a day."""
DEFAULT_RATE_PER_S: Final = 20.0
DEFAULT_MAX_WAITING: Final = 100
DEFAULT_MAX_FIXES: Final = 1000


class _Chosen(NamedTuple):
    company: str | None
    fix: bool
    checksums: bool


def age_of(text: str) -> timedelta:
    """Return an age as people write it: 90m, 24h, 7d."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None:
        raise typer.BadParameter("give an age such as 90m, 24h, 7d")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def reconcile(
    company: Annotated[str | None, typer.Option(metavar="ID|SLUG", help="This company alone.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is found. Without it nothing is changed.")] = False,
    checksums: Annotated[bool, typer.Option("--checksums", help="Read every object that a row shows, too.")] = False,
    grace: Annotated[
        timedelta, typer.Option(parser=age_of, metavar="AGE", help="Leave objects alone that are younger.")
    ] = DEFAULT_GRACE,  # type: ignore[assignment]  # Typer parses the default as well
    stuck_after: Annotated[
        timedelta, typer.Option(parser=age_of, metavar="AGE", help="An upload without an outcome is stuck then.")
    ] = DEFAULT_STUCK_AFTER,  # type: ignore[assignment]
    max_fixes: Annotated[
        int, typer.Option(min=1, help="Repair nothing of a company of which more media need it.")
    ] = DEFAULT_MAX_FIXES,
    rate: Annotated[
        float, typer.Option(min=0.01, help="Media that are looked at closely, or repaired, a second at most.")
    ] = DEFAULT_RATE_PER_S,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Announce nothing while so many uploads wait for the workers.")
    ] = DEFAULT_MAX_WAITING,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --state.")] = False,
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="Holds how far it is; deleted at the end.")
    ] = DEFAULT_STATE,
    metrics_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write metrics at the end, for node exporter.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """Compare rows with stored objects. Example: thumbnails reconcile --company acme, then with --fix."""
    chosen = _Chosen(company, fix, checksums)
    if resume and chosen != _Chosen(None, fix=False, checksums=False):
        fail("--resume goes on with what was chosen then: give no --company, --fix or --checksums.", EXIT_USAGE)
    with loading():
        from service.backfill.pace import Pace
        from service.cli.reconcile_view import ReconcileView
        from service.observability.logs import log_to_standard_error
        from service.reconcile.look import LookOptions
        from service.reconcile.runner import ReconcileOptions
        from service.reconcile.state import StateFile
        from service.settings import Settings

    log_to_standard_error()
    settings, file = Settings(), StateFile(state)
    with stopping_on_signals() as stop, _engine_of(settings) as engine:
        if resume:
            run = file.load()
        else:
            file.require_none()
            run = _new_run(engine, chosen)
        file.save(run)  # a folder that cannot be written to is found before anything is changed
        keep = timedelta(seconds=settings.cleanup.replaced_keep_s)
        options = ReconcileOptions(LookOptions(grace, stuck_after, run.checksums, keep), max_fixes)
        view = ReconcileView(run, as_json=as_json)
        work = _Work(settings, engine, options, Pace(rate, max_waiting), stop)
        try:
            work.run(run, view, file)
        except BaseException:
            view.show_end(file.path)
            raise
    if run.is_through:
        file.remove()
        if metrics_file is not None:
            from service.reconcile.metrics import write_metrics

            write_metrics(run, metrics_file)
    view.show_end(file.path)
    raise typer.Exit(EXIT_INTERRUPTED if not run.is_through else EXIT_FAILED if run.has_faults else EXIT_OK)


@contextmanager
def _engine_of(settings: "Settings") -> Iterator["sa.Engine"]:
    from schemas.database import create_engine_for
    from service.reconcile.rows import STATEMENT_TIMEOUT_MS

    engine = create_engine_for(settings.database.database_url, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
    try:
        yield engine
    finally:
        engine.dispose()


def _new_run(engine: "sa.Engine", chosen: _Chosen) -> "Reconciliation":
    from service.reconcile.state import Reconciliation
    from service.tenants.references import company_id_of

    company_id = None if chosen.company is None else company_id_of(engine, chosen.company)
    return Reconciliation(fix=chosen.fix, checksums=chosen.checksums, company_id=company_id)


class _Work(NamedTuple):
    settings: "Settings"
    engine: "sa.Engine"
    options: "ReconcileOptions"
    pace: "Pace"
    stop: threading.Event

    def run(self, run: "Reconciliation", view: "ReconcileView", file: "StateFile") -> None:
        """Go on with `run`."""
        from service.reconcile.pace import LookPace
        from service.reconcile.rows import CompanyRows
        from service.reconcile.runner import Reconciler
        from service.roles.build_storage import build_tenants
        from streams.rows.companies import SqlCompanyDirectory

        with self._announcer(run) as announcer:
            Reconciler(
                directory=SqlCompanyDirectory(self.engine),
                tenants=build_tenants(self.settings, self.engine),
                rows=CompanyRows(self.engine),
                options=self.options,
                announcer=announcer,
                pace=LookPace(self.pace.per_s, self.stop),
                stop=self.stop,
                save=file.save,
                watcher=view,
            ).run(run)

    @contextmanager
    def _announcer(self, run: "Reconciliation") -> Iterator["Announcer | None"]:
        """Provide what sends events; a dry run needs no Kafka."""
        if not run.fix:
            yield None
            return
        from service.backfill.pace import SendGate, records_waiting
        from service.kafka.clients import consumers_of, make_producer
        from service.observability.traces import start_traces
        from service.publish.publisher import upload_partitions
        from service.publish.uploads import publish_uploads
        from service.reconcile.announce import OldestWaiting, publish_ready
        from service.reconcile.fixes import Announcer
        from service.reconcile.pace import StoppedError
        from streams.kafka.lag import GroupLag

        settings, topics = self.settings, self.settings.kafka.topics
        partitions = upload_partitions(settings.kafka)
        producer = make_producer(settings.kafka)
        with (
            closing(GroupLag(consumers_of(settings.kafka, settings.worker.worker_group))) as lag,
            start_traces(settings.traces, "reconcile") as tracing,
        ):
            gate = SendGate(self.pace, lambda: records_waiting(lag, partitions), self.stop)

            def yield_to_uploads() -> None:
                if gate.room() == 0:
                    raise StoppedError
                gate.sent(1)

            yield Announcer(
                before_each=yield_to_uploads,
                upload=lambda event: publish_uploads(producer, [event], topic=topics.uploads, tracing=tracing),
                ready=lambda event: publish_ready(producer, event, topic=topics.ready, tracing=tracing),
                oldest_waiting=OldestWaiting(settings),
            )
