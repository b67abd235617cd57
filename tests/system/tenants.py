"""Several companies with storage of their own each, seen from outside: rows, sources, and what must be in each store."""

import hashlib
import io
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from PIL import Image

from tests.servers.azure.azurite import AzureServer
from tests.servers.gcs.double import GcsDouble
from tests.servers.s3.server import S3Server
from tests.servers.yandex.server import YandexDouble
from tests.system.platform import Platform, Upload


class Store(Protocol):
    """One tenant's storage, used directly and not by the way that the worker takes. Keys are below the base path."""

    def put(self, key: str, content: bytes) -> None: ...
    def objects(self) -> dict[str, bytes]: ...


@dataclass(frozen=True)
class FolderStore:
    """Below local storage's root."""

    folder: Path

    def put(self, key: str, content: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def objects(self) -> dict[str, bytes]:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


@dataclass(frozen=True)
class BucketStore:
    """A bucket, with its owner's keys."""

    server: S3Server
    bucket: str
    base_path: str = ""

    def put(self, key: str, content: bytes) -> None:
        client = self.server.client()
        client.put_object(Bucket=self.bucket, Key=self._prefix + key, Body=content)
        client.close()

    def objects(self) -> dict[str, bytes]:
        client = self.server.client()
        found = {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._prefix):
            for item in page.get("Contents", []):
                body = client.get_object(Bucket=self.bucket, Key=item["Key"])["Body"]
                found[item["Key"].removeprefix(self._prefix)] = body.read()
        client.close()
        return found

    @property
    def _prefix(self) -> str:
        return f"{self.base_path}/" if self.base_path else ""


@dataclass(frozen=True)
class ContainerStore:
    """A container of Azure's, with its account's key."""

    server: AzureServer
    container: str
    base_path: str = ""

    def put(self, key: str, content: bytes) -> None:
        with self.server.service() as service:
            service.get_blob_client(self.container, self._prefix + key).upload_blob(content, overwrite=True)

    def objects(self) -> dict[str, bytes]:
        with self.server.service() as service, service.get_container_client(self.container) as container:
            names = list(container.list_blob_names(name_starts_with=self._prefix))
            return {name.removeprefix(self._prefix): container.download_blob(name).readall() for name in names}

    @property
    def _prefix(self) -> str:
        return f"{self.base_path}/" if self.base_path else ""


@dataclass(frozen=True)
class GcsStore:
    """A bucket of the double of Google Cloud Storage."""

    server: GcsDouble
    bucket: str
    base_path: str = ""

    def put(self, key: str, content: bytes) -> None:
        self.server.put(self.bucket, self._prefix + key, content, {})

    def objects(self) -> dict[str, bytes]:
        with self.server.lock:
            found = list(self.server.buckets[self.bucket].items())
        return {name.removeprefix(self._prefix): kept.content for name, kept in found if name.startswith(self._prefix)}

    @property
    def _prefix(self) -> str:
        return f"{self.base_path}/" if self.base_path else ""


@dataclass(frozen=True)
class DiskStore:
    """An account of the double of Yandex Disk."""

    double: YandexDouble
    token: str
    base_path: str

    def put(self, key: str, content: bytes) -> None:
        disk = self.double.disks[self.token]
        parts = f"/{self.base_path}/{key}".split("/")
        with disk.lock:
            for depth in range(2, len(parts)):
                folder = "/".join(parts[:depth])
                if folder not in disk.entries:
                    disk.make_folder(folder)
            disk.put("/".join(parts), content)

    def objects(self) -> dict[str, bytes]:
        prefix = f"/{self.base_path}/"
        files = self.double.disks[self.token].files()
        return {path.removeprefix(prefix): content for path, content in files.items()}


@dataclass
class Tenant:
    """One company: how its row describes its storage, and the newest upload of each media."""

    company_id: int
    slug: str
    provider: str
    credentials: dict[str, str]
    store: Store
    base_path: str = ""
    expected: dict[str, Upload] = field(default_factory=dict)


def add_tenant(platform: Platform, tenant: Tenant) -> None:
    """Its rows, with credentials that are plain as yet: see `thumbnails credentials encrypt`."""
    values = {"id": tenant.company_id, "slug": tenant.slug, "provider": tenant.provider, "base": tenant.base_path}
    with platform.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO storage_connections (id, name, provider, credentials, base_path, is_default, is_active)"
                " VALUES (:id, :slug, :provider, :credentials, :base, false, true)"
            ),
            values | {"credentials": json.dumps(tenant.credentials)},
        )
        connection.execute(
            sa.text(
                "INSERT INTO companies (id, name, slug, storage_connection_id, storage_path, is_active)"
                " VALUES (:id, :slug, :slug, :id, :slug, true)"
            ),
            values,
        )
        connection.execute(sa.text("INSERT INTO projects (id, company_id, name) VALUES (:id, :id, 'p')"), values)


