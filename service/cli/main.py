"""The command line: `thumbnails --help` is its manual."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.cli.backfill import backfill
from service.cli.commands import CONTRACT, DLQ, LOADED_LATE, RETRIES, RUN, SET_UP, START, WATCH, Commands, late_app
from service.cli.company import company_app
from service.cli.credentials import credentials_app
from service.cli.demo import demo, sample
from service.cli.follow import follow
from service.cli.loading import loading
from service.cli.make.command import make
from service.cli.publish import publish
from service.cli.reconcile import reconcile
from service.cli.republish import republish
from service.cli.schemas import schemas_app
from service.cli.serve_local import serve_local
from service.cli.standard_streams import end_without_a_reader, flush_streams, prepare_streams
from service.cli.storage import storage_app
from service.cli.topics import topics_app
from service.cli.version import version
from service.exits import EXIT_FAILED, fail
from service.kafka.client_id import name_process
from service.roles.health.command import health
from service.status.command import status
from service.web.command import web

# Each command loads what it needs itself: Kafka's, the database's and the storages' libraries take more than a second,
# which is longer than `make` needs for a dozen files.

app = typer.Typer(
    name="thumbnails",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Thumbnails for every upload: media.uploaded on Kafka in, thumbnail.ready out, no event lost.\n\n"
    "Settings come from the environment: see docs/configuration.md. Exit codes: 0 done, 1 something failed, 2 wrong use.",
)
db_app = typer.Typer(no_args_is_help=True, help="Prepare the database.")
dlq_line = typer.Typer(help="Look at records that were given up, and replay them: see docs/dead-letters.md.")
retries_line = typer.Typer(help="Look at records that wait for another attempt, and cancel them.")
app.callback()(version)
app.add_typer(topics_app, name="topics", rich_help_panel=SET_UP)
app.add_typer(db_app, name="db", rich_help_panel=SET_UP)
app.add_typer(company_app, name="company", rich_help_panel=SET_UP)
app.add_typer(storage_app, name="storage", rich_help_panel=SET_UP)
app.add_typer(credentials_app, name="credentials", rich_help_panel=SET_UP)
app.add_typer(schemas_app, name="schemas", rich_help_panel=CONTRACT)
app.add_typer(dlq_line, name=DLQ, rich_help_panel=WATCH)
app.add_typer(retries_line, name=RETRIES, rich_help_panel=WATCH)
app.command(rich_help_panel=START)(demo)
app.command(rich_help_panel=START)(make)
app.command(hidden=True)(sample)
app.command(rich_help_panel=WATCH)(publish)
app.command(rich_help_panel=WATCH)(backfill)
app.command(rich_help_panel=WATCH)(reconcile)
app.command(rich_help_panel=WATCH)(republish)
app.command(rich_help_panel=WATCH)(follow)
app.command(rich_help_panel=WATCH)(status)
app.command(rich_help_panel=WATCH)(health)
app.command("web", rich_help_panel=RUN)(web)
app.command("serve-local", rich_help_panel=RUN)(serve_local)

stdout = Console()


def main() -> None:
    """Run the command line; errors that are expected become one sentence."""
    prepare_streams()
    if sys.argv[1:2] and sys.argv[1] in _names():
        name_process(sys.argv[1])
    try:
        app(prog_name="thumbnails")
    except BrokenPipeError:
        end_without_a_reader()
    except Exception as exc:
        from service.cli.explained import explain  # looks up classes of every library

        explained = explain(exc)
        if explained is None:
            raise
        fail(*explained)
    finally:
        _warn_of_misspellings(sys.argv[1:2])
        problem = flush_streams()
        if problem is not None:
            fail(problem)


def _names() -> set[str]:
    commands = {found.name or found.callback.__name__ for found in app.registered_commands if found.callback}
    return commands | {found.name for found in app.registered_groups if found.name}


def _warn_of_misspellings(command: Sequence[str]) -> None:
    """Say at the end, where it is seen, which names of settings are wrong: only of commands that have read settings."""
    if "service.settings" not in sys.modules or command in (["worker"], ["persist"], ["retry"]):  # roles log it
        return
    from service.settings.spelling import known_names, misspelled, names_in_env_file

    known = known_names()
    for found in misspelled(os.environ, known):
        sys.stderr.write(f"Warning: {found}\n")
    if command == ["check"]:
        with suppress(OSError):  # most folders have none
            lines = Path(".env").read_text(encoding="utf-8", errors="replace").splitlines()
            for found in misspelled(names_in_env_file(lines), known):
                sys.stderr.write(f"Warning: .env: {found}\n")


@cache
def all_commands() -> typer.Typer:
    """Return the command line with the groups that are loaded late, and Kafka's and the storages' libraries with them."""
    app.registered_groups = [found for found in app.registered_groups if found.name not in LOADED_LATE]
    for name in LOADED_LATE:
        app.add_typer(late_app(name), name=name, rich_help_panel=WATCH)
    return app


@app.command(rich_help_panel=RUN)
def worker() -> None:
    """Run the worker: uploads in, stored thumbnails out. Example: WORKER_CONCURRENCY=8 thumbnails worker."""
    with loading():
        from service.roles.worker import run_worker_role  # the role's libraries are not loaded for other commands
        from service.settings import Settings

    raise typer.Exit(run_worker_role(Settings()))


@app.command(rich_help_panel=RUN)
def persist() -> None:
    """Run the persist role: results into the database. Example: DATABASE_URL=postgresql+psycopg://… thumbnails persist."""
    with loading():
        from service.roles.run import run_persist_role
        from service.settings import Settings

    raise typer.Exit(run_persist_role(Settings()))


@app.command(rich_help_panel=RUN)
def retry() -> None:
    """Run the retry role: failed events come back when they are due. Example: thumbnails retry."""
    with loading():
        from service.roles.run import run_retry_role
        from service.settings import Settings

    raise typer.Exit(run_retry_role(Settings()))


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the database's tables up to date. Safe to repeat. Example: thumbnails db upgrade."""
    with loading():
        from schemas.migrations import upgrade
        from service.settings import Settings

    settings = Settings()
    upgrade(settings.database.database_url)
    stdout.print("The database is up to date.")


@app.command(rich_help_panel=START)
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
            lambda: check_storage(bootstrap_storage.build_local_storage(settings), settings.storage.local.root),
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
