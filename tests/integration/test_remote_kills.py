"""A process that is killed at any step of an upload to a remote store leaves the old object, the new one, or none."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.doubles.gate import Gate
from tests.doubles.remote_upload import KEY, NEW, OLD, a_provider
from tests.servers.s3.server import S3Server
from tests.servers.yandex.faults import Hold
from tests.servers.yandex.server import YandexDouble
from tests.system.tenants import BucketStore

WAIT_S = 30.0


@contextmanager
def uploading(kind: str, settings: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that uploads NEW; it is killed at the end of the block."""
    command = [sys.executable, "-m", "tests.doubles.remote_upload", kind, json.dumps(settings)]
    process = subprocess.Popen(command, env={"PYTHONPATH": ":".join(sys.path)})
    try:
        yield process
        assert process.poll() is None, "it was to be killed in the middle"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("is_replacing", [False, True], ids=["new", "replacing"])
@pytest.mark.parametrize("passed", [0, 2_000, 1_500_000, None], ids=["before", "after the head", "half way", "after"])
def test_an_upload_to_s3_that_is_killed(
    s3_server: S3Server, s3_bucket: str, passed: int | None, is_replacing: bool
) -> None:
    store = BucketStore(s3_server, s3_bucket)
    settings = {"bucket": s3_bucket, "access_key": s3_server.access_key, "secret_key": s3_server.secret_key}
    direct = a_provider("minio", settings | {"endpoint": s3_server.endpoint_url})
    if is_replacing:
        direct.upload_file(KEY, OLD, content_type="image/webp")
    port = urlsplit(s3_server.endpoint_url).port or 80

    with (
        Gate(port, upstream_bytes=passed) as gate,
        uploading("minio", settings | {"endpoint": gate.url}),
    ):
        assert gate.held.wait(WAIT_S)

    old = {KEY: OLD} if is_replacing else {}
    assert store.objects() == ({KEY: NEW} if passed is None else old)
    direct.upload_file(KEY, NEW, content_type="image/webp")
    assert store.objects() == {KEY: NEW}
    client = s3_server.client()
    assert client.list_multipart_uploads(Bucket=s3_bucket).get("Uploads", []) == []
    client.close()


STEPS = {
    "before the put": ("PUT", "upload-target", Hold(then_drop=True)),
    "after the put": ("PUT", "upload-target", Hold(after_it=True)),
    "before the move": ("POST", "move", Hold(then_drop=True)),
    "after the move": ("POST", "move", Hold(after_it=True)),
}


@pytest.mark.parametrize("is_replacing", [False, True], ids=["new", "replacing"])
@pytest.mark.parametrize("step", [*STEPS, "during the put"])
def test_an_upload_to_yandex_disk_that_is_killed(step: str, is_replacing: bool) -> None:
    with YandexDouble() as double:
        settings = {"token": "token", "api_url": double.url}
        direct = a_provider("yandex", settings)
        if is_replacing:
            direct.upload_file(KEY, OLD, content_type="image/webp")
        hold = Hold()
        if step == "during the put":

            def stop_half_way(_path: str, received: int) -> None:
                if received > len(NEW) // 2:
                    hold.reached.set()
                    hold.release.wait(WAIT_S)

            double.on_body = stop_half_way
        else:
            method, path, planned = STEPS[step]
            hold = Hold(after_it=planned.after_it, then_drop=planned.then_drop)
            if path == "move" and is_replacing:
                path = "move.*overwrite=true"  # the first one finds that something is there
            double.faults.add(method, path, hold)

        with uploading("yandex", settings):
            assert hold.reached.wait(WAIT_S)
        old = {f"/{KEY}": OLD} if is_replacing else {}
        at_final = {path: found for path, found in double.disks["token"].files().items() if path == f"/{KEY}"}
        assert at_final == ({f"/{KEY}": NEW} if step == "after the move" else old)
        assert list(direct.list_files("acme")) == [path.lstrip("/") for path in at_final]
        hold.release.set()
        double.on_body = lambda _path, _received: None

        direct.upload_file(KEY, NEW, content_type="image/webp")
        assert double.disks["token"].files() == {f"/{KEY}": NEW}
