"""The options of storage providers, which `thumbnails storage add` and `set` share."""

from typing import Annotated, Final

import typer

_S3: Final = "S3"
_DISK: Final = "Yandex Disk"
_BOTH: Final = "S3 and Yandex Disk"

Endpoint = Annotated[
    str | None, typer.Option(metavar="URL", help="Of the server; without it, Amazon's.", rich_help_panel=_S3)
]
Bucket = Annotated[str | None, typer.Option(help="Name of the bucket; it is not made.", rich_help_panel=_S3)]
AccessKey = Annotated[str | None, typer.Option(metavar="KEY|-|@FILE", help="Access key.", rich_help_panel=_S3)]
SecretKey = Annotated[str | None, typer.Option(metavar="-|@FILE", help="Where the secret key is.", rich_help_panel=_S3)]
SessionToken = Annotated[
    str | None, typer.Option(metavar="-|@FILE", help="Where the token of temporary keys is.", rich_help_panel=_S3)
]
Region = Annotated[str | None, typer.Option(help="Region; without it, us-east-1.", rich_help_panel=_S3)]
Addressing = Annotated[str | None, typer.Option(help="auto, path or virtual.", rich_help_panel=_S3)]
CaFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Authority to trust beside the usual ones, PEM.", rich_help_panel=_S3)
]
Token = Annotated[str | None, typer.Option(metavar="-|@FILE", help="Where the OAuth token is.", rich_help_panel=_DISK)]
Root = Annotated[str | None, typer.Option(help="disk:/ or app:/.", rich_help_panel=_DISK)]
PublicUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="What thumbnail URLs begin with, such as a CDN's.", rich_help_panel=_BOTH),
]
Credentials = Annotated[
    str | None,
    typer.Option(
        metavar="-|@FILE", help="Where all of it is as JSON, instead of the options below: standard input, or a file."
    ),
]
Test = Annotated[
    bool,
    typer.Option("--test/--no-test", help="First write, read, list and delete a probe, and ask for its URL."),
]
