"""`thumbnails db upgrade`: the database's tables."""

import sys

import typer

from service.cli.loading import loading

db_app = typer.Typer(no_args_is_help=True, help="Prepare the database.")


@db_app.command("upgrade")
def upgrade_tables() -> None:
    """Bring the database's tables up to date. Safe to repeat. Example: thumbnails db upgrade."""
    with loading():
        from schemas.migrations import upgrade
        from service.settings import Settings

    settings = Settings()
    upgrade(settings.database.database_url)
    sys.stdout.write("The database is up to date.\n")
