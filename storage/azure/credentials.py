"""The credentials of an Azure Blob Storage connection."""

import base64
import binascii
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from storage.credentials import ONE_WORD, Credentials, Secret


def _check_base64(value: SecretStr) -> SecretStr:
    try:
        base64.b64decode(value.get_secret_value(), validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
    return value


class AzureCredentials(Credentials):
    """A container of a storage account, and a key of the account or a shared access signature (SAS) to it."""

    one_of: ClassVar[tuple[str, ...]] = ("account_key", "sas_token")

    account: str = Field(pattern=r"^[a-z0-9]{3,24}$", description="3 to 24 lower-case letters or digits")
    container: str = Field(
        pattern=r"^(\$root|\$web|[a-z0-9](-?[a-z0-9]){2,62})$",
        description="3 to 63 lower-case letters, digits or single hyphens",
    )
    account_key: Annotated[Secret, AfterValidator(_check_base64)] | None = Field(
        None, description="the key as Azure shows it, in base64"
    )
    sas_token: Secret | None = Field(None, description=ONE_WORD)
    endpoint: str | None = None
    ca_pem: str | None = None
    public_base_url: str | None = None

    @property
    def account_url(self) -> str:
        """Return the URL of the account's blobs."""
        return (self.endpoint or f"https://{self.account}.blob.core.windows.net").rstrip("/")
