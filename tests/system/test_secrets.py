"""Marked secrets go in by every door; afterwards they are looked for in everything that comes out."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import sqlalchemy as sa

from tests.servers.s3.server import S3Server
from tests.servers.toxiproxy import Toxiproxy
from tests.servers.yandex.faults import page, status
from tests.servers.yandex.server import YandexDouble
from tests.system.stack import Stack, run_cli
from tests.system.supervisor import children_of
from tests.system.tenants import DiskStore, FolderStore, Tenant, add_rows, add_tenant, upload_for
from tests.system.test_tenants import an_encrypted_stack, minio_tenant

MARK = "m4rked-s3cret"
TOPICS = (
    "media.uploaded",
    "thumbnail.due",
    "thumbnail.ready",
    "thumbnail.failed",
    "thumbnail.cleanup",
    "thumbnail.dlq",
)
TIERS = ("thumbnail.retry.1", "thumbnail.retry.2", "thumbnail.retry.3")


def forms_of(secret: str) -> Iterator[bytes]:
    """As it is, and as encodings that a careless program would write."""
    raw = secret.encode()
    yield raw
    yield base64.b64encode(raw).rstrip(b"=")[:-1]
    yield raw.hex().encode()
    yield json.dumps(secret)[1:-1].encode()
    yield secret.replace("/", "%2F").encode()


def test_no_secret_is_in_anything_that_comes_out(
    kafka: str,
    postgres_url: str,
    topic_prefix: str,
    tmp_path: Path,
    s3_server: S3Server,
    s3_bucket: str,
    toxiproxy: Toxiproxy,
) -> None:
    with (
        YandexDouble([f"{MARK}-yandex", f"{MARK}-limited"]) as double,
        toxiproxy.proxy(s3_server.endpoint_url) as cut,
        an_encrypted_stack(
            kafka, postgres_url, topic_prefix, tmp_path, YANDEX_DISK_API_URL=double.url, STORAGE_BREAKER_OPEN_S="1"
        ) as stack,
    ):
        key = stack.environment["STORAGE_CREDENTIALS_KEY"]
        wrong = minio_tenant(4, "wrongkey", s3_server, s3_bucket)
        wrong.credentials["secret_key"] = f"{MARK}-wrong"
        broken = Tenant(6, "broken", "minio", {"access_key": f"{MARK}-lonely", "bucket": f"{MARK}!!"}, wrong.store, "x")
        tenants = [
            minio_tenant(2, "sound", s3_server, s3_bucket),
            minio_tenant(3, "cut", s3_server, s3_bucket, cut.url),
            wrong,
            Tenant(
                5, "yandex", "yandex_disk", {"token": f"{MARK}-yandex"}, DiskStore(double, f"{MARK}-yandex", "b"), "b"
            ),
            Tenant(
                7,
                "limited",
                "yandex_disk",
                {"token": f"{MARK}-limited"},
                DiskStore(double, f"{MARK}-limited", "b"),
                "b",
            ),
            broken,
            Tenant(8, "local", "local_disk", {"password": f"{MARK}-unused"}, FolderStore(tmp_path / "storage/l"), "l"),
        ]
        for tenant in tenants:
            add_tenant(stack.platform, tenant)
            add_rows(stack.platform, tenant, range(tenant.company_id * 100, tenant.company_id * 100 + 4))
        outputs = [run_cli(stack.environment, "check", "--tenants")]
        outputs.append(run_cli(stack.environment, "credentials", "encrypt"))
        double.faults.add("PUT", "upload-target", page(502), times=2)
        double.faults.add("GET", "limit", status(429, "TooManyRequestsError"), times=2)
        cut.cut()
        stack.platform.publish(
            [upload_for(stack.platform, t, t.company_id * 100 + n) for t in tenants for n in range(4)]
        )
        stack.wait_for(lambda: all(has_settled(stack, t) for t in tenants if t.slug not in ("cut", "broken")), 90)
        environments = environments_of_decoders(stack)
        bodies = http_bodies(stack)
        cut.restore()
        stack.wait_for(lambda: has_settled(stack, tenants[1]), 60)
        outputs += [run_cli(stack.environment, "check", "--tenants"), run_cli(stack.environment, "check", "--json")]
        outputs.append(run_cli(stack.environment | {"STORAGE_CREDENTIALS_KEY": f"{MARK}-junk"}, "check", "--tenants"))
        outputs.append(run_cli(stack.environment, "publish", __file__, "--company", "4"))
        outputs.append(crash_of(stack))
        records = [record for topic in (*TOPICS, *TIERS) for record in stack.platform.read_topic(topic)]
        dump = dump_of(stack)
    logs = [path.read_bytes() for path in tmp_path.rglob("*.log")]

    everything = {
        "logs": b"".join(logs),
        "topics": b"".join(bytes_of(record) for record in records),
        "http": b"".join(bodies),
        "database": dump,
        "decoders' environments": b"".join(environments),
        "command line": b"".join(f"{o.stdout}{o.stderr}".encode() for o in outputs),
    }
    assert all(len(found) > 200 for name, found in everything.items() if "environ" not in name), (
        "there is something to search"
    )
    assert environments
    secrets = [MARK, s3_server.secret_key, key]
    hits = [
        f"{form!r} in {name}"
        for name, found in everything.items()
        for secret in secrets
        for form in forms_of(secret)
        if form in found
    ]
    assert hits == []


def has_settled(stack: Stack, tenant: Tenant) -> bool:
    rows = [stack.platform.row(key) for key in tenant.expected]
    return all(row is not None and row["thumbnail_status"] is not None for row in rows)


def environments_of_decoders(stack: Stack) -> list[bytes]:
    """Of every process below the worker."""
    found, waiting = [], children_of(stack.supervisor.of("worker")[0].process.pid)
    while waiting:
        pid = waiting.pop()
        waiting += children_of(pid)
        found.append(Path(f"/proc/{pid}/environ").read_bytes())
    return found


def http_bodies(stack: Stack) -> list[bytes]:
    found = []
    for role in stack.supervisor.roles:
        port = re.findall(r'"http_port": (\d+)', role.log.read_text())[-1]
        for path in ("metrics", "health/live", "health/ready"):
            try:
                with urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
                    found.append(answer.read())
            except urllib.error.HTTPError as exc:
                found.append(exc.read())
    return found


def crash_of(stack: Stack) -> "subprocess.CompletedProcess[str]":
    """A worker with all the settings that ends by SIGABRT, with Python's own account of it."""
    environment = (
        os.environ | stack.environment | {"PYTHONFAULTHANDLER": "1", "WORKER_GROUP": "crash", "LOG_LEVEL": "DEBUG"}
    )
    command = [sys.executable, "-X", "dev", "-m", "service", "worker"]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert worker.stdout is not None
    lines = []
    with worker.stdout:
        for line in worker.stdout:
            lines.append(line)
            if "role_ready" in line:
                worker.send_signal(signal.SIGABRT)
    return subprocess.CompletedProcess(command, worker.wait(), "".join(lines), "")


def bytes_of(record: object) -> bytes:
    key, value = record.key() or b"", record.value() or b""  # type: ignore[attr-defined]
    headers = record.headers() or []  # type: ignore[attr-defined]
    return bytes(key + value + b"".join(name.encode() + (content or b"") for name, content in headers))


def dump_of(stack: Stack) -> bytes:
    """Every table as text, the credentials' column, too: it is encrypted."""
    engine = stack.platform.engine
    with engine.connect() as connection:
        names = sa.inspect(engine).get_table_names()
        rows = [connection.execute(sa.text(f'SELECT * FROM "{name}"')).all() for name in names]  # noqa: S608
    return repr(rows).encode()


def test_the_scan_finds_a_secret_that_is_there() -> None:
    leaks = [f"x{MARK}y", json.dumps({"k": MARK}), base64.b64encode(MARK.encode()).decode(), MARK.encode().hex()]
    assert all(any(form in leak.encode() for form in forms_of(MARK)) for leak in leaks)
