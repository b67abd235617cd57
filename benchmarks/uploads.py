"""Uploads of small objects by our provider against plain boto3 with the same checks, on a real MinIO.

Run: python -m benchmarks.uploads [--json FILE] [--slices N] [--seconds S]. Both send the SHA-256 along and compare what
the server confirms; threads are as many on both sides, and slices of both alternate.
"""

import argparse
import base64
import hashlib
import ipaddress
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config
from rich.console import Console
from rich.table import Table

from storage.credentials import parse_credentials
from storage.outbound import EndpointPolicy
from storage.s3.credentials import MinioCredentials
from storage.s3.provider import MinioStorageProvider
from tests.servers.s3.minio import LocalMinio
from tests.servers.s3.server import S3Server

SIZE_BYTES = 20_000
BUCKET = "bench"
Upload = Callable[[str, bytes], None]


def our_upload(server: S3Server) -> Upload:
    """The provider, as the worker uses it."""
    found = {"endpoint": server.endpoint_url, "bucket": BUCKET}
    found |= {"access_key": server.access_key, "secret_key": server.secret_key}
    policy = EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)
    provider = MinioStorageProvider(parse_credentials(MinioCredentials, found), policy=policy)

    def upload(key: str, content: bytes) -> None:
        provider.upload_file(key, content, content_type="image/webp")

    return upload


def plain_upload(server: S3Server) -> Upload:
    """What one would write with boto3 alone."""
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )

    def upload(key: str, content: bytes) -> None:
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        answer = client.put_object(
            Bucket=BUCKET, Key=key, Body=content, ContentType="image/webp", ChecksumSHA256=checksum
        )
        if answer.get("ChecksumSHA256") != checksum:
            raise AssertionError("not confirmed")

    return upload


def rate(upload: Upload, threads: int, seconds: float, number: Iterator[int]) -> float:
    """Objects a second."""
    content = os.urandom(SIZE_BYTES)
    until = time.perf_counter() + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < until:
            upload(f"acme/thumbnails/video/{next(number)}/v/medium.webp", content)
            done += 1
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    return done / (time.perf_counter() - started)


def measure(slices: int, seconds: float) -> list[dict[str, float]]:
    """One row a number of threads; the ratio is the median of neighbours'."""
    minio = LocalMinio(say=print)
    minio.start()
    try:
        minio.server.make_bucket(BUCKET)
        ours, plain, number = our_upload(minio.server), plain_upload(minio.server), itertools.count()
        rows = []
        for threads in (1, 8):
            rate(ours, threads, 1, number)
            rate(plain, threads, 1, number)
            pairs = [
                (rate(ours, threads, seconds, number), rate(plain, threads, seconds, number)) for _ in range(slices)
            ]
            rows.append(
                {
                    "threads": threads,
                    "ours_per_s": statistics.median(pair[0] for pair in pairs),
                    "plain_per_s": statistics.median(pair[1] for pair in pairs),
                    "ratio": statistics.median(a / b for a, b in pairs),
                    "worst_ratio": min(a / b for a, b in pairs),
                }
            )
        return rows
    finally:
        minio.stop()


def main() -> int:
    """Print the table; 1 when the ratio is below 0.9."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(options.slices, options.seconds)
    table = Table("threads", "ours /s", "boto3 /s", "ratio", "worst")
    for row in rows:
        table.add_row(*(f"{row[name]:.2f}" for name in row))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0 if all(row["ratio"] >= 0.9 for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
