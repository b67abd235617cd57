"""`thumbnails credentials …`: keys, encryption and rotation of the tenants' storage credentials."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.credentials import Rewritten

credentials_app = typer.Typer(no_args_is_help=True, help="Encrypt the credentials of storage connections.")


@credentials_app.command()
def key() -> None:
    """Print a new key for STORAGE_CREDENTIALS_KEY. Example: export STORAGE_CREDENTIALS_KEY=$(thumbnails credentials key)."""
    from cryptography.fernet import Fernet  # loaded where it is needed, as all libraries of single commands

    sys.stdout.write(Fernet.generate_key().decode() + "\n")


@credentials_app.command()
def encrypt(
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read credentials as JSON, print what belongs into the column.")
    ] = False,
) -> None:
    """Encrypt every plain storage_connections.credentials in the database. Example: thumbnails credentials encrypt."""
    from service.credentials import encrypt_all, encrypt_text
    from service.roles import build as bootstrap
    from service.settings import Settings
    from service.tenants.explained import require_writable
    from storage.credentials import CredentialsCipher

    settings = Settings()
    cipher = CredentialsCipher.of(settings.connections.storage_credentials_key)
    if stdin:
        sys.stdout.write(encrypt_text(sys.stdin.read(), cipher) + "\n")
        return
    require_writable(settings.database)
    engine = bootstrap.build_engine(settings)
    _tell(encrypt_all(engine, cipher), "encrypted")


@credentials_app.command()
def rotate() -> None:
    """Encrypt everything with the first of STORAGE_CREDENTIALS_KEY=NEW,OLD. Example: thumbnails credentials rotate."""
    from service.credentials import rotate_all
    from service.roles import build as bootstrap
    from service.settings import Settings
    from service.tenants.explained import require_writable
    from storage.credentials import CredentialsCipher

    settings = Settings()
    cipher = CredentialsCipher.of(settings.connections.storage_credentials_key)
    require_writable(settings.database)
    _tell(rotate_all(bootstrap.build_engine(settings), cipher), "encrypted with the first key")


def _tell(result: "Rewritten", what: str) -> None:
    sys.stdout.write(f"{result.done} connections {what}.\n")
    for number, problem in result.problems.items():
        sys.stdout.write(f"Storage connection {number} is left as it was: {problem}\n")
    raise typer.Exit(1 if result.problems else 0)
