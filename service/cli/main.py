"""The command line: `thumbnails --help` is its manual."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.cli.company import company_app
from service.cli.credentials import credentials_app
from service.cli.demo import demo, sample
from service.cli.loading import loading
from service.cli.publish import publish
from service.cli.schemas import schemas_app
from service.cli.serve_local import serve_local
from service.cli.storage import storage_app
from service.cli.topics import topics_app
from service.exits import EXIT_FAILED, EXIT_USAGE, fail
from service.kafka.client_id import name_process
from service.roles.health.command import health
from service.status.command import status
from service.web.command import web

if TYPE_CHECKING:
    from pydantic import ValidationError

# Each command loads what it needs itself: Kafka's, the database's and the storages' libraries take more than a second,
# which is longer than `make` needs for a dozen files.

app = typer.Typer(
    name="thumbnails",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Thumbnails for every upload: media.uploaded on Kafka in, thumbnail.ready out, no event lost.\n\n"
    "Settings come from the environment: see docs/configuration.md. Exit codes: 0 done, 1 something failed, 2 wrong use.",
)
db_app = typer.Typer(no_args_is_help=True, help="Prepare the database.")
app.add_typer(topics_app, name="topics")
app.add_typer(db_app, name="db")
app.add_typer(company_app, name="company")
app.add_typer(storage_app, name="storage")
app.add_typer(credentials_app, name="credentials")
app.command()(publish)
app.command()(health)
app.command()(status)
app.command()(demo)
app.command(hidden=True)(sample)
app.add_typer(schemas_app, name="schemas")
app.command("web")(web)
app.command("serve-local")(serve_local)

stdout = Console()


def main() -> None:
    """Run the command line; errors that are expected become one sentence."""
    names = _names_without_dlq()
    commands = app if sys.argv[1:2] and sys.argv[1] in names else all_commands()
    if sys.argv[1:2] and sys.argv[1] in names | {"dlq"}:
        name_process(sys.argv[1])
    try:
        commands()
    except Exception as exc:
        # Looked up here, for an `except` of their names would load their modules when a command ends by SystemExit, too.
        if isinstance(exc, expected_errors()):
            fail(str(exc), code=getattr(exc, "exit_code", EXIT_FAILED))
        if isinstance(exc, _database_errors()):
            from schemas.database_faults import explain_database_fault

            fail(explain_database_fault(exc))
        if not isinstance(exc, _validation_error()):
            raise
        problem = exc.errors(include_url=False)[0]
        name = ".".join(str(part) for part in problem["loc"]).upper()
        # What contradicts itself has no name of its own: the message names both.
        fail(f"{name}{': ' if name else ''}{problem['msg']}. See docs/configuration.md.", code=EXIT_USAGE)


def _names_without_dlq() -> set[str]:
    """Return the commands that need not wait for what `dlq` loads."""
    commands = {found.name or found.callback.__name__ for found in app.registered_commands if found.callback}
    return commands | {found.name for found in app.registered_groups if found.name}


@cache
def all_commands() -> typer.Typer:
    """Return the command line with `dlq`, for which Kafka's and the storages' libraries are loaded."""
    with loading():
        from service.cli.dlq import dlq_app

    app.add_typer(dlq_app, name="dlq")
    return app


def expected_errors() -> tuple[type[Exception], ...]:
    """Those whose messages are sentences with a way out."""
    from processors.sandbox.confinement import ConfinementError
    from schemas.database import DatabaseUrlError
    from schemas.errors import ThumbnailError
    from schemas.migrations import MigrationError
    from service.kafka.connection import KafkaUnreachableError
    from service.kafka.security import KafkaFilesError
    from service.observability.traces import TracesError
    from service.publish.files import UnreadableFileError
    from service.publish.uploads import PublishError
    from service.tenants.values import RowError
    from storage.credentials import CredentialsKeyError
    from streams.dlq.export import ExportFileError
    from streams.dlq.sender import ReplayError
    from streams.kafka.reader import TopicReadError

    of_kafka = KafkaUnreachableError, KafkaFilesError, PublishError, TopicReadError, ReplayError, ExportFileError
    of_the_database = DatabaseUrlError, MigrationError, RowError
    others = ThumbnailError, CredentialsKeyError, ConfinementError, TracesError, UnreadableFileError
    return *others, *of_kafka, *of_the_database


def _database_errors() -> tuple[type[Exception], ...]:
    """Return what a command may meet at any use of the database: explained, and no traceback."""
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    return DBAPIError, PoolTimeoutError


def _validation_error() -> "type[ValidationError]":
    from pydantic import ValidationError

    return ValidationError


@app.command()
def worker() -> None:
    """Run the worker: uploads in, stored thumbnails out. Example: WORKER_CONCURRENCY=8 thumbnails worker."""
    with loading():
        from service.roles.worker import run_worker_role  # the role's libraries are not loaded for other commands
        from service.settings import Settings

    raise typer.Exit(run_worker_role(Settings()))


@app.command()
def persist() -> None:
    """Run the persist role: results into the database. Example: DATABASE_URL=postgresql+psycopg://… thumbnails persist."""
    with loading():
        from service.roles.run import run_persist_role
        from service.settings import Settings

    raise typer.Exit(run_persist_role(Settings()))


