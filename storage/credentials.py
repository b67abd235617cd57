"""Credentials of storage connections: encrypted in the database, checked field by field, and shown nowhere."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, TypeVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, SecretStr, ValidationError

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


ONE_WORD: Final = "a text without spaces"
Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
"""A field of a provider's credentials that no repr, log or error shows."""


class CredentialsKeyError(Exception):
    """STORAGE_CREDENTIALS_KEY cannot be used; the message says how to fix it."""


class Credentials(BaseModel):
    """The base of each provider's credentials, which are in `storage/<provider>/credentials.py`.

    A field's description says what its value may be: it is shown when a value cannot work.
    """

    one_of: ClassVar[tuple[str, ...]] = ()
    """Fields of which one is needed, the usual one first."""
    # An unknown field is usually a typing mistake; ignoring it could hide a wrong bucket.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)


def parse_credentials(model: type[Model], found: Mapping[str, Any]) -> Model:
    """Return `found` as `model`. Raises ProviderConfigurationError, which names fields and never values."""
    try:
        parsed = model.model_validate(found)
    except ValidationError as exc:
        problems = [_problem(model, error["type"], [str(part) for part in error["loc"]]) for error in exc.errors()]
    else:
        wanted = parsed.one_of if isinstance(parsed, Credentials) else ()
        if not wanted or any(getattr(parsed, name) for name in wanted):
            return parsed
        problems = [f"lack the field {' or '.join(map(repr, wanted))}"]
    # Outside of the except block, so that the error has no cause or context: pydantic's error holds the values.
    raise ProviderConfigurationError(f"The credentials {', and '.join(problems)}.")


def _problem(model: type[BaseModel], kind: str, path: Sequence[str]) -> str:
    # A secret may have been pasted in place of a name: show only what looks like a field's name.
    name = ".".join(path) if all(map(_FIELD_NAME.fullmatch, path)) else "(not shown)"
    if kind == "missing":
        return f"lack the field {name!r}"
    if kind == "extra_forbidden":
        return f"have the unknown field {name!r}"
    allowed = next(
        (info.description for field, info in model.model_fields.items() if name in names_of(model, field)), ""
    )
    return f"have a value in {name!r} that cannot work{f' ({allowed})' if allowed else ''}"


def names_of(model: type[BaseModel], field: str) -> frozenset[str]:
    """Return every name that `field` may have in credentials."""
    alias = model.model_fields[field].validation_alias
    return frozenset(map(str, alias.choices)) if isinstance(alias, AliasChoices) else frozenset({field})


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
        """Make one from the setting: keys separated by commas, the newest first."""
        text = keys.get_secret_value() if keys is not None else ""
        return cls([SecretStr(key.strip()) for key in text.split(",") if key.strip()])

    @property
    def has_key(self) -> bool:
        """True if it can encrypt."""
        return self._fernet is not None

    def decrypt(self, stored: str) -> dict[str, Any]:
        """Return the credentials in the column's text. Raises ProviderConfigurationError, which shows none of them."""
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
        """Return the value for the column. Raises CredentialsKeyError without a key."""
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
    # Outside of the except block, so that the error has no cause or context: the decoder's error holds the text.
    raise ProviderConfigurationError("The credentials are not JSON.")


def is_encrypted(stored: str) -> bool:
    """Return True if the column's text is encrypted credentials."""
    try:
        found = json.loads(stored or "null")
    except ValueError:
        return False
    return isinstance(found, dict) and ENCRYPTED in found
