"""Credentials: encrypted and back, errors that never quote them, keys rotated in the database."""

import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from pydantic import SecretStr

from schemas.database import create_engine_for
from schemas.migrations import upgrade
from schemas.tables import storage_connections
from service.credentials import encrypt_all, rotate_all
from storage.connections import LocalStorageSettings, ProviderConfigurationError, StorageConnection
from storage.credentials import (
    CredentialsCipher,
    CredentialsKeyError,
    is_encrypted,
    parse_credentials,
)
from storage.factory import ProviderSettings, get_provider
from storage.s3.credentials import MinioCredentials

SECRET = "s3cr3t-k3y-of-a-t3nant"  # noqa: S105 - the tests look for it in messages
KEY, OTHER_KEY = (SecretStr(Fernet.generate_key().decode()) for _ in range(2))
MINIO = {"endpoint": "https://s3.example", "bucket": "bucket", "access_key": "a", "secret_key": SECRET}


def test_what_was_encrypted_is_read_again() -> None:
    cipher = CredentialsCipher([KEY])
    stored = json.dumps(cipher.encrypt(MINIO))
    assert SECRET not in stored
    assert is_encrypted(stored)
    assert cipher.decrypt(stored) == MINIO


def test_plain_credentials_are_read_with_and_without_a_key() -> None:
    for cipher in (CredentialsCipher(), CredentialsCipher([KEY])):
        assert cipher.decrypt(json.dumps(MINIO)) == MINIO
        assert cipher.decrypt(json.dumps(json.dumps(MINIO))) == MINIO, "a JSON column that holds text"
        assert cipher.decrypt("") == cipher.decrypt("null") == {}


def test_with_two_keys_the_old_one_still_decrypts_and_the_new_one_encrypts() -> None:
    old, both, new = CredentialsCipher([KEY]), CredentialsCipher([OTHER_KEY, KEY]), CredentialsCipher([OTHER_KEY])
    assert both.decrypt(json.dumps(old.encrypt(MINIO))) == MINIO
    assert new.decrypt(json.dumps(both.encrypt(MINIO))) == MINIO


def test_keys_come_from_one_setting_separated_by_commas() -> None:
    setting = SecretStr(f"{OTHER_KEY.get_secret_value()}, {KEY.get_secret_value()},")
    assert CredentialsCipher.of(setting).decrypt(json.dumps(CredentialsCipher([KEY]).encrypt(MINIO))) == MINIO
    assert not CredentialsCipher.of(None).has_key