def add_rows(platform: Platform, tenant: Tenant, media_ids: range) -> None:
    values = [{"id": number, "company": tenant.company_id, "unique": str(uuid.uuid4())} for number in media_ids]
    contents = (
        "INSERT INTO ar_contents (id, project_id, company_id, unique_id) VALUES (:id, :company, :company, :unique)"
    )
    with platform.engine.begin() as connection:
        connection.execute(sa.text(contents), values)
        connection.execute(sa.text("INSERT INTO videos (id, ar_content_id) VALUES (:id, :id)"), values)


def upload_for(platform: Platform, tenant: Tenant, media_id: int, kind: str = "image", number: int = 0) -> Upload:
    """Store sample `number` in the tenant's own storage and make its event; the row must exist."""
    key = f"{tenant.slug}/uploads/{uuid.uuid4().hex}.{'mp4' if kind == 'video' else 'jpg'}"
    tenant.store.put(key, platform.sample(kind, number))
    event = {
        "event_id": str(uuid.uuid4()),
        "occurred_at": datetime.now(UTC).isoformat(),
        "company_id": tenant.company_id,
        "media": {"kind": kind, "id": media_id, "ar_content_id": media_id, "key": key},
    }
    upload = Upload(event, sound=True)
    tenant.expected[upload.record_key] = upload
    return upload


def problems_of(platform: Platform, tenant: Tenant) -> list[str]:
    """What is wrong with the tenant's rows and objects; empty when all of its uploads are ready in its own storage."""
    objects, found, owned = tenant.store.objects(), [], set()
    for record_key, upload in tenant.expected.items():
        row = platform.row(record_key)
        if row is None or row["thumbnail_status"] != "ready":
            found.append(f"{tenant.slug} {record_key}: {row and (row['thumbnail_status'], row['thumbnail_error'])}")
            continue
        if row["thumbnail_event_id"] != upload.event["event_id"]:
            found.append(f"{tenant.slug} {record_key}: the row shows another upload")
        thumbnails = row["thumbnails"]
        thumbnails = json.loads(thumbnails) if isinstance(thumbnails, str) else thumbnails
        owned |= {item["key"] for item in thumbnails}
        found += [problem for item in thumbnails if (problem := _object_problem(objects.get(item["key"]), item))]
    orphans = {key for key in objects if "/thumbnails/" in key} - owned
    found += [f"{tenant.slug}: orphan {key}" for key in sorted(orphans)]
    found += [f"{tenant.slug}: left behind {key}" for key in objects if key.endswith(".part")]
    fallbacks = platform.storage_root.glob(f"{tenant.slug}/thumbnails/**/*")
    return found + [f"{tenant.slug}: in local storage {path.name}" for path in fallbacks if path.is_file()]


def _object_problem(content: bytes | None, item: dict[str, Any]) -> str | None:
    if content is None:
        return f"{item['key']} is not in the tenant's storage"
    if hashlib.sha256(content).hexdigest() != item["sha256"]:
        return f"{item['key']} has other bytes"
    with Image.open(io.BytesIO(content)) as picture:
        return None if picture.size == (item["width"], item["height"]) else f"{item['key']} is {picture.size}"
