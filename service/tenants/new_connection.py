"""Makes a storage connection of what an operator gives, and proves it by use before it becomes a row."""

from dataclasses import replace

from schemas.errors import ThumbnailError
from service.credentials import encrypt_text
from service.tenants.checks import prove_connection
from service.tenants.provider_options import WITHOUT_CREDENTIALS
from service.tenants.values import RowError, checked_folder, checked_name
from storage.connections import ProviderConfigurationError, StorageConnection
from storage.factory import ProviderSettings, get_provider


def new_connection(
    name: str, provider: str, credentials: str, base_path: str, settings: ProviderSettings
) -> StorageConnection:
    """Return the connection with its credentials encrypted. Raises WrongValueError, RowError, CredentialsKeyError."""
    path = checked_folder(base_path, "base path")
    return with_credentials(StorageConnection(0, checked_name(name), provider, "{}", path), credentials, settings)


def with_credentials(connection: StorageConnection, credentials: str, settings: ProviderSettings) -> StorageConnection:
    """Return the connection with these credentials, encrypted, when a provider can be made of them.

    Raises RowError, CredentialsKeyError.
    """
    try:
        text = "{}" if connection.provider in WITHOUT_CREDENTIALS else encrypt_text(credentials, settings.cipher)
        changed = replace(connection, credentials=text)
        get_provider(changed, settings=settings).close()
    except ProviderConfigurationError as exc:
        # The cause speaks of the values; its wrapper of the id of a row, and a new one has none yet.
        cause = exc.__cause__ if isinstance(exc.__cause__, ThumbnailError) else exc
        raise RowError(f"The storage connection cannot work: {cause.message}") from exc
    return changed


def prove(connection: StorageConnection, settings: ProviderSettings, *, not_done: str) -> tuple[str, ...]:
    """Return the warning and the remarks about a connection that works; see `prove_by_use`. Raises RowError.

    `not_done` says what was not done with a connection that does not work: added, changed.
    """
    proof = prove_connection(connection, settings)
    if proof.problem is not None:
        raise RowError(
            f"The storage connection was tested and not {not_done}: {proof.problem} (--no-test leaves the test out.)"
        )
    return proof.notes
