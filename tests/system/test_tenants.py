"""A tenant on each provider at once, from Kafka to the row; and what the outage of one does to the others."""

import io
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
import requests
import sqlalchemy as sa
from PIL import Image

from tests.servers.azure.azurite import ACCOUNT, AzureServer
from tests.servers.gcs.double import GcsDouble
from tests.servers.s3.server import S3Server
from tests.servers.toxiproxy import Toxiproxy
from tests.servers.yandex.server import YandexDouble
from tests.system.stack import Stack, a_stack, run_cli
from tests.system.tenants import (
    BucketStore,
    ContainerStore,
    DiskStore,
    FolderStore,
    GcsStore,
    Tenant,
    add_rows,
    add_tenant,
    problems_of,
    upload_for,
)

LOCAL_ENVIRONMENT = {"STORAGE_ALLOWED_NETWORKS": "127.0.0.0/8", "STORAGE_ALLOW_HTTP": "true"}


def minio_tenant(number: int, slug: str, server: S3Server, bucket: str, endpoint_url: str | None = None) -> Tenant:
    credentials = {"endpoint": endpoint_url or server.endpoint_url, "bucket": bucket}
    credentials |= {"access_key": server.access_key, "secret_key": server.secret_key}
    return Tenant(number, slug, "minio", credentials, BucketStore(server, bucket, slug), base_path=slug)


def azure_tenant(number: int, slug: str, server: AzureServer, container: str) -> Tenant:
    credentials = {"account": ACCOUNT, "container": container, "endpoint": server.account_url}
    credentials |= {"account_key": server.account_key}
    return Tenant(number, slug, "azure_blob", credentials, ContainerStore(server, container, slug), base_path=slug)


def local_tenant(stack: Stack, number: int, slug: str) -> Tenant:
    return Tenant(
        number, slug, "local_disk", {}, FolderStore(stack.platform.storage_root / f"base-{slug}"), f"base-{slug}"
    )


@contextmanager
def an_encrypted_stack(kafka: str, url: str, prefix: str, folder: Path, **changes: str) -> Iterator[Stack]:
    key = subprocess.run(
        [sys.executable, "-m", "service", "credentials", "key"], capture_output=True, text=True, check=True
    )
    settings = LOCAL_ENVIRONMENT | {"STORAGE_CREDENTIALS_KEY": key.stdout.strip()} | changes
    with a_stack(kafka, url, prefix, folder, **settings) as stack:
        yield stack


def settle(stack: Stack, tenants: list[Tenant], timeout_s: float = 90.0) -> None:
    def all_ready() -> bool:
        query = "SELECT (SELECT count(*) FROM videos WHERE thumbnail_status = 'ready')"
        query += " + (SELECT count(*) FROM ar_contents WHERE thumbnail_status = 'ready')"
        with stack.platform.engine.connect() as connection:
            done: int = connection.execute(sa.text(query)).scalar_one()
        return done >= sum(len(tenant.expected) for tenant in tenants)

    try:
        stack.wait_for(all_ready, timeout_s)
    finally:
        assert [problem for tenant in tenants for problem in problems_of(stack.platform, tenant)] == []


def ready_events(stack: Stack) -> list[dict[str, object]]:
    return [json.loads(record.value()) for record in stack.platform.read_topic("thumbnail.ready")]


