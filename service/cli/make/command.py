"""The options of `thumbnails make`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli.loading import loading
from service.exits import EXIT_USAGE, fail


def make(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="Videos and pictures, folders with all that is below them, quoted patterns such as 'in/**/*.mp4', or -"
            " for standard input.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the thumbnails; those of a folder keep its subfolders.")
    ],
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES", help="320x240 or NAME:320x240:fill:jpeg:84, with commas; else THUMBNAIL_RENDITIONS."
        ),
    ] = None,
    format_name: Annotated[
        Literal["webp", "jpeg", "avif"] | None, typer.Option("--format", help="Else THUMBNAIL_FORMAT.")
    ] = None,
    quality: Annotated[int | None, typer.Option(min=1, max=100, help="Else THUMBNAIL_QUALITY.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Pass over files whose thumbnails are there already, and newer.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page that shows all thumbnails.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
) -> None:
    """Make thumbnails of local files, without Kafka. Example: thumbnails make holiday/ --out thumbs --sheet thumbs.html."""
    with loading():
        from service.cli.make.decoding import decoding_of
        from service.cli.make.run import Output, make_files

    if sheet is not None and sheet.suffix.lower() not in (".html", ".htm"):
        fail(f"{sheet}: --sheet writes a page: give a name that ends in .html.", EXIT_USAGE)
    decoding = decoding_of(sizes and ",".join(map(_named, sizes.split(","))), format_name, quality)
    raise typer.Exit(make_files(files, Output(out, sheet, as_json=as_json, resume=resume), decoding))


def _named(size: str) -> str:
    """Return a rendition with a name: 320x240 is its own."""
    size = size.strip()
    return f"{size.partition(':')[0]}:{size}" if size[:1].isdigit() and "x" in size.partition(":")[0] else size
