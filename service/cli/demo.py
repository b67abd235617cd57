"""`thumbnails demo`, and `thumbnails sample`, which is hidden: docker-compose.yml runs it."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.loading import loading
from service.exits import fail


def demo(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Your own files; without any, the demo makes some.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that keeps the contact sheet and the thumbnails.")] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Show the result in a browser.")] = True,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running, with the web page, until Ctrl-C.")
    ] = False,
    providers: Annotated[
        str,
        typer.Option(
            "--providers",
            "--provider",
            help="Where the companies keep their files: local; in a checkout minio, yandex or all, too.",
        ),
    ] = "local",
) -> None:
    """Watch files travel through the whole pipeline. Example: thumbnails demo holiday.mp4 photo.jpg --keep."""
    from service.demo.run import DemoOptions, run_demo

    raise typer.Exit(run_demo(paths or [], DemoOptions(out, open_browser, providers, keep)))


def sample(
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait for the thumbnail.")] = 120.0,
    credentials: Annotated[
        str | None,
        typer.Option(help="Credentials of an S3 for the sample's files, as JSON: - is standard input, @FILE a file."),
    ] = None,
) -> None:
    """Give an installation without companies a company `sample` with one small video, and print its thumbnail's URL.

    Safe to repeat. Example: thumbnails sample.
    """
    with loading():
        from service.demo.sample import SampleError, show_sample
        from service.settings import Settings
        from service.tenants.provider_options import read_credentials

    s3_credentials = None if credentials is None else read_credentials(credentials, "minio")
    try:
        url = show_sample(Settings(), timeout_s=timeout_s, s3_credentials=s3_credentials)
    except SampleError as exc:
        fail(str(exc))
    typer.echo(url or "No sample is made: the database has companies already, or a platform adds them.")
