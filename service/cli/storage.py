"""`thumbnails storage …`: add, list and test the storage connections of companies."""

import json
import sys
from typing import Annotated

import typer

from service.cli.loading import loading

storage_app = typer.Typer(
    no_args_is_help=True,
    help="Add, list and test storage connections: see docs/storage.md.\n\nWhere a platform owns the table of storage"
    " connections, let it add them: these commands only insert rows, and with --company set a company's connection.",
)


@storage_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the connection.")],
    provider: Annotated[str, typer.Argument(help="local_disk, minio (any S3; s3 means the same) or yandex_disk.")],
    credentials: Annotated[
        str | None, typer.Option(metavar="-|@FILE", help="Where their JSON is: standard input, or a file.")
    ] = None,
    base_path: Annotated[str, typer.Option(help="Folder in the storage that is put before every key.")] = "",
    company: Annotated[int | None, typer.Option(help="Id of the company that uses it from now on.")] = None,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Write, read and delete a probe first.")] = True,
) -> None:
    """Add a storage connection. Example: thumbnails storage add "Acme S3" s3 --credentials @acme.json --company 1."""
    with loading():
        from service.roles import build as bootstrap
        from service.roles import build_storage as bootstrap_storage
        from service.settings import Settings
        from service.tenants.new_connection import new_connection, prove, read_credentials, with_alias
        from service.tenants.rows import add_connection, require_attachable

    settings = Settings()
    of_all_tenants = bootstrap_storage.provider_settings(settings)
    known_as = with_alias(provider)
    text = read_credentials(credentials, known_as)
    with bootstrap.open_engine(settings) as engine:
        if company is not None:
            require_attachable(engine, company)
        connection = new_connection(name, known_as, text, base_path, of_all_tenants)
        if test:
            prove(connection, of_all_tenants)
        connection_id = add_connection(engine, connection, company)
    use = (
        f"company {company} uses it"
        if company is not None
        else f"`company add NAME --connection {connection_id}` uses it"
    )
    sys.stdout.write(f"Storage connection {connection_id} is {'tested and ' if test else ''}added: {use}.\n")


@storage_app.command("list")
def list_all(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """List the storage connections, without their credentials. Example: thumbnails storage list --json."""
    with loading():
        from service.cli.text_table import aligned
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.rows import list_connections

    with bootstrap.open_engine(Settings()) as engine:
        rows = list_connections(engine)
    if as_json:
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    if not rows:
        sys.stdout.write("No storage connection exists: companies without one use local storage.\n")
        return
    shown = [
        (
            str(row["id"]),
            row["provider"],
            "yes" if row["is_active"] else "no",
            {True: "yes", False: "no", None: "-"}[row["is_encrypted"]],
            row["base_path"] or "-",
            ",".join(map(str, row["companies"])) or "-",
            row["name"],
        )
        for row in rows
    ]
    sys.stdout.write(aligned(("id", "provider", "active", "encrypted", "base path", "companies", "name"), shown))


@storage_app.command()
def test(connection_id: Annotated[int, typer.Argument(metavar="ID", help="As `list` shows it.")]) -> None:
    """Write, read and delete a probe, as `check --tenants` does. Example: thumbnails storage test 1."""
    with loading():
        from service.roles import build as bootstrap
        from service.roles import build_storage as bootstrap_storage
        from service.settings import Settings
        from service.tenants.checks import problem_of
        from service.tenants.rows import find_connection
        from service.tenants.values import RowError

    settings = Settings()
    of_all_tenants = bootstrap_storage.provider_settings(settings)
    with bootstrap.open_engine(settings) as engine:
        connection = find_connection(engine, connection_id)
    problem = problem_of(connection, of_all_tenants)
    if problem is not None:
        raise RowError(problem)
    sys.stdout.write(f"Storage connection {connection_id} works.\n")
