"""What is there after a campaign: records, offsets, rows, objects, files. Shares no code with the product."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from botocore.config import Config
from botocore.session import Session
from psycopg.rows import dict_row

from tests.campaign.chaos.pictures import Measured, measure
from tests.campaign.chaos.topics import TOPICS, Record, read_lags, read_topic

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOCAL_BASE_PATH: Final = "vault"
"""Of the company whose own storage is local: below it are its own objects, beside it are fallbacks."""
FALLBACK: Final = "fallback"


@dataclass(frozen=True)
class StoredFile:
    """What was read back of an object; `picture` is None when it is none."""

    size_bytes: int
    sha256: str
    picture: Measured | None = None

    @classmethod
    def of(cls, content: bytes) -> "StoredFile":
        return cls(len(content), hashlib.sha256(content).hexdigest(), measure(content))


@dataclass
class Evidence:
    """`objects` are the thumbnails by place and key; a place is the base path of a company's connection, or fallback.

    `rows` by record key; `lags` by (group, topic, partition), only those above 0; `leftovers` are sentences.
    """

    records: dict[str, list[Record]] = field(default_factory=dict)
    lags: dict[tuple[str, str, int], int] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[tuple[str, str], StoredFile] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    read_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Places:
    """Where to look. The bucket is asked directly, past the proxy."""

    bootstrap_servers: str
    database_url: str
    s3_url: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str
    storage_root: Path

    def s3(self) -> "S3Client":
        """A client with the owner's keys."""
        session: Any = Session()
        client: S3Client = session.create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.s3_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, proxies={}, max_pool_connections=16),
        )
        return client


def collect(places: Places) -> Evidence:
    """Everything, read again from its source."""
    return Evidence(
        records={topic: read_topic(places.bootstrap_servers, topic) for topic in TOPICS},
        lags=read_lags(places.bootstrap_servers)[0],
        rows=read_rows(places.database_url),
        objects=dict([*_bucket_objects(places), *_local_objects(places.storage_root)]),
        leftovers=[*_unfinished_files(places.storage_root), *_unfinished_uploads(places)],
    )


def read_rows(database_url: str) -> dict[str, dict[str, Any]]:
    """Every row that can show thumbnails, by the record key of its media."""
    rows: dict[str, dict[str, Any]] = {}
    with psycopg.connect(database_url.replace("+psycopg", ""), row_factory=dict_row) as connection:
        for kind, query in (("video", "SELECT * FROM videos"), ("ar_content", "SELECT * FROM ar_contents")):
            for row in connection.execute(query):
                rows[f"{kind}:{row['id']}"] = row
    return rows


def _bucket_objects(places: Places) -> Iterator[tuple[tuple[str, str], StoredFile]]:
    client = places.s3()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=places.bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", []) if "/thumbnails/" in item["Key"]]

    def fetch(key: str) -> StoredFile:
        return StoredFile.of(client.get_object(Bucket=places.bucket, Key=key)["Body"].read())

    with ThreadPoolExecutor(8) as pool:
        for key, file in zip(keys, pool.map(fetch, keys), strict=True):
            base_path, _, rest = key.partition("/")
            yield (base_path, rest), file
    client.close()


def _local_objects(root: Path) -> Iterator[tuple[tuple[str, str], StoredFile]]:
    for path in root.rglob("thumbnails/**/*"):
        if path.is_file():
            key = path.relative_to(root)
            place = LOCAL_BASE_PATH if key.parts[0] == LOCAL_BASE_PATH else FALLBACK
            name = str(Path(*key.parts[1:]) if place == LOCAL_BASE_PATH else key)
            yield (place, name), StoredFile.of(path.read_bytes())


def _unfinished_files(root: Path) -> Iterator[str]:
    for path in root.rglob("*"):
        if path.name.endswith(".part"):
            yield f"temporary file {path.relative_to(root)}"


def _unfinished_uploads(places: Places) -> Iterator[str]:
    client = places.s3()
    for upload in client.list_multipart_uploads(Bucket=places.bucket).get("Uploads", []):
        yield f"unfinished multipart upload {upload['Key']}"
    client.close()


def processes_of(owners: set[int], marker: str) -> list[str]:
    """Processes that outlived their owners: with `marker` in their environment, or decoders of one of `owners`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        is_decoder = any(b"processors.sandbox.slot" in part for part in arguments)
        named = {int(part) for part in arguments if part.isdigit()}
        if marker.encode() in environment or (is_decoder and named & owners):
            found.append(f"process {folder.name}: {b' '.join(arguments)[:80].decode(errors='replace')}")
    return found
