"""Encrypts the credentials in storage_connections, and rotates the keys."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.tables import storage_connections
from storage.connections import ProviderConfigurationError
from storage.credentials import CredentialsCipher, is_encrypted

_TEXT = sa.cast(storage_connections.c.credentials, sa.Text)
_NOTHING = ("", "null", "{}")


@dataclass(frozen=True)
class Rewritten:
    """How many connections got new text, and what is wrong with the others: {connection id: problem}."""

    done: int
    problems: dict[int, str]


def encrypt_all(engine: sa.Engine, cipher: CredentialsCipher) -> Rewritten:
    """Encrypt every connection's credentials that are plain. Raises CredentialsKeyError without a key."""
    return _rewrite(engine, cipher, lambda text: not is_encrypted(text))


def rotate_all(engine: sa.Engine, cipher: CredentialsCipher) -> Rewritten:
    """Encrypt every connection's credentials with the first key; afterwards the others are needed no more."""
    return _rewrite(engine, cipher, is_encrypted)


def _rewrite(engine: sa.Engine, cipher: CredentialsCipher, is_wanted: Callable[[str], bool]) -> Rewritten:
    """Do all in one transaction with its rows locked: a crash half way changes nothing."""
    cipher.encrypt({})  # a missing key is reported before anything is locked
    done, problems = 0, {}
    with write_transaction(engine) as connection:
        query = sa.select(storage_connections.c.id, _TEXT.label("text")).order_by(storage_connections.c.id)
        for row in connection.execute(query.with_for_update()).all():
            text = row.text or ""
            if text.strip() in _NOTHING or not is_wanted(text):
                continue
            try:
                found = cipher.encrypt(cipher.decrypt(text))
            except ProviderConfigurationError as exc:
                problems[row.id] = exc.message
                continue
            update = sa.update(storage_connections).where(storage_connections.c.id == row.id)
            connection.execute(update.values(credentials=found))
            done += 1
    return Rewritten(done, problems)


def encrypt_text(text: str, cipher: CredentialsCipher) -> str:
    """Encrypt credentials in JSON text to the JSON text for the column. Raises ProviderConfigurationError."""
    return json.dumps(cipher.encrypt(cipher.decrypt(text)))
