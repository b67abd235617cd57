"""`thumbnails worker`, `persist` and `retry`: the roles."""

import typer

from service.cli.loading import loading


def worker() -> None:
    """Run the worker: uploads in, stored thumbnails out. Example: WORKER_CONCURRENCY=8 thumbnails worker."""
    with loading():
        from service.roles.worker import run_worker_role  # the role's libraries are not loaded for other commands
        from service.settings import Settings

    raise typer.Exit(run_worker_role(Settings()))


def persist() -> None:
    """Run the persist role: results into the database. Example: DATABASE_URL=postgresql+psycopg://… thumbnails persist."""
    with loading():
        from service.roles.run import run_persist_role
        from service.settings import Settings

    raise typer.Exit(run_persist_role(Settings()))


def retry() -> None:
    """Run the retry role: failed events come back when they are due. Example: thumbnails retry."""
    with loading():
        from service.roles.run import run_retry_role
        from service.settings import Settings

    raise typer.Exit(run_retry_role(Settings()))