ENCRYPTED = json.dumps(CredentialsCipher([KEY]).encrypt(MINIO))
BROKEN = {
    "no key": (ENCRYPTED, CredentialsCipher(), "STORAGE_CREDENTIALS_KEY is not set"),
    "another key": (ENCRYPTED, CredentialsCipher([OTHER_KEY]), "No key in STORAGE_CREDENTIALS_KEY"),
    "no token": ('{"encrypted": 5}', CredentialsCipher([KEY]), "No key in STORAGE_CREDENTIALS_KEY"),
    "not JSON": (f'{{"secret_key": "{SECRET}"', CredentialsCipher(), "not JSON"),
    "no object": (f'["{SECRET}"]', CredentialsCipher(), "not a JSON object"),
    "a field too few": (json.dumps({"bucket": "bucket", "secret_key": SECRET}), CredentialsCipher(), "'access_key'"),
    "an unknown field": (json.dumps(MINIO | {"sekret": SECRET}), CredentialsCipher(), "unknown field 'sekret'"),
    "a wrong type": (json.dumps(MINIO | {"secret_key": [SECRET]}), CredentialsCipher(), "'secret_key'"),
    "a secret for a name": (json.dumps(MINIO | {SECRET: "x"}), CredentialsCipher(), "unknown field '\\(not shown\\)'"),
    "an empty secret": (json.dumps(MINIO | {"secret_key": ""}), CredentialsCipher(), "'secret_key'"),
    "a line feed": (json.dumps(MINIO | {"access_key": "a\nb"}), CredentialsCipher(), "'access_key'"),
    "half a character": ('{"encrypted": "\\ud800"}', CredentialsCipher([KEY]), "No key in STORAGE_CREDENTIALS_KEY"),
    "an endless nest": ("[" * 100_000, CredentialsCipher(), "not JSON"),
    "an empty token": ('{"encrypted": null}', CredentialsCipher([KEY]), "No key in STORAGE_CREDENTIALS_KEY"),
    "a bad bucket": (json.dumps(MINIO | {"bucket": SECRET + "/.."}), CredentialsCipher(), "'bucket'"),
    "a bad authority": (json.dumps(MINIO | {"ca_pem": SECRET}), CredentialsCipher(), "not one in PEM form"),
    "another endpoint": (json.dumps(MINIO | {"endpoint": f"http://{SECRET}@x"}), CredentialsCipher(), "https://"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_broken_credentials_are_one_clear_sentence_without_a_secret(
    case: tuple[str, CredentialsCipher, str], tmp_path: Path
) -> None:
    stored, cipher, sentence = case
    connection = StorageConnection(5, "theirs", "minio", stored)
    settings = ProviderSettings(LocalStorageSettings(tmp_path, "http://x"), cipher)
    with pytest.raises(ProviderConfigurationError, match=sentence) as caught:
        get_provider(connection, settings=settings)
    assert caught.value.message.startswith("Storage connection 5 cannot work: ")
    assert SECRET not in told_by(caught.value)
    assert SECRET not in repr((connection, settings))


def told_by(error: BaseException) -> str:
    """All that an error, its causes and contexts say and hold, as text and pickled."""
    found, waiting = [], [error]
    while waiting:
        one = waiting.pop()
        held = {name: value for name, value in vars(one).items() if not name.startswith("__")}
        found += [str(one), repr(one), repr(one.args), repr(held), repr(getattr(one, "doc", ""))]
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
    found.append(repr(pickle.dumps(error.args)))
    return "".join([*found, *traceback.format_exception(error)])


@pytest.mark.parametrize(
    "key", ["junk", "a" * 44, f"{KEY.get_secret_value()},junk"], ids=["junk", "too long", "a key and junk"]
)
def test_what_is_no_key_is_told_without_telling_it(key: str) -> None:
    with pytest.raises(CredentialsKeyError, match="`thumbnails credentials key` makes one") as caught:
        CredentialsCipher.of(SecretStr(key))
    assert key not in str(caught.value)


def test_secrets_are_in_no_repr() -> None:
    assert SECRET not in repr(parse_credentials(MinioCredentials, MINIO))
    assert SECRET not in str(parse_credentials(MinioCredentials, MINIO | {"session_token": SECRET}))


@pytest.mark.parametrize(
    ("found", "url"),
    [
        ({}, "https://s3.example"),
        ({"endpoint": "s3.example:9000"}, "https://s3.example:9000"),
        ({"endpoint": "s3.example:9000", "secure": False}, "http://s3.example:9000"),
        ({"endpoint": None}, None),
    ],
)
def test_an_endpoint_may_be_a_url_or_a_host(found: dict[str, Any], url: str | None) -> None:
    assert parse_credentials(MinioCredentials, MINIO | found).endpoint_url == url


@pytest.fixture
def engine(sqlite_url: str) -> sa.Engine:
    """Three connections: plain, none at all, and no JSON."""
    upgrade(sqlite_url)
    engine = create_engine_for(sqlite_url)
    with engine.begin() as connection:
        for number, text in ((1, json.dumps(MINIO)), (2, "{}"), (3, f"{SECRET} as it is")):
            row = {"id": number, "name": "x", "provider": "minio", "found": text}
            statement = "INSERT INTO storage_connections (id, name, provider, credentials) VALUES (:id, :name, :provider, :found)"
            connection.execute(sa.text(statement), row)
    return engine


def stored(engine: sa.Engine) -> dict[int, str]:
    query = sa.select(storage_connections.c.id, sa.cast(storage_connections.c.credentials, sa.Text))
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def test_every_plain_row_is_encrypted_and_what_cannot_be_read_is_named_and_left(engine: sa.Engine) -> None:
    cipher = CredentialsCipher([KEY])
    result = encrypt_all(engine, cipher)
    assert (result.done, result.problems) == (1, {3: "The credentials are not JSON."})
    assert cipher.decrypt(stored(engine)[1]) == MINIO
    assert stored(engine) | {1: ""} == {1: "", 2: "{}", 3: f"{SECRET} as it is"}
    assert encrypt_all(engine, cipher).done == 0, "what is encrypted stays as it is"


def test_after_a_rotation_the_old_key_is_needed_no_more(engine: sa.Engine) -> None:
    encrypt_all(engine, CredentialsCipher([KEY]))
    assert rotate_all(engine, CredentialsCipher([OTHER_KEY, KEY])).done == 1
    assert CredentialsCipher([OTHER_KEY]).decrypt(stored(engine)[1]) == MINIO


def test_a_rotation_without_the_old_key_changes_nothing_and_names_the_connection(engine: sa.Engine) -> None:
    encrypt_all(engine, CredentialsCipher([KEY]))
    before = stored(engine)
    result = rotate_all(engine, CredentialsCipher([OTHER_KEY]))
    assert (result.done, list(result.problems)) == (0, [1])
    assert stored(engine) == before


def test_nothing_is_encrypted_without_a_key(engine: sa.Engine) -> None:
    before = stored(engine)
    with pytest.raises(CredentialsKeyError, match="not set"):
        encrypt_all(engine, CredentialsCipher())
    assert stored(engine) == before
