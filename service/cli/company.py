"""`thumbnails company …`: add, list, show and change the companies whose uploads get thumbnails."""

import json
import sys
from typing import Annotated, Any

import typer

from service.cli.loading import loading

company_app = typer.Typer(
    no_args_is_help=True,
    help="Add, list, show and change companies.\n\nWhere a platform owns the table of companies, set"
    " TENANT_TABLES_READ_ONLY=true: then nothing is changed here.",
)
Reference = Annotated[
    str, typer.Argument(metavar="ID|SLUG", help="As `list` shows it; a name that one company has will do.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


@company_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the company.")],
    slug: Annotated[str | None, typer.Option(help="Short unique name; without it, it is made of NAME.")] = None,
    storage_path: Annotated[
        str | None, typer.Option(help="Folder in the storage that all its keys begin with; without it, the slug.")
    ] = None,
    connection: Annotated[
        str | None, typer.Option(metavar="ID|NAME", help="Its storage connection; without it, local storage.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a company. Example: thumbnails company add "Acme Studios" --slug acme."""
    with loading():
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.company_rows import add_company, show_company
        from service.tenants.explained import require_writable
        from service.tenants.values import new_company

    settings = Settings()
    require_writable(settings.database)
    company = new_company(name, slug, storage_path, connection)
    with bootstrap.open_engine(settings) as engine:
        row = show_company(engine, add_company(engine, company))
    if as_json:
        _write_json(row)
        return
    sys.stdout.write(f"Company {row['id']} is added: {_place_of(row)}.\n")


@company_app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the companies. Example: thumbnails company list --json."""
    with loading():
        from service.cli.text_table import aligned
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.company_rows import list_companies

    with bootstrap.open_engine(Settings()) as engine:
        rows = list_companies(engine)
    if as_json:
        for row in rows:
            _write_json(row)
        return
    if not rows:
        sys.stderr.write("No company exists: `thumbnails company add NAME` adds one.\n")
        return
    shown = [
        (
            str(row["id"]),
            row["slug"],
            "yes" if row["is_active"] else "no",
            _folder_of(row),
            _storage_of(row),
            row["name"],
        )
        for row in rows
    ]
    sys.stdout.write(aligned(("id", "slug", "active", "folder", "storage", "name"), shown))


@company_app.command()
def show(company: Reference, as_json: AsJson = False) -> None:
    """Show a company, where its objects are, and how many media it has. Example: thumbnails company show acme."""
    with loading():
        from service.cli.text_table import aligned
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.company_rows import show_company
        from service.tenants.references import company_id_of

    with bootstrap.open_engine(Settings()) as engine:
        row = show_company(engine, company_id_of(engine, company))
    if as_json:
        _write_json(row)
        return
    is_off = row["storage_connection_id"] is not None and row["connection_is_active"] is False
    storage = _storage_of(row) + (f", {row['storage_connection']}" if row["storage_connection"] else "")
    shown = [
        ("name", row["name"]),
        ("slug", row["slug"]),
        ("active", "yes" if row["is_active"] else "no: its uploads get no thumbnails"),
        ("storage", storage + (": not active, so that local storage is used" if is_off else "")),
        ("folder", _folder_of(row)),
        *((kind, _counts(found)) for kind, found in row["media"].items()),
    ]
    sys.stdout.write(aligned(("id", str(row["id"])), shown))


@company_app.command("set")
def change(
    company: Reference,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    slug: Annotated[str | None, typer.Option(help="New slug; the folder of its objects stays what it is.")] = None,
    storage_path: Annotated[
        str | None, typer.Option(help='Folder that its keys begin with; "" is the slug. Moves no object.')
    ] = None,
    connection: Annotated[
        str | None,
        typer.Option(metavar="ID|NAME|none", help="Storage connection; none: local storage. Moves no object."),
    ] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Whether its uploads get thumbnails.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Change the folder or the storage of a company that has uploads, too.")
    ] = False,
) -> None:
    """Change a company; what is not given stays. Example: thumbnails company set acme --connection "Acme S3"."""
    with loading():
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.company_rows import CompanyChange, change_company
        from service.tenants.explained import require_writable
        from service.tenants.references import company_id_of
        from service.tenants.values import WrongValueError, checked_folder, checked_name, checked_slug

    settings = Settings()
    require_writable(settings.database)
    wanted = CompanyChange(
        name=None if name is None else checked_name(name),
        slug=None if slug is None else checked_slug(slug),
        storage_path=None if storage_path is None else checked_folder(storage_path, "storage path"),
        connection=connection,
        is_active=active,
        force=force,
    )
    if wanted == CompanyChange(force=force):
        raise WrongValueError("Nothing is to be changed: see `thumbnails company set --help`.")
    with bootstrap.open_engine(settings) as engine:
        row = change_company(engine, company_id_of(engine, company), wanted)
    state = _place_of(row) if row["is_active"] else "its uploads get no thumbnails"
    sys.stdout.write(
        f"Company {row['id']} is changed: {state}. Workers know it within {settings.storage.tenant_cache_s:g} s.\n"
    )


def _write_json(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def _folder_of(row: dict[str, Any]) -> str:
    from service.tenants.values import company_prefix

    return company_prefix(row["storage_path"], row["slug"])


def _place_of(row: dict[str, Any]) -> str:
    connection_id = row["storage_connection_id"]
    place = "local storage" if connection_id is None else f"storage connection {connection_id}"
    return f"its keys begin with {_folder_of(row)}/ in {place}"


def _storage_of(row: dict[str, Any]) -> str:
    if row["storage_connection_id"] is None:
        return "local"
    return f"{row['storage_connection_id']} ({row['provider'] or 'missing'})"


def _counts(found: dict[str, int]) -> str:
    total = sum(found.values())
    parts = ", ".join(f"{count} {status}" for status, count in found.items())
    return f"{total} ({parts})" if total else "0"