@app.command()
def retry() -> None:
    """Run the retry role: failed events come back when they are due. Example: thumbnails retry."""
    with loading():
        from service.roles.run import run_retry_role
        from service.settings import Settings

    raise typer.Exit(run_retry_role(Settings()))


@app.command()
def make(
    files: Annotated[list[Path], typer.Argument(help="Videos and photographs.")],
    out: Annotated[Path, typer.Option(help="Folder for the thumbnails.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
) -> None:
    """Make thumbnails of local files, without Kafka. Example: thumbnails make *.mp4 --out thumbs."""
    from service.cli.make import make_files
    from service.settings import DecodeSettings

    raise typer.Exit(make_files(files, out, DecodeSettings(), as_json=as_json))


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the database's tables up to date. Safe to repeat. Example: thumbnails db upgrade."""
    with loading():
        from schemas.migrations import upgrade
        from service.settings import Settings

    settings = Settings()
    upgrade(settings.database.database_url)
    stdout.print("The database is up to date.")


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    tenants: Annotated[bool, typer.Option("--tenants", help="Prove every tenant's storage connection, too.")] = False,
) -> None:
    """Prove every dependency by using it. Example: thumbnails check --tenants."""
    with loading():
        from service.kafka.codecs import check_codecs
        from service.roles import build as bootstrap
        from service.roles import build_storage as bootstrap_storage
        from service.roles.checks import check_database, check_kafka, check_storage, run_checks
        from service.settings import Settings
        from service.tenants.checks import check_connections, check_prefixes, first_step

    settings = Settings()
    engine = bootstrap.build_engine(settings)
    of_all_tenants = bootstrap_storage.provider_settings(settings)
    results = run_checks(
        [
            lambda: check_kafka(settings.kafka),
            check_codecs,
            lambda: check_database(engine),
            lambda: check_storage(bootstrap_storage.build_local_storage(settings)),
            lambda: check_prefixes(engine),
        ]
    )
    if tenants:
        results += check_connections(engine, of_all_tenants)
    if as_json:
        sys.stdout.write(json.dumps({result.name: result.problem for result in results}) + "\n")
        for warning in (warning for result in results for warning in result.warnings):
            sys.stderr.write(f"Warning: {warning}\n")
    else:
        for result in results:
            stdout.print(f"{'ok    ' if result.problem is None else 'FAILED'}  {result.name}", highlight=False)
            if result.problem is not None:
                stdout.print(f"        {result.problem}", highlight=False, soft_wrap=True)
            for warning in result.warnings:
                stdout.print(f"        Warning: {warning}", highlight=False, soft_wrap=True)
        if hint := first_step(engine):
            stdout.print(f"hint    {hint}", highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_FAILED if any(result.problem for result in results) else 0)
