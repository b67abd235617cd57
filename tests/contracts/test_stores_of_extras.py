"""What Azure and Google do besides the contract: pinned reads of large objects, proofs, refusals, and where they may connect to."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.base import StorageProvider
from storage.connections import LocalStorageSettings, ProviderConfigurationError, StorageConnection
from storage.factory import ProviderSettings, get_provider
from tests.contracts.conftest import LOOPBACK, a_gcs, an_azure_blob, by_its_row
from tests.contracts.objects import put
from tests.doubles.scripted_s3 import Asked, Reply, ScriptedS3
from tests.servers.azure.azurite import AzureServer
from tests.servers.gcs import double as gcs_double
from tests.servers.gcs.double import GcsDouble
from tests.servers.gcs.login import GoogleLogin

LARGE = bytes(range(256)) * 2400
KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


@pytest.fixture(params=["azure_blob", "gcs"])
def store(request: pytest.FixtureRequest) -> Iterator[StorageProvider]:
    made: StorageProvider = request.getfixturevalue(request.param)
    yield made
    made.close()


def test_beyond_what_opening_brought_a_replaced_object_is_unreadable_and_a_deleted_one_absent(
    store: StorageProvider,
) -> None:
    put(store, "acme/a", LARGE)
    with store.open_source("acme/a") as source:
        assert source.read_at(500_000, 10) == LARGE[500_000:500_010]
        put(store, "acme/a", bytes(reversed(LARGE)))
        with pytest.raises(TransientError) as caught:
            source.read_at(500_000, 10)
        assert caught.value.code is ErrorCode.SOURCE_UNREADABLE
        store.delete_file("acme/a")
        with pytest.raises(ObjectNotFoundError):
            source.read_at(500_000, 10)


@pytest.mark.parametrize("provider", ["azure_blob", "gcs"])
def test_a_missing_container_or_bucket_is_no_absence(
    provider: str, azure_server: AzureServer, gcs_server: GcsDouble
) -> None:
    store = an_azure_blob(azure_server, "none", "") if provider == "azure_blob" else a_gcs(gcs_server, "none", "")
    for call in (store.open_source, store.file_exists, store.delete_file, lambda key: list(store.list_files(key))):
        with pytest.raises(PermanentError, match="does not exist") as caught:
            call("acme/a")
        assert caught.value.code is ErrorCode.STORAGE_DENIED
    store.close()


@pytest.mark.parametrize("provider", ["azure_blob", "gcs"])
def test_a_wrong_key_is_denied_and_shown_nowhere(
    provider: str, azure_server: AzureServer, gcs_server: GcsDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    if provider == "azure_blob":
        secret = KEY
        found = {"account": "localaccount", "container": "none", "account_key": KEY}
        store = by_its_row(provider, found | {"endpoint": azure_server.account_url}, "")
    else:
        with GoogleLogin() as login:
            another = login.key_file | {"token_uri": gcs_server.login.url}
        secret = another["private_key"][40:80]
        found = gcs_server.credentials | {"bucket": "bucket", "service_account": json.dumps(another)}
        store = by_its_row(provider, found, "")
    with pytest.raises(PermanentError, match="key") as caught:
        store.open_source("acme/a")
    assert caught.value.code is ErrorCode.STORAGE_DENIED
    assert secret not in caplog.text + str(caught.value) + repr(store.__dict__)
    store.close()


def test_an_upload_that_azure_does_not_confirm_is_taken_away() -> None:
    def answer(asked: Asked) -> Reply:
        other = {"ETag": '"0x1"', "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
        return Reply(201, b"", other) if asked.method == "PUT" else Reply(202)

    with ScriptedS3(answer) as server:
        store = scripted_azure(server)
        with pytest.raises(TransientError) as caught:
            put(store, "acme/a")
        store.close()
    assert caught.value.code is ErrorCode.UPLOAD_UNVERIFIED
    assert [asked.method for asked in server.asked] == ["PUT", "DELETE"]


def test_an_upload_that_google_does_not_confirm_is_taken_away(
    gcs_server: GcsDouble, gcs_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = gcs_double.Kept.described
    monkeypatch.setattr(gcs_double.Kept, "described", lambda kept, name: described(kept, name) | {"md5Hash": "AAAA"})
    store = a_gcs(gcs_server, gcs_bucket, "")
    with pytest.raises(TransientError) as caught:
        put(store, "acme/a")
    store.close()
    assert caught.value.code is ErrorCode.UPLOAD_UNVERIFIED
    assert gcs_server.buckets[gcs_bucket] == {}


@pytest.mark.parametrize("length", [1 << 40, None])
def test_an_answer_of_azure_that_is_too_long_is_not_read(length: int | None) -> None:
    headers = {"ETag": '"0x1"', "Content-Range": "bytes 0-9/10"}
    with ScriptedS3(lambda _: Reply(206, b"0123456789", headers, length=length, endless=True)) as server:
        store = scripted_azure(server)
        for _ in range(12):  # more than there are connections
            with pytest.raises(TransientError, match="more than was asked for"):
                store.open_source("acme/a")
        store.close()


AZURE_REFUSALS: list[tuple[int, str, ErrorCode]] = [
    (503, "ServerBusy", ErrorCode.STORAGE_RATE_LIMITED),
    (500, "InternalError", ErrorCode.STORAGE_UNAVAILABLE),
    (409, "AccountCapacityExceeded", ErrorCode.STORAGE_FULL),
    (412, "LeaseIdMissing", ErrorCode.STORAGE_LOCKED),
    (403, "AuthenticationFailed", ErrorCode.STORAGE_DENIED),
    (400, "Md5Mismatch", ErrorCode.UPLOAD_UNVERIFIED),
    (400, "OutOfRangeInput", ErrorCode.STORAGE_BAD_KEY),
    (302, "", ErrorCode.STORAGE_DENIED),
    (501, "", ErrorCode.STORAGE_DENIED),
]


@pytest.mark.parametrize(("status", "code", "ours"), AZURE_REFUSALS)
def test_each_refusal_of_azure_is_one_of_our_errors(status: int, code: str, ours: ErrorCode) -> None:
    headers = {"x-ms-error-code": code, "Retry-After": "7"} if code else {"Location": "http://127.0.0.1:1/"}
    with ScriptedS3(lambda _: Reply(status, b"", headers)) as server:
        store = scripted_azure(server)
        with pytest.raises(ThumbnailError) as caught:
            put(store, "acme/a")
        store.close()
    assert caught.value.code is ours
    assert len(server.asked) == 1, "nothing is tried again here"
    waits = isinstance(caught.value, TransientError) and ours is not ErrorCode.UPLOAD_UNVERIFIED
    assert getattr(caught.value, "retry_after_s", None) == (7.0 if waits else None)


def scripted_azure(server: ScriptedS3) -> StorageProvider:
    found = {"account": "acme", "container": "media", "account_key": KEY, "endpoint": server.url}
    return by_its_row("azure_blob", found, "")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("azure_blob", {"account": "acme", "container": "media"}, "lack the field 'account_key' or 'sas_token'"),
    ("azure_blob", {"account": "acme", "container": "media", "account_key": "no base64"}, "'account_key'"),
    ("azure_blob", {"account": "acme", "container": "media", "sas_token": "sig=1", "endpoint": "ftp://x"}, "https://"),
    ("gcs", {"bucket": "media", "service_account": "no JSON"}, "the JSON key file of a service account"),
    ("gcs", {"bucket": "media", "service_account": {"client_email": "a", "private_key": "s3cr3t"}}, "is no key"),
]


@pytest.mark.parametrize(("provider", "credentials", "words"), REFUSED)
def test_credentials_that_cannot_work_are_one_sentence(provider: str, credentials: dict[str, Any], words: str) -> None:
    with pytest.raises(ProviderConfigurationError, match=words) as caught:
        by_its_row(provider, credentials, "")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("field", ["endpoint", "token_uri"])
def test_the_policy_holds_for_googles_addresses_too(field: str, gcs_server: GcsDouble) -> None:
    found = gcs_server.credentials | {"bucket": "bucket"}
    key_file = json.loads(found["service_account"])
    if field == "token_uri":
        found["endpoint"] = "https://storage.googleapis.com"
    else:
        found["service_account"] = json.dumps(key_file | {"token_uri": "https://oauth2.googleapis.com/token"})
    settings = ProviderSettings(LocalStorageSettings(Path("/none"), ""))
    with pytest.raises(ProviderConfigurationError, match="https://"):
        get_provider(StorageConnection(1, "theirs", "gcs", json.dumps(found)), settings=settings)


@pytest.mark.parametrize(("provider", "missing", "extra"), [("azure_blob", "azure", "azure"), ("gcs", "google", "gcs")])
def test_without_its_extra_a_provider_says_what_to_install(
    provider: str, missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith((f"{missing}.", f"storage.{extra}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ProviderConfigurationError, match=rf"pip install 'thumbnail-pipeline\[{extra}\]'"):
        get_provider(
            StorageConnection(1, "theirs", provider),
            settings=ProviderSettings(LocalStorageSettings(Path("/none"), ""), policy=LOOPBACK),
        )
