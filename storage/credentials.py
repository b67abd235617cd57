"""Credentials of storage connections: encrypted in the database, checked field by field, and never told to anybody."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from storage.connections import ProviderConfigurationError

ENCRYPTED: Final = "encrypted"
"""The one field of credentials that are encrypted: {"encrypted": "<Fernet token>"}."""

_FIELD_NAME: Final = re.compile("[a-z][a-z_]{0,30}")

Model = TypeVar("Model", bound=BaseModel)


def _check_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError("empty, or with a space or a control character")
    return value


_Secret = Annotated[SecretStr, AfterValidator(_check_secret)]


class CredentialsKeyError(Exception):
    """STORAGE_CREDENTIALS_KEY cannot be used; the message says how to mend it."""


class _Credentials(BaseModel):
    # An unknown field is a typing mistake as a rule: a bucket of the wrong name must not be taken silently.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)


class MinioCredentials(_Credentials):
    """Any S3. Without an endpoint it is Amazon's own."""

    endpoint: str | None = Field(None, validation_alias=AliasChoices("endpoint", "endpoint_url"))
    bucket: str = Field(validation_alias=AliasChoices("bucket", "bucket_name"), pattern=r"^[A-Za-z0-9._-]{3,63}$")
    access_key: _Secret = Field(validation_alias=AliasChoices("access_key", "access_key_id"))
    secret_key: _Secret = Field(validation_alias=AliasChoices("secret_key", "secret_access_key"))
    session_token: _Secret | None = None
    region: str = Field("us-east-1", pattern=r"^[A-Za-z0-9-]{1,64}$")
    secure: bool = Field(True, description="Whether an endpoint without a scheme means https.")
    addressing: Literal["auto", "path", "virtual"] = "auto"
    ca_pem: str | None = None
    sse: Literal["AES256", "aws:kms"] | None = None
    sse_kms_key_id: str | None = None
    public_base_url: str | None = None

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint with its scheme."""
        if not self.endpoint or "://" in self.endpoint:
            return self.endpoint or None
        return f"{'https' if self.secure else 'http'}://{self.endpoint}"


class YandexDiskCredentials(_Credentials):
    """A Yandex Disk. `root` app:/ is the application's own folder."""

    token: _Secret = Field(validation_alias=AliasChoices("token", "oauth_token"))
    root: Literal["disk:/", "app:/"] = "disk:/"
    public_base_url: str | None = None


def parse_credentials(model: type[Model], found: Mapping[str, Any]) -> Model:
    """`found` as `model`. Raises ProviderConfigurationError, which names fields and never values."""
    try:
        return model.model_validate(found)
    except ValidationError as exc:
        problems = [_problem(error["type"], [str(part) for part in error["loc"]]) for error in exc.errors()]
    # Out here, so that neither cause nor context is there: pydantic's own error keeps the values.
    raise ProviderConfigurationError(f"The credentials {', and '.join(problems)}.")


def _problem(kind: str, path: Sequence[str]) -> str:
    # Somebody may have pasted a secret in the place of a name: only what looks like a field's name is told.
    name = ".".join(path) if all(map(_FIELD_NAME.fullmatch, path)) else "(not shown)"
    if kind == "missing":
        return f"lack the field {name!r}"
    if kind == "extra_forbidden":
        return f"have the unknown field {name!r}"
    return f"have a value in {name!r} that cannot work"


class CredentialsCipher:
    """Encrypts with the first key, decrypts with any; with no key it reads plain credentials only."""

    def __init__(self, keys: Sequence[SecretStr] = ()) -> None:
        """Raises CredentialsKeyError for a key that is not one of Fernet's."""
        try:
            fernets = [Fernet(key.get_secret_value().encode()) for key in keys]
        except ValueError:
            raise CredentialsKeyError(
                "STORAGE_CREDENTIALS_KEY holds no Fernet key; `thumbnails credentials key` makes one."
            ) from None
        self._fernet: Final = MultiFernet(fernets) if fernets else None

    @classmethod
    def of(cls, keys: SecretStr | None) -> "CredentialsCipher":
        """From the setting: keys separated by commas, the newest first."""
        text = keys.get_secret_value() if keys is not None else ""
        return cls([SecretStr(key.strip()) for key in text.split(",") if key.strip()])

    @property
    def has_key(self) -> bool:
        """Whether it can encrypt."""
        return self._fernet is not None

    def decrypt(self, stored: str) -> dict[str, Any]:
        """The credentials in the column's text. Raises ProviderConfigurationError without a word of them."""
        found = _read_json(stored or "{}")
        found = _read_json(found) if isinstance(found, str) else found  # a JSON column that was filled with text
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise ProviderConfigurationError("The credentials are not a JSON object.")
        return self._decrypt_token(found[ENCRYPTED]) if ENCRYPTED in found else found

    def _decrypt_token(self, token: object) -> dict[str, Any]:
        if self._fernet is None:
            raise ProviderConfigurationError("The credentials are encrypted, but STORAGE_CREDENTIALS_KEY is not set.")
        try:
            text = self._fernet.decrypt(str(token).encode(errors="replace"))
        except InvalidToken:
            raise ProviderConfigurationError("No key in STORAGE_CREDENTIALS_KEY decrypts the credentials.") from None
        found = _read_json(text)
        if not isinstance(found, dict):
            raise ProviderConfigurationError("The credentials are not a JSON object.")
        return found

    def encrypt(self, credentials: Mapping[str, Any]) -> dict[str, str]:
        """What belongs into the column. Raises CredentialsKeyError without a key."""
        if self._fernet is None:
            raise CredentialsKeyError(
                "STORAGE_CREDENTIALS_KEY is not set; `thumbnails credentials key` makes a key for it."
            )
        return {ENCRYPTED: self._fernet.encrypt(json.dumps(credentials, ensure_ascii=False).encode()).decode()}


def _read_json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    # Out here, so that neither cause nor context is there: the decoder's own error keeps the text.
    raise ProviderConfigurationError("The credentials are not JSON.")


def is_encrypted(stored: str) -> bool:
    """Whether the column's text is encrypted credentials."""
    try:
        found = json.loads(stored or "null")
    except ValueError:
        return False
    return isinstance(found, dict) and ENCRYPTED in found
