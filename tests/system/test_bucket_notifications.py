"""From an object in MinIO to a row with a thumbnail, and back, with no code of the user's: only MinIO's settings and rules."""

import json
import os
import re
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.servers.s3.minio import LocalMinio
from tests.system.snippets import snippets_of
from tests.system.stack import Stack
from tests.system.tenants import BucketStore, Tenant, add_tenant
from tests.system.test_health import get
from tests.system.test_tenants import an_encrypted_stack, minio_tenant

PAGE = "docs/upstreams.md"
BUCKET = "media"
VIDEOS, PHOTOS = 12, 6
# Videos are found by their paths, as the platform writes them; the names of photographs have their ids.
RULES = r"""
[[rules]]
bucket = "media"
prefix = "initech/initech/uploads/"
base_path = "initech"
lookup = true
deletions = true

[[rules]]
bucket = "media"
base_path = "initech"
pattern = 'initech/initech/photos/(?P<id>\d+) (?P<title>.*)\.jpg'
company = 3
kind = "image"
id = "{id}"
deletions = true
"""


def notify_kafka(minio: LocalMinio, kafka: str, topic: str) -> None:
    """Do with MinIO and its bucket what docs/upstreams.md says."""
    (block,) = [found for found in snippets_of(PAGE, "bash") if "export MINIO_" in found]
    documented = dict(re.findall(r"^export (\w+)=(\S+)$", block, re.MULTILINE))
    ours = {
        "MINIO_NOTIFY_KAFKA_BROKERS_THUMBNAILS": kafka,
        "MINIO_NOTIFY_KAFKA_TOPIC_THUMBNAILS": topic,
        "MINIO_NOTIFY_KAFKA_QUEUE_DIR_THUMBNAILS": str(minio.folder / "unsent"),
    }
    assert ours.keys() < documented.keys()
    minio.stop_process()
    minio.settings = documented | ours
    minio.start()
    minio.server.make_bucket(BUCKET)
    (example,) = [found for found in snippets_of(PAGE, "python") if "def announce" in found]
    made: dict[str, Any] = {}
    exec(example, made)  # noqa: S102 - the page's own
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", minio.access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", minio.secret_key)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        made["announce"](minio.endpoint_url, BUCKET)


def add_rows(stack: Stack, tenant: Tenant) -> None:
    """The platform's rows, with the path of each video."""
    with stack.platform.engine.begin() as connection:
        for number in range(1, VIDEOS + 1):
            values = {"id": number, "company": tenant.company_id, "unique": f"{number}", "path": video_path(number)}
            run = connection.execute
            columns = "(id, project_id, company_id, unique_id)"
            run(sa.text(f"INSERT INTO ar_contents {columns} VALUES (:id, :company, :company, :unique)"), values)  # noqa: S608
            run(sa.text("INSERT INTO videos (id, ar_content_id, video_path) VALUES (:id, :id, :path)"), values)


def video_path(number: int) -> str:
    return f"initech/uploads/{number}/holiday, part {number} + 100%.mp4"


def photo_path(number: int) -> str:
    return f"initech/photos/{number} Größe+1.jpg"


def statuses(stack: Stack) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    with stack.platform.engine.connect() as connection:
        for table in ("videos", "ar_contents"):
            query = sa.text(f"SELECT thumbnail_status FROM {table}")  # noqa: S608 - one of two names
            found.update(connection.execute(query).scalars())
    return found


def keys(minio: LocalMinio) -> set[str]:
    """What the bucket holds of the company, by the keys in its rows."""
    client = minio.server.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="initech/")
    found = {item["Key"].removeprefix("initech/") for page in pages for item in page.get("Contents", [])}
    client.close()
    return found


def media_events(stack: Stack) -> list[tuple[str, str, str]]:
    """Type, key and id of each record of media.uploaded, in its order."""
    found = []
    for record in stack.platform.read_topic("media.uploaded"):
        headers = dict(record.headers())
        event_id = json.loads(record.value())["event_id"]
        found.append((headers["ce_type"].decode(), record.key().decode(), event_id))
    return found


