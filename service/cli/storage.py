"""`thumbnails storage …`: add, list, test, change and remove the storage connections of companies."""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import storage_options as options
from service.cli.loading import loading

if TYPE_CHECKING:
    from storage.connections import StorageConnection
    from storage.factory import ProviderSettings

storage_app = typer.Typer(
    no_args_is_help=True,
    help="Add, list, test, change and remove storage connections: see docs/storage.md.\n\nWhere a platform owns the table"
    " of storage connections, set TENANT_TABLES_READ_ONLY=true: then nothing is changed here.",
)
Reference = Annotated[str, typer.Argument(metavar="ID|NAME", help="As `list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


@storage_app.command()
@options.with_provider_options
def add(
    name: Annotated[str, typer.Argument(help="Name of the connection.")],
    provider: Annotated[
        str,
        typer.Argument(
            help="local_disk, minio (any S3; s3 means the same), azure_blob (or azure), gcs or yandex_disk."
        ),
    ],
    credentials: options.Credentials = None,
    base_path: Annotated[str, typer.Option(help="Folder in the storage that is put before every key.")] = "",
    company: Annotated[
        str | None, typer.Option(metavar="ID|SLUG", help="The company that uses it from now on.")
    ] = None,
    test: options.Test = True,
    as_json: AsJson = False,
    *,
    given: options.Given,
) -> None:
    """Add a storage connection; on a terminal, ask for what is missing.

    Example: thumbnails storage add "Acme S3" s3 --bucket acme --access-key AKIA1 --secret-key @key --company acme.
    """
    with loading():
        from service.roles import build as bootstrap
        from service.roles import build_storage as bootstrap_storage
        from service.settings import Settings
        from service.tenants.connection_rows import add_connection, require_addable
        from service.tenants.explained import require_writable
        from service.tenants.new_connection import new_connection, prove
        from service.tenants.provider_options import with_alias
        from service.tenants.references import company_id_of
        from service.tenants.values import checked_name

    settings = Settings()
    require_writable(settings.database)
    of_all_tenants = bootstrap_storage.provider_settings(settings)
    known_as, shown_name = with_alias(provider), checked_name(name)
    with bootstrap.open_engine(settings) as engine:
        company_id = None if company is None else company_id_of(engine, company)
        require_addable(engine, shown_name, company_id)
        text = _credentials_of(known_as, credentials, given)
        connection = new_connection(shown_name, known_as, text, base_path, of_all_tenants)
        notes = prove(connection, of_all_tenants, not_done="added") if test else ()
        connection_id = add_connection(engine, connection, company_id)
    use = (
        f"company {company_id} uses it"
        if company_id is not None
        else f"`thumbnails company add NAME --connection {connection_id}` uses it"
    )
    _warn(notes)
    if as_json:
        shown = {"id": connection_id, "name": shown_name, "provider": known_as, "company": company_id}
        sys.stdout.write(json.dumps(shown | {"warning": " ".join(notes) or None}, ensure_ascii=False) + "\n")
        return
    sys.stdout.write(f"Storage connection {connection_id} is {'tested and ' if test else ''}added: {use}.\n")


def _credentials_of(provider: str, credentials: str | None, given: options.Given) -> str:
    """Return the JSON of what is given, or asked for where somebody sits at a terminal. Raises WrongValueError, RowError."""
    from service.tenants.provider_options import (
        WITHOUT_CREDENTIALS,
        ask_for_missing,
        ask_on_terminal,
        missing_fields,
        read_credentials,
        read_fields,
        say_what_is_missing,
    )
    from service.tenants.values import WrongValueError

    if credentials is not None:
        if any(value is not None for value in given.values()):
            raise WrongValueError("Give either --credentials or the options of the provider.")
        return read_credentials(credentials, provider)
    fields = read_fields(provider, given)
    if provider in WITHOUT_CREDENTIALS:
        return "{}"
    if missing_fields(provider, fields) and sys.stdin.isatty() and sys.stderr.isatty():
        fields = ask_for_missing(provider, fields, ask_on_terminal)
    missing = missing_fields(provider, fields)
    if missing or not fields:
        raise WrongValueError(say_what_is_missing(provider, missing))
    return json.dumps(fields)


@storage_app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the storage connections, without their credentials. Example: thumbnails storage list --json."""
    with loading():
        from service.cli.text_table import aligned
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.connection_rows import list_connections

    with bootstrap.open_engine(Settings()) as engine:
        rows = list_connections(engine)
    if as_json:
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    if not rows:
        sys.stderr.write("No storage connection exists: companies without one use local storage.\n")
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
def test(connection: Reference) -> None:
    """Write, read, list and delete a probe, and ask for its URL. Example: thumbnails storage test "Acme S3"."""
    with loading():
        from service.roles import build as bootstrap
        from service.roles import build_storage as bootstrap_storage
        from service.settings import Settings
        from service.tenants.checks import prove_connection
        from service.tenants.connection_rows import find_connection
        from service.tenants.references import connection_id_of
        from service.tenants.values import RowError

    settings = Settings()
    of_all_tenants = bootstrap_storage.provider_settings(settings)
    with bootstrap.open_engine(settings) as engine:
        found = find_connection(engine, connection_id_of(engine, connection))
    proof = prove_connection(found, of_all_tenants)
    if proof.problem is not None:
        raise RowError(proof.problem)
    _warn(proof.notes)
    sys.stdout.write(f"Storage connection {found.id} works: a probe was written, read, listed and deleted.\n")


@storage_app.command("set")
@options.with_provider_options
def change(
    connection: Reference,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    credentials: options.Credentials = None,
    base_path: Annotated[
        str | None, typer.Option(help="Folder before every key; only while no company uses the connection.")
    ] = None,
    active: Annotated[
        bool | None,
        typer.Option("--active/--inactive", help="Whether it is used; else its companies use local storage."),
    ] = None,
    test: options.Test = True,
    *,
    given: options.Given,
) -> None:
    """Change a storage connection; what is not given stays. Example: thumbnails storage set "Acme S3" --secret-key @new."""
    with loading():
        from service.roles import build as bootstrap
        from service.roles import build_storage as bootstrap_storage
        from service.settings import Settings
        from service.tenants.connection_rows import change_connection, find_connection
        from service.tenants.explained import require_writable
        from service.tenants.new_connection import prove
        from service.tenants.references import connection_id_of
        from service.tenants.values import WrongValueError, checked_folder, checked_name

    settings = Settings()
    require_writable(settings.database)
    of_all_tenants = bootstrap_storage.provider_settings(settings)
    plain = {
        "name": None if name is None else checked_name(name),
        "base_path": None if base_path is None else checked_folder(base_path, "base path"),
        "is_active": active,
    }
    if credentials is None and all(value is None for value in (*plain.values(), *given.values())):
        raise WrongValueError("Nothing is to be changed: see `thumbnails storage set --help`.")
    with bootstrap.open_engine(settings) as engine:
        before = find_connection(engine, connection_id_of(engine, connection))
        after = replace(before, **{field: value for field, value in plain.items() if value is not None})  # type: ignore[arg-type]  # each of its own field's type
        after = _with_new_credentials(after, credentials, given, of_all_tenants)
        must_test = test and after.is_active and (after.fingerprint, True) != (before.fingerprint, before.is_active)
        notes = prove(after, of_all_tenants, not_done="changed") if must_test else ()
        users = change_connection(engine, before, after)
    _warn(notes)
    said = f"Storage connection {before.id} is {'tested and ' if must_test else ''}changed"
    if users and not after.is_active:
        said += f": the thumbnails of companies {', '.join(map(str, users))} go to local storage"
    sys.stdout.write(f"{said}. Workers know it within {settings.storage.tenant_cache_s:g} s.\n")


def _with_new_credentials(
    connection: "StorageConnection",
    credentials: str | None,
    given: options.Given,
    of_all_tenants: "ProviderSettings",
) -> "StorageConnection":
    """Return the connection with all of its credentials replaced, or with single fields of them. Raises RowError."""
    from service.tenants.new_connection import with_credentials
    from service.tenants.provider_options import merged, read_credentials, read_fields
    from service.tenants.values import RowError, WrongValueError
    from storage.connections import ProviderConfigurationError

    if credentials is not None:
        if any(value is not None for value in given.values()):
            raise WrongValueError("Give either --credentials or the options of the provider.")
        return with_credentials(connection, read_credentials(credentials, connection.provider), of_all_tenants)
    fields = read_fields(connection.provider, given)
    if not fields:
        return connection
    try:
        before = of_all_tenants.cipher.decrypt(connection.credentials)
    except ProviderConfigurationError as exc:
        raise RowError(f"{exc.message} Give all of them anew with --credentials.") from exc
    return with_credentials(connection, json.dumps(merged(connection.provider, before, fields)), of_all_tenants)


@storage_app.command()
def remove(
    connection: Reference,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a storage connection that no company uses; its objects stay. Example: thumbnails storage remove 3 --yes."""
    with loading():
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.connection_rows import find_connection, remove_connection
        from service.tenants.explained import require_writable
        from service.tenants.references import connection_id_of
        from service.tenants.values import WrongValueError

    settings = Settings()
    require_writable(settings.database)
    with bootstrap.open_engine(settings) as engine:
        found = find_connection(engine, connection_id_of(engine, connection))
        what = f"storage connection {found.id} ({found.name!r}, {found.provider})"
        if not yes:
            if not sys.stdin.isatty():
                raise WrongValueError(f"Give --yes to remove {what} without being asked.")
            typer.confirm(f"Remove {what} with its credentials?", abort=True, err=True)
        remove_connection(engine, found.id)
    sys.stdout.write(f"Storage connection {found.id} is removed. Its objects stay where they are.\n")


def _warn(notes: Iterable[str]) -> None:
    sys.stderr.writelines(f"Warning: {note}\n" for note in notes)
