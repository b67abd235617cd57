"""The options of storage providers, which `thumbnails storage add` and `set` share."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

_S3: Final = "S3"
_AZURE: Final = "Azure Blob Storage"
_GCS: Final = "Google Cloud Storage"
_DISK: Final = "Yandex Disk"
_SEVERAL: Final = "Several providers"

Given = dict[str, str | None]
"""Fields of credentials and what their options say; None is an option that was not given."""
Option = str | None

Endpoint = Annotated[
    Option,
    typer.Option(
        metavar="URL", help="Of the server; without it, Amazon's, Azure's or Google's.", rich_help_panel=_SEVERAL
    ),
]
Bucket = Annotated[
    Option, typer.Option(help="Name of the bucket, in S3 or Google; it is not made.", rich_help_panel=_SEVERAL)
]
StorageClass = Annotated[
    Option,
    typer.Option(
        help="Of thumbnails in S3 or Google, such as STANDARD_IA; without it, the bucket's.", rich_help_panel=_SEVERAL
    ),
]
CaFile = Annotated[
    Option,
    typer.Option(metavar="FILE", help="Authority to trust beside the usual ones, PEM.", rich_help_panel=_SEVERAL),
]
PublicUrl = Annotated[
    Option,
    typer.Option(metavar="URL", help="What thumbnail URLs begin with, such as a CDN's.", rich_help_panel=_SEVERAL),
]
AccessKey = Annotated[Option, typer.Option(metavar="KEY|-|@FILE", help="Access key.", rich_help_panel=_S3)]
SecretKey = Annotated[Option, typer.Option(metavar="-|@FILE", help="Where the secret key is.", rich_help_panel=_S3)]
SessionToken = Annotated[
    Option, typer.Option(metavar="-|@FILE", help="Where the token of temporary keys is.", rich_help_panel=_S3)
]
Region = Annotated[Option, typer.Option(help="Region; without it, us-east-1.", rich_help_panel=_S3)]
Addressing = Annotated[Option, typer.Option(help="auto, path or virtual.", rich_help_panel=_S3)]
Acl = Annotated[
    Option, typer.Option(help="Of thumbnails, such as public-read; many buckets take none.", rich_help_panel=_S3)
]
Account = Annotated[Option, typer.Option(help="Name of the storage account.", rich_help_panel=_AZURE)]
Container = Annotated[Option, typer.Option(help="Name of the container; it is not made.", rich_help_panel=_AZURE)]
AccountKey = Annotated[
    Option, typer.Option(metavar="-|@FILE", help="Where a key of the account is.", rich_help_panel=_AZURE)
]
SasToken = Annotated[
    Option, typer.Option(metavar="-|@FILE", help="Where a SAS token is, instead of a key.", rich_help_panel=_AZURE)
]
ServiceAccount = Annotated[
    Option, typer.Option(metavar="-|@FILE", help="Where the JSON key of a service account is.", rich_help_panel=_GCS)
]
Token = Annotated[Option, typer.Option(metavar="-|@FILE", help="Where the OAuth token is.", rich_help_panel=_DISK)]
Root = Annotated[Option, typer.Option(help="disk:/ or app:/.", rich_help_panel=_DISK)]
Credentials = Annotated[
    Option,
    typer.Option(
        metavar="-|@FILE", help="Where all of it is as JSON, instead of the options below: standard input, or a file."
    ),
]
Test = Annotated[
    bool,
    typer.Option("--test/--no-test", help="First write, read, list and delete a probe, and ask for its URL."),
]


def fields_of(
    bucket: Bucket = None,
    access_key: AccessKey = None,
    secret_key: SecretKey = None,
    session_token: SessionToken = None,
    region: Region = None,
    addressing: Addressing = None,
    acl: Acl = None,
    account: Account = None,
    container: Container = None,
    account_key: AccountKey = None,
    sas_token: SasToken = None,
    service_account: ServiceAccount = None,
    token: Token = None,
    root: Root = None,
    endpoint: Endpoint = None,
    storage_class: StorageClass = None,
    ca_file: CaFile = None,
    public_url: PublicUrl = None,
) -> Given:
    """Return what the options say, by the names of the credentials' fields."""
    found = dict(locals())
    return {_FIELDS.get(name, name): value for name, value in found.items()}


_FIELDS: Final = {"ca_file": "ca_pem", "public_url": "public_base_url"}
"""The fields of options that have another name. All others have their field's."""


def with_provider_options(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options of fields_of in place of its parameter `given`, which is what they say."""
    options = inspect.signature(fields_of).parameters
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for own in inspect.signature(command).parameters.values()
        for parameter in (options.values() if own.name == "given" else (own,))
    ]

    @functools.wraps(command)
    def run(**all_of_them: Any) -> None:
        given = fields_of(**{name: all_of_them.pop(name) for name in options})
        command(given=given, **all_of_them)

    # Typer reads both, and neither would know of the options.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # functions take any attribute
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
