"""`thumbnails sample`: the command. It is hidden, for docker-compose.yml runs it, and people have `demo` and `publish`."""

from typing import Annotated

import typer

from service.cli.loading import loading

EXIT_FAILED = 1


def sample(
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait for the thumbnail.")] = 120.0,
) -> None:
    """Give an installation without companies a company `sample` with one small video, and print its thumbnail's URL.

    Safe to repeat. Example: thumbnails sample.
    """
    with loading():
        from service.demo.sample import SampleError, show_sample
        from service.settings import Settings

    try:
        url = show_sample(Settings(), timeout_s=timeout_s)
    except SampleError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(EXIT_FAILED) from exc
    typer.echo(url or "No sample is made, for the database has companies already.")
