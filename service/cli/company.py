"""`thumbnails company …`: add and list the companies whose uploads get thumbnails."""

import json
import sys
from typing import Annotated

import typer

from service.cli.loading import loading

company_app = typer.Typer(
    no_args_is_help=True,
    help="Add and list companies.\n\nWhere a platform owns the table of companies, let it add them: these commands only"
    " insert rows, and fill no column of the platform's own.",
)


@company_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the company.")],
    slug: Annotated[str | None, typer.Option(help="Short unique name; without it, it is made of NAME.")] = None,
    storage_path: Annotated[
        str | None, typer.Option(help="Folder in the storage that all its keys begin with; without it, the slug.")
    ] = None,
    connection: Annotated[
        int | None, typer.Option(help="Id of its storage connection; without it, local storage.")
    ] = None,
) -> None:
    """Add a company. Example: thumbnails company add "Acme Studios" --slug acme."""
    with loading():
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.rows import add_company
        from service.tenants.values import new_company

    company = new_company(name, slug, storage_path, connection)
    with bootstrap.open_engine(Settings()) as engine:
        company_id = add_company(engine, company)
    place = "local storage" if connection is None else f"storage connection {connection}"
    sys.stdout.write(f"Company {company_id} is added: its keys begin with {company.prefix}/ in {place}.\n")


@company_app.command("list")
def list_all(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")] = False,
) -> None:
    """List the companies. Example: thumbnails company list --json."""
    with loading():
        from service.cli.text_table import aligned
        from service.roles import build as bootstrap
        from service.settings import Settings
        from service.tenants.rows import list_companies

    with bootstrap.open_engine(Settings()) as engine:
        rows = list_companies(engine)
    if as_json:
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return
    if not rows:
        sys.stdout.write("No company exists: `thumbnails company add NAME` adds one.\n")
        return
    shown = [
        (
            str(row["id"]),
            row["slug"],
            "yes" if row["is_active"] else "no",
            (row["storage_path"] or "").strip("/") or row["slug"],
            _storage_of(row),
            row["name"],
        )
        for row in rows
    ]
    sys.stdout.write(aligned(("id", "slug", "active", "folder", "storage", "name"), shown))


def _storage_of(row: dict[str, object]) -> str:
    if row["storage_connection_id"] is None:
        return "local"
    return f"{row['storage_connection_id']} ({row['provider'] or 'missing'})"
