"""The S3 provider on a real MinIO: wrong settings, missing rights, TLS, and a network that breaks in every way."""

import ipaddress
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
import requests

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.connections import HttpLimits
from storage.credentials import parse_credentials
from storage.outbound import EndpointPolicy
from storage.s3.credentials import MinioCredentials
from storage.s3.provider import MinioStorageProvider
from tests.contracts.objects import put, read_all
from tests.servers.certificates import make_certificates
from tests.servers.s3.minio import LocalMinio
from tests.servers.s3.server import S3Server, read_only
from tests.servers.toxiproxy import Bandwidth, Latency, LimitData, Proxy, ResetPeer, SlowClose, Timeout, Toxiproxy
from tests.system.tenants import BucketStore

LOOPBACK = EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)
CONTENT = random.Random(4).randbytes(3_000_000)


@contextmanager
def opened(server: S3Server, name: str, /, **changes: Any) -> Iterator[MinioStorageProvider]:
    found = {"endpoint": server.endpoint_url, "bucket": name}
    found |= {"access_key": server.access_key, "secret_key": server.secret_key}
    found |= {"session_token": server.session_token} if server.session_token else {}
    limits = HttpLimits(max_connections=4, connect_timeout_s=2.0, read_timeout_s=2.0)
    provider = MinioStorageProvider(
        parse_credentials(MinioCredentials, found | changes), policy=LOOPBACK, limits=limits
    )
    yield provider
    provider.close()