def test_a_tenant_on_each_provider_gets_its_thumbnails_in_its_own_storage(
    kafka: str,
    postgres_url: str,
    topic_prefix: str,
    tmp_path: Path,
    s3_server: S3Server,
    s3_bucket: str,
    azure_server: AzureServer,
    azure_container: str,
    gcs_server: GcsDouble,
    gcs_bucket: str,
) -> None:
    with (
        YandexDouble(["a-token"]) as double,
        an_encrypted_stack(kafka, postgres_url, topic_prefix, tmp_path, YANDEX_DISK_API_URL=double.url) as stack,
    ):
        tenants = [
            local_tenant(stack, 2, "globex"),
            minio_tenant(3, "initech", s3_server, s3_bucket),
            Tenant(
                4, "hooli", "yandex_disk", {"token": "a-token"}, DiskStore(double, "a-token", "ar/files"), "ar/files"
            ),
            azure_tenant(5, "umbrella", azure_server, azure_container),
            Tenant(
                6,
                "wayne",
                "gcs",
                gcs_server.credentials | {"bucket": gcs_bucket},
                GcsStore(gcs_server, gcs_bucket, "media"),
                "media",
            ),
        ]
        for tenant in tenants:
            add_tenant(stack.platform, tenant)
            add_rows(stack.platform, tenant, range(tenant.company_id * 100, tenant.company_id * 100 + 4))
        assert run_cli(stack.environment, "credentials", "encrypt").returncode == 0
        uploads = [
            upload_for(stack.platform, tenant, tenant.company_id * 100 + number, "video" if number % 2 else "image")
            for number in range(4)
            for tenant in tenants
        ]
        stack.platform.publish(uploads)
        settle(stack, tenants)
        shown = [row for tenant in tenants for row in map(stack.platform.row, tenant.expected) if row is not None]

        stored = {event["company_id"]: event["storage"] for event in ready_events(stack)}
        checks = run_cli(stack.environment, "check", "--tenants")
    assert stored == {
        2: {"provider": "local_disk", "connection_id": 2, "fallback": None},
        3: {"provider": "minio", "connection_id": 3, "fallback": None},
        4: {"provider": "yandex_disk", "connection_id": 4, "fallback": None},
        5: {"provider": "azure_blob", "connection_id": 5, "fallback": None},
        6: {"provider": "gcs", "connection_id": 6, "fallback": None},
    }
    # Each row's URL leads to its own company's storage; those that everybody may read are read as a browser does.
    places = {row["thumbnail_url"].partition("/thumbnails/")[0] for row in shown}
    assert places >= {
        "http://files.example/base-globex/globex",
        f"{s3_server.endpoint_url}/{s3_bucket}/initech/initech",
        f"{azure_server.account_url}/{azure_container}/umbrella/umbrella",
        f"{gcs_server.url}/{gcs_bucket}/media/wayne",
    }
    assert len(shown) == len(uploads)
    for row in shown:
        if row["thumbnail_url"].startswith((azure_server.account_url, gcs_server.url)):
            with Image.open(io.BytesIO(requests.get(row["thumbnail_url"], timeout=10).content)) as picture:
                assert (picture.format, max(picture.size)) == ("WEBP", 320)
    assert "FAILED" not in checks.stdout, checks.stdout


