"""The S3 that the other tests stand on does what an S3 does, and Toxiproxy does to connections what it is asked to."""

import base64
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError, SSLError
from mypy_boto3_s3 import S3Client

from tests.servers.certificates import make_certificates
from tests.servers.go_tool import GoTool, NoToolError
from tests.servers.s3.choice import choose_s3
from tests.servers.s3.minio import LocalMinio
from tests.servers.s3.server import NoS3Error, S3Server, read_only
from tests.servers.toxiproxy import Bandwidth, Latency, LimitData, Proxy, ResetPeer, SlowClose, Timeout, Toxiproxy

BODY = bytes(range(256)) * 1024
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
GO = "#!/bin/sh\nPATH=/usr/bin:/bin; mkdir -p $GOBIN; echo $* > $GOBIN/server; chmod +x $GOBIN/server\n"


@pytest.fixture
def door(toxiproxy: Toxiproxy, own_minio: LocalMinio) -> Iterator[Proxy]:
    """A proxy to a MinIO that has one object for everybody: open/object."""
    own_minio.server.make_bucket("open")
    own_minio.server.let_everybody_read("open")
    client = own_minio.server.client()
    client.put_object(Bucket="open", Key="object", Body=BODY)
    client.close()
    with toxiproxy.proxy(own_minio.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a Go may be put on a machine without Docker, Go and programs that were built before."""
    for name in ("S3_ENDPOINT_URL", "REQUIRE_REAL_SERVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tests.servers.kafka.docker.can_run", lambda: False)
    monkeypatch.setattr("tests.servers.go_tool._GO_OF_ITS_OWN_ARCHIVE", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "GOBIN"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path / "go"


def error_of(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def seconds_to_fetch(door: Proxy) -> float:
    started = time.monotonic()
    assert door.fetch("/open/object").endswith(BODY)
    return time.monotonic() - started


def test_an_object_comes_back_with_the_checksum_that_the_server_confirmed(s3_client: S3Client, s3_bucket: str) -> None:
    confirmed = s3_client.put_object(Bucket=s3_bucket, Key="a/ü", Body=BODY, ChecksumSHA256=SHA256)
    found = s3_client.get_object(Bucket=s3_bucket, Key="a/ü", ChecksumMode="ENABLED")

    assert confirmed["ChecksumSHA256"] == found["ChecksumSHA256"] == SHA256
    assert found["Body"].read() == BODY


def test_bytes_that_do_not_fit_their_checksum_are_refused_and_not_stored(s3_client: S3Client, s3_bucket: str) -> None:
    with pytest.raises(ClientError) as caught:
        s3_client.put_object(Bucket=s3_bucket, Key="k", Body=BODY + b"more", ChecksumSHA256=SHA256)

    assert error_of(caught)[0] == 400
    assert s3_client.list_objects_v2(Bucket=s3_bucket)["KeyCount"] == 0


def test_a_read_of_a_version_that_was_replaced_answers_412(s3_client: S3Client, s3_bucket: str) -> None:
    etag = s3_client.put_object(Bucket=s3_bucket, Key="k", Body=b"old")["ETag"]
    assert s3_client.get_object(Bucket=s3_bucket, Key="k", IfMatch=etag)["Body"].read() == b"old"
    s3_client.put_object(Bucket=s3_bucket, Key="k", Body=b"new")

    with pytest.raises(ClientError) as caught:
        s3_client.get_object(Bucket=s3_bucket, Key="k", IfMatch=etag, Range="bytes=0-1")
    assert error_of(caught) == (412, "PreconditionFailed")


def test_a_bucket_goes_with_all_versions_of_its_objects(s3_server: S3Server, s3_client: S3Client) -> None:
    bucket = f"t-{os.urandom(6).hex()}"
    s3_server.make_bucket(bucket)
    s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3_client.put_object(Bucket=bucket, Key="k", Body=body)
    s3_client.delete_object(Bucket=bucket, Key="k")
    s3_server.remove_bucket(bucket)

    assert bucket not in [found["Name"] for found in s3_client.list_buckets()["Buckets"]]


def test_objects_survive_the_kill_and_the_restart_of_minio(own_minio: LocalMinio) -> None:
    own_minio.server.make_bucket("kept")
    client = own_minio.server.client()
    client.put_object(Bucket="kept", Key="k", Body=BODY)
    own_minio.kill()
    own_minio.start()
    own_minio.restart()

    assert client.get_object(Bucket="kept", Key="k")["Body"].read() == BODY
    client.close()


def test_a_minio_that_cannot_start_shows_the_end_of_its_log(own_minio: LocalMinio) -> None:
    own_minio.stop_process()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own_minio.port))
        taken.listen(1)
        with pytest.raises(NoS3Error, match=r"(?s)did not start.*already in use"):
            own_minio.start()
    assert (own_minio.pid, own_minio.folder.exists()) == (0, False)


def test_tls_needs_the_authority_that_nobody_else_knows(own_tls_minio: LocalMinio, tmp_path: Path) -> None:
    own_tls_minio.server.make_bucket("secret")
    stranger = make_certificates(tmp_path / "other").ca_file

    assert own_tls_minio.endpoint_url.startswith("https://")
    for ca_file in (None, stranger):
        client = replace(own_tls_minio.server, ca_file=ca_file).client()
        with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            client.list_buckets()
        client.close()


def test_a_read_only_session_may_get_and_list_but_not_put_or_delete(own_minio: LocalMinio) -> None:
    own_minio.server.make_bucket("mine")
    owner = own_minio.server.client()
    owner.put_object(Bucket="mine", Key="k", Body=BODY)
    reader = own_minio.server.session_credentials(read_only("mine")).client()

    assert reader.get_object(Bucket="mine", Key="k")["Body"].read() == BODY
    assert reader.list_objects_v2(Bucket="mine")["KeyCount"] == 1
    with pytest.raises(ClientError) as put:
        reader.put_object(Bucket="mine", Key="other", Body=b"")
    with pytest.raises(ClientError) as delete:
        reader.delete_object(Bucket="mine", Key="k")
    assert error_of(put) == error_of(delete) == (403, "AccessDenied")
    assert [found["Key"] for found in owner.list_objects_v2(Bucket="mine")["Contents"]] == ["k"]
    for client in (owner, reader):
        client.close()


def test_everybody_may_read_what_was_opened_and_nobody_may_write(door: Proxy) -> None:
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(f"{door.url}/open/object", timeout=20).content == BODY
        assert session.put(f"{door.url}/open/object", data=b"x", timeout=20).status_code == 403


def test_a_connection_that_was_cut_is_refused_until_it_is_mended(door: Proxy, own_minio: LocalMinio) -> None:
    client = replace(own_minio.server, endpoint_url=door.url).client()
    door.cut()
    with pytest.raises(EndpointConnectionError):
        client.list_buckets()
    door.restore()
    assert [found["Name"] for found in client.list_buckets()["Buckets"]] == ["open"]
    client.close()


@pytest.mark.parametrize("slow", [Latency(1000), Bandwidth(kb_s=260), SlowClose(delay_ms=1000)])
def test_a_slow_connection_is_slow_until_it_is_cleared(door: Proxy, slow: Latency | Bandwidth | SlowClose) -> None:
    door.add(slow)
    slow_s = seconds_to_fetch(door)
    assert slow_s > 0.9
    door.clear()
    assert seconds_to_fetch(door) < slow_s


def test_limited_data_end_in_the_middle(door: Proxy) -> None:
    door.add(LimitData(10_000))
    assert len(door.fetch("/open/object")) == 10_000


def test_a_reset_is_seen_as_a_reset(door: Proxy) -> None:
    door.add(ResetPeer(after_ms=10))
    with pytest.raises(ConnectionResetError):
        door.fetch("/open/object")


def test_a_timeout_brings_nothing_and_then_the_end(door: Proxy) -> None:
    door.add(Timeout(after_ms=300), "upstream")
    started = time.monotonic()
    assert door.fetch("/open/object") == b""
    assert time.monotonic() - started >= 0.3


def test_a_program_is_built_once_and_kept_by_its_version(fake_go: Path) -> None:
    fake_go.write_text(GO)
    fake_go.chmod(0o755)
    said: list[str] = []
    old, again, new = (GoTool("tool", "example.org/cmd/server", version).get(said.append) for version in "112")

    assert (old, len(said)) == (again, 2)
    assert ["example.org/cmd/server@1" in old.read_text(), "example.org/cmd/server@2" in new.read_text()] == [True] * 2
    assert sorted(old.parent.iterdir()) == [old, new]


def test_a_build_that_fails_shows_what_go_said(fake_go: Path) -> None:
    fake_go.write_text("#!/bin/sh\necho no such module\nexit 1\n")
    fake_go.chmod(0o755)
    with pytest.raises(NoToolError, match="no such module"):
        GoTool("tool", "example.org/cmd/server", "1").get()


@pytest.mark.usefixtures("fake_go")
def test_moto_is_the_last_resort_and_none_where_real_services_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    moto = choose_s3(said.append)
    moto.start()
    try:
        moto.server.make_bucket("bucket")
        moto.server.remove_bucket("bucket")
    finally:
        moto.stop()
    assert "go on with moto, which is not a real S3" in said[-1]

    monkeypatch.setenv("REQUIRE_REAL_SERVICES", "1")
    with pytest.raises(NoS3Error, match=r"No minio: install it, or Go 1\.21 or later"):
        choose_s3(said.append)


def test_a_given_server_must_take_the_given_keys(own_minio: LocalMinio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT_URL", own_minio.endpoint_url)
    monkeypatch.setenv("S3_ACCESS_KEY", own_minio.access_key)
    monkeypatch.delenv("S3_SECRET_KEY", raising=False)
    with pytest.raises(NoS3Error, match="S3_SECRET_KEY are needed"):
        choose_s3(print)
    monkeypatch.setenv("S3_SECRET_KEY", "wrong")
    with pytest.raises(NoS3Error, match="does not answer, or refuses"):
        choose_s3(print).start()
    monkeypatch.setenv("S3_SECRET_KEY", own_minio.secret_key)
    found = choose_s3(print)
    found.start()
    found.stop()

    assert found.server.answers()