def ingested(stack: Stack, outcome: str) -> float:
    (role,) = stack.supervisor.of("ingest s3")
    name = f'thumbnail_notifications_total{{outcome="{outcome}"}} '
    return sum(float(line.split()[-1]) for line in get(role, "/metrics")[1].splitlines() if line.startswith(name))


def kill_ingest(stack: Stack) -> None:
    (role,) = stack.supervisor.of("ingest s3")
    with suppress(ProcessLookupError):
        os.kill(role.process.pid, signal.SIGKILL)
    role.process.wait(30)
    stack.supervisor.restart_ended()


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_objects_of_minio_get_thumbnails_and_lose_them_and_each_once_though_the_role_is_killed(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path, own_minio: LocalMinio
) -> None:
    topic, rules = f"{topic_prefix}notifications-of-minio", tmp_path / "rules.toml"
    rules.write_text(RULES)
    settings = {"KAFKA_NOTIFICATIONS_TOPIC": topic, "INGEST_RULES": str(rules), "INGEST_ROW_WAIT_S": "20"}
    with an_encrypted_stack(kafka, postgres_url, topic_prefix, tmp_path, **settings) as stack:
        notify_kafka(own_minio, kafka, topic)
        tenant = minio_tenant(3, "initech", own_minio.server, BUCKET)
        store: BucketStore = tenant.store  # type: ignore[assignment]
        add_tenant(stack.platform, tenant)

        # The role is not there yet, and the rows come after their objects.
        for number in range(1, VIDEOS + 1):
            store.put(video_path(number), stack.platform.sample("video", number))
        stack.supervisor.start("ingest s3")
        stack.supervisor.wait_until_ready()
        add_rows(stack, tenant)
        for number in range(1, PHOTOS + 1):
            store.put(photo_path(number), stack.platform.sample("image", number))
            if number % 2:
                kill_ingest(stack)
        stack.supervisor.wait_until_ready()
        stack.wait_for(lambda: statuses(stack)["ready"] == VIDEOS + PHOTOS, 120)

        uploads = {(key, event_id) for _, key, event_id in media_events(stack)}
        expected = {f"video:{number}" for number in range(1, VIDEOS + 1)}
        expected |= {f"ar_content:{number}" for number in range(1, PHOTOS + 1)}
        assert Counter(key for key, _ in uploads) == dict.fromkeys(expected, 1)
        row = stack.platform.row("video:1") or {}
        shown = {item["key"] for item in row["thumbnails"]}
        assert row["thumbnail_url"].startswith(own_minio.endpoint_url)
        assert shown <= keys(own_minio)
        # MinIO announced the thumbnails, too: none of them came back.
        stack.wait_for(lambda: ingested(stack, "skipped") > 0)

        client = own_minio.server.client()
        for number in range(1, VIDEOS + 1):
            client.delete_object(Bucket=BUCKET, Key=f"initech/{video_path(number)}")
            if number in (3, 8):
                kill_ingest(stack)
        client.close()
        stack.wait_for(lambda: statuses(stack)["ready"] == PHOTOS, 60, restart=True)
        stack.wait_for(lambda: not any("/thumbnails/video/" in key for key in keys(own_minio)), 60, restart=True)
        time.sleep(1)
        deletions = {
            (key, event_id) for kind, key, event_id in media_events(stack) if kind == "vertexar.media.deleted.v1"
        }
        assert Counter(key for key, _ in deletions) == {f"video:{number}": 1 for number in range(1, VIDEOS + 1)}
        assert stack.platform.read_topic("thumbnail.dlq") == []
        assert sum("/thumbnails/image/" in key for key in keys(own_minio)) == 3 * PHOTOS
        stack.supervisor.wait_until_ready()
