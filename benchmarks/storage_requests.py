"""The requests and bytes that one upload of each kind costs at an S3 storage: what the store's bill is made of.

Run: python -m benchmarks.storage_requests [--inputs FOLDER] [FILE ...]. The table of docs/sizing.md. Each kind goes through the service
and its decode slots as in a worker, from and to a real S3 server; each answered request is counted at the S3 client,
by its operation. The result does not depend on the machine.
"""

import argparse
import asyncio
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks.clips import Input, h264_camera, h264_drawn, inputs_folder, other_videos, photographs
from benchmarks.slots import SPEC
from processors.sandbox.pool import DecodeSlots
from schemas.events import MediaKind, ThumbnailReady
from schemas.metrics import Metrics
from storage.credentials import parse_credentials
from storage.s3.credentials import MinioCredentials
from storage.s3.provider import MinioStorageProvider
from storage.tenants import TenantStorage
from streams.thumbnails.service import Progress, ThumbnailService
from streams.thumbnails.storage_calls import StorageCalls
from streams.thumbnails.store import RenditionStore
from tests.doubles.pipeline import OneTenant, an_upload
from tests.doubles.s3_connection import LOOPBACK
from tests.servers.s3.choice import choose_s3
from tests.servers.s3.server import S3Server

BUCKET: Final = "requests"
OPERATIONS: Final = ("GetObject", "HeadObject", "PutObject", "ListObjectsV2")


class Bill:
    """Counts answered requests by their operation, and the bytes of the objects that were read."""

    def __init__(self, provider: MinioStorageProvider) -> None:
        self.requests: Counter[str] = Counter()
        self.read_bytes = 0
        name = "_client"
        getattr(provider, name).meta.events.register("after-call.s3", self._count)

    def _count(self, *, model: Any, parsed: dict[str, Any], **_more: Any) -> None:
        self.requests[model.name] += 1
        if model.name == "GetObject":
            self.read_bytes += int(parsed.get("ContentLength", 0))


class S3Tenant(OneTenant):
    """Company 1, whose storage is a bucket."""

    def __init__(self, provider: MinioStorageProvider) -> None:
        super().__init__()
        self._provider: Final = provider

    def open(self, company_id: int) -> TenantStorage:  # noqa: ARG002 - the port's signature
        """Return the bucket."""
        return TenantStorage(self._provider, "acme", 5, "minio")


def a_provider(server: S3Server) -> MinioStorageProvider:
    """Return a provider of the server's bucket."""
    found = {"endpoint": server.endpoint_url, "bucket": BUCKET, "access_key": server.access_key}
    credentials = parse_credentials(MinioCredentials, found | {"secret_key": server.secret_key})
    return MinioStorageProvider(credentials, policy=LOOPBACK)


def put_source(provider: MinioStorageProvider, path: Path) -> str:
    """Store the file as the platform's own upload does; return its key."""
    key = f"acme/uploads/{path.name}"
    provider.upload_file(key, path.read_bytes(), content_type="application/octet-stream")
    return key


async def bill_of(provider: MinioStorageProvider, slots: DecodeSlots, path: Path, number: int) -> tuple[Bill, int]:
    """Make the thumbnails of one upload; return its bill, and the bytes of all renditions."""
    key = put_source(provider, path)
    with ThreadPoolExecutor(4) as threads:
        calls = StorageCalls(S3Tenant(provider), threads, Metrics())
        service = ThumbnailService(calls, RenditionStore(calls), slots, SPEC)
        upload = an_upload(key=key, event_id=f"upload-{number}")
        kind = MediaKind.VIDEO if path.suffix in (".mp4", ".webm", ".mkv", ".mov", ".avi") else MediaKind.IMAGE
        upload = upload.model_copy(update={"media": upload.media.model_copy(update={"kind": kind})})
        bill = Bill(provider)
        ready: ThumbnailReady = await service.create(upload, Progress(), attempt=1, is_final=lambda _error: False)
    return bill, sum(one.bytes for one in ready.renditions)


async def run(server: S3Server, inputs: Path | None, files: list[Path]) -> None:
    """Print a line for each of the files, or for each kind."""
    server.make_bucket(BUCKET)
    with inputs_folder(inputs) as folder:
        items = [Input(path.name, path) for path in files] or [
            *(h264_camera(folder), h264_drawn(folder)),
            *(*other_videos(folder), *photographs(folder)),
        ]
        print(f"| upload | size KiB | {' | '.join(OPERATIONS)} | others | read KiB | written KiB |")
        print(f"|{'---|' * (len(OPERATIONS) + 5)}")
        async with DecodeSlots(1) as slots:
            for number, item in enumerate(items):
                provider = a_provider(server)
                bill, written = await bill_of(provider, slots, item.path, number)
                provider.close()
                counts = [bill.requests.pop(name, 0) for name in OPERATIONS]
                sizes = f"{bill.read_bytes / 1024:.0f} | {written / 1024:.0f}"
                size = item.path.stat().st_size / 1024
                named = " | ".join(map(str, counts))
                print(f"| {item.name} | {size:.0f} | {named} | {bill.requests.total()} | {sizes} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", help="Files of your own, in place of the kinds.")
    parser.add_argument("--inputs", type=Path, help="Folder that keeps the inputs for another run.")
    options = parser.parse_args()
    s3 = choose_s3(lambda line: print(line, file=sys.stderr))
    s3.start()
    try:
        asyncio.run(run(s3.server, options.inputs, options.files))
    finally:
        s3.stop()


if __name__ == "__main__":
    main()