def test_an_outage_of_one_connection_burns_no_attempt_and_leaves_the_others_alone(
    kafka: str,
    postgres_url: str,
    topic_prefix: str,
    tmp_path: Path,
    s3_server: S3Server,
    s3_bucket: str,
    toxiproxy: Toxiproxy,
) -> None:
    with (
        toxiproxy.proxy(s3_server.endpoint_url) as cut,
        toxiproxy.proxy(s3_server.endpoint_url) as sound,
        an_encrypted_stack(
            kafka, postgres_url, topic_prefix, tmp_path, STORAGE_BREAKER_OPEN_S="2", RETRY_DELAYS_S="1,2,4"
        ) as stack,
    ):
        tenants = [
            local_tenant(stack, 2, "globex"),
            minio_tenant(3, "initech", s3_server, s3_bucket, cut.url),
            minio_tenant(4, "hooli", s3_server, s3_bucket, sound.url),
        ]
        for tenant in tenants:
            add_tenant(stack.platform, tenant)
            add_rows(stack.platform, tenant, range(tenant.company_id * 100, tenant.company_id * 100 + 16))
        down, others = tenants[1], [tenants[0], tenants[2]]

        def publish(numbers: range) -> None:
            stack.platform.publish(
                [upload_for(stack.platform, tenant, tenant.company_id * 100 + n) for n in numbers for tenant in tenants]
            )

        publish(range(4))
        settle(stack, tenants)
        cut.cut()
        publish(range(4, 16))
        stack.wait_for(lambda: not [p for tenant in others for p in problems_of(stack.platform, tenant)])
        stack.wait_for(lambda: paused_retries(stack) >= 40)  # longer than all ordinary attempts would last
        health, metrics = readiness(stack), scraped(stack)
        cut.restore()
        settle(stack, tenants)

        attempts = [event["attempt"] for event in ready_events(stack) if event["company_id"] == down.company_id]
        dead = stack.platform.read_topic("thumbnail.dlq")
    assert health["ok"] is True
    assert metrics['thumbnail_storage_breakers{state="closed"}'] == 2
    assert metrics['thumbnail_storage_breaker_opened_total{provider="minio"}'] >= 1, "again after each probe that fails"
    assert health["resting_connections"] in ({"3": "open"}, {"3": "half_open"})
    rest = {"connection_id": 3, "provider": "minio", "company_ids": [3]}
    assert health["resting"] in ([rest | {"state": "open"}], [rest | {"state": "half_open"}])
    assert len(attempts) == 16
    assert sum(int(str(attempt)) - 1 for attempt in attempts) <= 4, "fewer failures than open the breaker are counted"
    assert dead == []


def paused_retries(stack: Stack) -> int:
    found = 0
    for tier in (1, 2, 3):
        for record in stack.platform.read_topic(f"thumbnail.retry.{tier}"):
            found += dict(record.headers())["error-code"] == b"storage.paused"
    return found


def readiness(stack: Stack) -> dict[str, object]:
    with urlopen(f"http://127.0.0.1:{worker_port(stack)}/health/ready") as answer:
        details: dict[str, object] = json.load(answer)
    return details


def scraped(stack: Stack) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{worker_port(stack)}/metrics") as answer:
        lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def worker_port(stack: Stack) -> int:
    log = stack.supervisor.of("worker")[0].log.read_text()
    return int(re.findall(r'"http_port": (\d+)', log)[-1])


@pytest.mark.parametrize("change", ["credentials", "row"])
def test_a_rotated_credential_or_an_edited_row_is_picked_up_without_a_restart(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path, s3_server: S3Server, s3_bucket: str, change: str
) -> None:
    other_bucket = f"other-{uuid.uuid4().hex[:12]}"
    s3_server.make_bucket(other_bucket)
    wrong = {"secret_key": "wrong-wrong-wrong"} if change == "credentials" else {"bucket": s3_bucket}
    with an_encrypted_stack(kafka, postgres_url, topic_prefix, tmp_path) as stack:
        right = minio_tenant(3, "initech", s3_server, other_bucket)
        before = replace(right, credentials=right.credentials | wrong)
        add_tenant(stack.platform, before)
        add_rows(stack.platform, right, range(300, 302))
        first = upload_for(stack.platform, right, 300)
        if change == "row":
            BucketStore(s3_server, s3_bucket, "initech").put(str(first.event["media"]["key"]), b"no picture at all")
        stack.platform.publish([first])
        stack.wait_for(lambda: (stack.platform.row("ar_content:300") or {}).get("thumbnail_status") == "failed")
        with stack.platform.engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE storage_connections SET credentials = :found WHERE id = 3"),
                {"found": json.dumps(right.credentials)},
            )
        del right.expected["ar_content:300"]

        def it_works() -> bool:
            stack.platform.publish([upload_for(stack.platform, right, 301)])
            stack.wait_for(lambda: (stack.platform.row("ar_content:301") or {}).get("thumbnail_status"))
            return bool((stack.platform.row("ar_content:301") or {})["thumbnail_status"] == "ready")

        stack.wait_for(it_works, 20)
    s3_server.remove_bucket(other_bucket)
