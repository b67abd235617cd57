"""`thumbnails check`: every dependency, proved by using it."""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.loading import loading
from service.exits import EXIT_FAILED

if TYPE_CHECKING:
    from service.check_result import CheckResult


def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    tenants: Annotated[bool, typer.Option("--tenants", help="Prove every tenant's storage connection, too.")] = False,
) -> None:
    """Prove every dependency by using it. Example: thumbnails check --tenants."""
    with loading():
        from service.kafka.check import check_kafka
        from service.settings import Settings

    settings = Settings()
    # Before the other libraries are loaded: what is asked first answers soon.
    results = [check_kafka(settings.kafka, waits_for_start=False, with_notifications=True)]
    with loading():
        from service.kafka.codecs import check_codecs
        from service.roles import build as bootstrap
        from service.roles import build_storage as bootstrap_storage
        from service.roles.checks import check_database, check_storage
        from service.tenants.checks import check_connections, check_local_url, check_prefixes, first_step

    engine = bootstrap.build_engine(settings)
    of_all_tenants = bootstrap_storage.provider_settings(settings)
    results += [
        check_codecs(),
        check_database(engine),
        check_storage(bootstrap_storage.build_local_storage(settings), settings.storage.local.root),
        check_prefixes(engine),
    ]
    if tenants:
        results += [check_local_url(of_all_tenants), *check_connections(engine, of_all_tenants)]
    if as_json:
        sys.stdout.write(json.dumps({result.name: result.problem for result in results}) + "\n")
        for warning in (warning for result in results for warning in result.warnings):
            sys.stderr.write(f"Warning: {warning}\n")
    else:
        sys.stdout.write("".join(_lines(results)))
        if hint := first_step(engine):
            sys.stdout.write(f"hint    {hint}\n")
    raise typer.Exit(EXIT_FAILED if any(result.problem for result in results) else 0)


def _lines(results: "Iterable[CheckResult]") -> Iterator[str]:
    for result in results:
        yield f"{'ok    ' if result.problem is None else 'FAILED'}  {result.name}\n"
        if result.problem is not None:
            yield f"        {result.problem}\n"
        for warning in result.warnings:
            yield f"        Warning: {warning}\n"