WRONG = {
    "the port": ({"endpoint": "http://127.0.0.1:1"}, ErrorCode.STORAGE_UNAVAILABLE, "cannot be reached"),
    "the host": ({"endpoint": "http://nowhere.invalid"}, ErrorCode.STORAGE_UNAVAILABLE, "cannot be reached"),
    "the access key": ({"access_key": "nobody"}, ErrorCode.STORAGE_DENIED, "access key is unknown"),
    "the secret key": ({"secret_key": "wrong-wrong"}, ErrorCode.STORAGE_DENIED, "secret key is wrong"),
    "the bucket": ({"bucket": "no-such-bucket"}, ErrorCode.STORAGE_DENIED, "bucket does not exist"),
    "the session token": ({"session_token": "x"}, ErrorCode.STORAGE_DENIED, "refuses"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_one_clear_error_of_every_method(
    s3_server: S3Server, s3_bucket: str, case: tuple[dict[str, Any], ErrorCode, str]
) -> None:
    changes, code, words = case
    with opened(s3_server, s3_bucket, **changes) as provider:
        calls: list[Callable[[], object]] = [
            lambda: put(provider, "acme/a"),
            lambda: provider.open_source("acme/a"),
            lambda: provider.file_exists("acme/a"),
            lambda: provider.delete_file("acme/a"),
            lambda: list(provider.list_files("acme")),
            provider.check,
        ]
        for call in calls:
            with pytest.raises(ThumbnailError, match=words) as caught:
                call()
            assert caught.value.code is code
            assert s3_server.secret_key not in repr((caught.value, caught.value.__cause__))


def test_rights_to_read_alone_let_sources_be_read_and_refuse_the_rest(s3_server: S3Server, s3_bucket: str) -> None:
    with opened(s3_server, s3_bucket) as owner:
        put(owner, "acme/a", b"source")
    with opened(s3_server.session_credentials(read_only(s3_bucket)), s3_bucket) as reader:
        assert read_all(reader, "acme/a") == b"source"
        calls: list[Callable[[], object]] = [
            lambda: put(reader, "acme/a", b"other"),
            lambda: reader.delete_file("acme/a"),
        ]
        for call in calls:
            with pytest.raises(PermanentError, match="access is denied") as caught:
                call()
            assert caught.value.code is ErrorCode.STORAGE_DENIED
        assert read_all(reader, "acme/a") == b"source"


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_wrong_is_named(
    s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    auth: Any = botocore.auth
    real = auth.get_current_datetime
    with monkeypatch.context() as patch:
        patch.setattr(
            auth, "get_current_datetime", lambda *args, **named: real(*args, **named) + timedelta(hours=hours)
        )
        with opened(s3_server, s3_bucket) as provider, pytest.raises(TransientError, match="clock") as caught:
            put(provider, "acme/a")
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE


def test_a_certificate_of_an_unknown_authority_is_refused_and_named(own_tls_minio: LocalMinio) -> None:
    server = own_tls_minio.server
    server.make_bucket("bucket")
    with (
        opened(server, "bucket") as provider,
        pytest.raises(PermanentError, match="certificate is not trusted") as caught,
    ):
        put(provider, "acme/a")
    assert caught.value.code is ErrorCode.STORAGE_DENIED
    assert server.ca_file is not None
    with opened(server, "bucket", ca_pem=server.ca_file.read_text()) as provider:
        put(provider, "acme/a")
        assert read_all(provider, "acme/a") == b"content"


def test_another_authority_than_the_server_s_is_of_no_use(own_tls_minio: LocalMinio, tmp_path: Path) -> None:
    other = make_certificates(tmp_path / "other").ca_pem
    with (
        opened(own_tls_minio.server, "bucket", ca_pem=other) as provider,
        pytest.raises(PermanentError, match="not trusted"),
    ):
        provider.check()


def test_the_address_of_an_object_is_readable_where_the_bucket_allows_it(s3_server: S3Server, s3_bucket: str) -> None:
    with opened(s3_server, s3_bucket) as provider:
        provider.upload_file("acme/small picture#1.webp", b"picture", content_type="image/webp")
        url = provider.get_file_url("acme/small picture#1.webp")
        assert requests.get(url, timeout=5).status_code == 403
        s3_server.let_everybody_read(s3_bucket)
        answer = requests.get(url, timeout=5)
    assert (answer.content, answer.headers["Content-Type"]) == (b"picture", "image/webp")
    with opened(s3_server, s3_bucket, public_base_url="https://cdn.example/x/") as provider:
        assert provider.get_file_url("acme/a") == "https://cdn.example/x/acme/a"
    with opened(s3_server, s3_bucket, addressing="virtual", endpoint="https://s3.example:9000") as provider:
        assert provider.get_file_url("acme/a") == f"https://{s3_bucket}.s3.example:9000/acme/a"


def test_a_source_that_is_replaced_or_deleted_while_it_is_read(s3_server: S3Server, s3_bucket: str) -> None:
    with opened(s3_server, s3_bucket) as provider:
        put(provider, "acme/a", CONTENT)
        with provider.open_source("acme/a") as source:
            assert source.read_at(1_000_000, 10) == CONTENT[1_000_000:1_000_010]
            put(provider, "acme/a", CONTENT[::-1])
            with pytest.raises(TransientError, match="was replaced") as caught:
                source.read_at(1_000_000, 10)
            assert caught.value.code is ErrorCode.SOURCE_UNREADABLE
            provider.delete_file("acme/a")
            with pytest.raises(ObjectNotFoundError):
                source.read_at(1_000_000, 10)


@pytest.fixture
def proxy(toxiproxy: Toxiproxy, s3_server: S3Server) -> Iterator[Proxy]:
    with toxiproxy.proxy(s3_server.endpoint_url) as made:
        yield made


@pytest.mark.parametrize("toxic", [Latency(300), Bandwidth(5000), SlowClose(500)], ids=str)
def test_a_slow_network_is_slow_and_nothing_else(
    s3_server: S3Server, s3_bucket: str, proxy: Proxy, toxic: Latency
) -> None:
    proxy.add(toxic)
    with opened(s3_server, s3_bucket, endpoint=proxy.url) as provider:
        put(provider, "acme/a", CONTENT)
        assert read_all(provider, "acme/a") == CONTENT
        provider.delete_file("acme/a")
        assert not provider.file_exists("acme/a")


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
@pytest.mark.parametrize(
    "toxic",
    [ResetPeer(0), ResetPeer(20), LimitData(0), LimitData(100), LimitData(400_000), Timeout(0), Timeout(50)],
    ids=str,
)
def test_a_network_that_breaks_gives_an_error_of_ours_and_never_a_wrong_byte(
    s3_server: S3Server, s3_bucket: str, proxy: Proxy, toxic: ResetPeer, direction: Any
) -> None:
    store = BucketStore(s3_server, s3_bucket)
    store.put("acme/a", CONTENT)
    new = CONTENT[::-1]
    with opened(s3_server, s3_bucket, endpoint=proxy.url) as provider:
        proxy.add(toxic, direction)
        for call in (
            lambda: read_all(provider, "acme/a"),
            lambda: put(provider, "acme/b", new),
            lambda: list(provider.list_files("acme")),
        ):
            try:
                result = call()
            except TransientError as error:
                assert error.code is ErrorCode.STORAGE_UNAVAILABLE
            else:
                assert result in (CONTENT, None, ["acme/a"], ["acme/a", "acme/b"])
        proxy.clear()
        found = store.objects()
        assert found.pop("acme/b", new) == new, "whole or absent"
        assert found == {"acme/a": CONTENT}
        put(provider, "acme/b", new)
        assert read_all(provider, "acme/b") == new


def test_the_same_provider_works_on_when_the_network_is_back(s3_server: S3Server, s3_bucket: str, proxy: Proxy) -> None:
    with opened(s3_server, s3_bucket, endpoint=proxy.url) as provider:
        put(provider, "acme/a", CONTENT)
        source = provider.open_source("acme/a")
        proxy.cut()
        for _ in range(10):  # more often than it has connections
            with pytest.raises(TransientError):
                source.read_at(1_000_000, 10)
            with pytest.raises(TransientError):
                put(provider, "acme/b")
        proxy.restore()
        assert source.read_at(1_000_000, 10) == CONTENT[1_000_000:1_000_010]
        put(provider, "acme/b")
