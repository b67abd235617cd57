"""The credentials of a Google Cloud Storage connection."""

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr

from storage.credentials import Credentials

GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GOOGLE_URL = "https://storage.googleapis.com"
_NEEDED = ("client_email", "private_key")


def _as_text(value: object) -> object:
    """A key file may stand in the credentials as an object, or as the text of the file."""
    found = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except ValueError:
            raise ValueError("no JSON") from None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in _NEEDED):
        raise ValueError("no key file")
    return json.dumps(found)


class GcsCredentials(Credentials):
    """A bucket, and the key of a service account that may read, write, delete and list its objects."""

    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$",
        description="lower-case letters, digits, dots, hyphens or underscores",
    )
    service_account: Annotated[SecretStr, BeforeValidator(_as_text)] = Field(
        description="the JSON key file of a service account"
    )
    endpoint: str | None = None
    storage_class: str | None = Field(
        None, pattern=r"^[A-Z][A-Z0-9_-]{0,63}$", description="a storage class of Google's, such as NEARLINE"
    )
    ca_pem: str | None = None
    public_base_url: str | None = None

    @property
    def endpoint_url(self) -> str:
        """Return the endpoint, without a slash at its end."""
        return (self.endpoint or GOOGLE_URL).rstrip("/")

    @property
    def key_file(self) -> dict[str, Any]:
        """Return the fields of the key file that are used; a tenant's file decides about nothing else."""
        found = json.loads(self.service_account.get_secret_value())
        wanted = (*_NEEDED, "private_key_id", "token_uri")
        return {"token_uri": GOOGLE_TOKEN_URL} | {name: str(found[name]) for name in wanted if found.get(name)}
