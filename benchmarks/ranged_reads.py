"""What one thumbnail costs on a real S3: bytes, requests and time by ranges, against downloading the file first.

Run: python -m benchmarks.ranged_reads [--json FILE] [--runs N]. It makes its own inputs (a 60 MB H.264 1080p clip with
its index at the end, the same as a 1 GB clip, a WebM, a 12-megapixel JPEG), starts a MinIO, and puts a proxy before it
that adds latency. Both ways use the same provider, the same warm decode slot, and alternate.
"""

import argparse
import asyncio
import ipaddress
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from rich.console import Console
from rich.table import Table

from benchmarks.clips import write_clip, write_photograph
from processors.sandbox.pool import DecodeSlots
from processors.types import Kind, ThumbnailSpec
from service.cli.make.sources import FileSource
from storage.credentials import parse_credentials
from storage.outbound import EndpointPolicy
from storage.s3.credentials import MinioCredentials
from storage.s3.provider import MinioStorageProvider
from tests.servers.s3.minio import LocalMinio
from tests.servers.toxiproxy import Latency, Toxiproxy

LATENCIES_MS = (0, 20, 100)
LIMITS = {"H.264 1080p, 60 MB": (2_000_000, 12), "H.264 1080p, 1 GB": (8_000_000, 16)}
"""The aim: bytes read and requests at most."""
BUCKET = "bench"


@dataclass(frozen=True)
class Input:
    """One file, and what the table calls it."""

    name: str
    path: Path
    kind: Kind


def make_inputs(folder: Path) -> list[Input]:
    """Noise on a moving texture: it fills the bit rate."""
    # One quantiser for all frames: a rate control that has to settle makes a first frame of twice the others' size.
    clip = write_clip(folder / "clip.mp4", "libx264", (1920, 1080), 735, {"preset": "ultrafast", "g": "50", "qp": "35"})
    huge = _repeat(clip, folder / "huge.mp4", 1_000_000_000)
    options = {"deadline": "realtime", "cpu-used": "8", "g": "50"}
    webm = write_clip(folder / "clip.webm", "libvpx-vp9", (1280, 720), 250, options, bit_rate=6_000_000)
    photo = write_photograph(folder / "photo.jpg", quality=90)
    return [
        Input("H.264 1080p, 60 MB", clip, "video"),
        Input("H.264 1080p, 1 GB", huge, "video"),
        Input("VP9 720p WebM", webm, "video"),
        Input("JPEG 12 MP", photo, "image"),
    ]


def _repeat(clip: Path, path: Path, size_bytes: int) -> Path:
    """The same packets again and again, until the file is that long."""
    with av.open(str(path), "w") as out:
        stream: Any = None
        shift = written = 0
        while written < size_bytes:
            with av.open(str(clip)) as container:
                source = container.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                for packet in container.demux(source):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.stream, packet.pts, packet.dts = stream, packet.pts + shift, packet.dts + shift
                    written += packet.size
                    out.mux(packet)
                shift += source.duration or 0
    return path


class CountingProvider:
    """The provider, and what went over the network."""

    def __init__(self, minio: LocalMinio, url: str) -> None:
        found = {"endpoint": url, "bucket": BUCKET, "access_key": minio.access_key, "secret_key": minio.secret_key}
        policy = EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)
        self.provider = MinioStorageProvider(parse_credentials(MinioCredentials, found), policy=policy)
        self.requests = self.received_bytes = 0
        events = self.provider._client.meta.events  # noqa: SLF001 - boto3's own place to listen
        events.register("before-send.s3.*", self._sent)
        events.register("after-call.s3.*", self._answered)

    def _sent(self, **_: Any) -> None:
        self.requests += 1

    def _answered(self, parsed: dict[str, Any], **_: Any) -> None:
        self.received_bytes += int(parsed.get("ContentLength") or 0)

    def reset(self) -> None:
        """Count from here."""
        self.requests = self.received_bytes = 0


async def by_ranges(slots: DecodeSlots, counted: CountingProvider, item: Input) -> None:
    with counted.provider.open_source(item.path.name) as source:
        await slots.create_thumbnails(source, ThumbnailSpec(), kind=item.kind)


async def by_download(slots: DecodeSlots, counted: CountingProvider, item: Input, copy: Path) -> None:
    counted.provider.download_file(item.path.name, copy)
    source = FileSource(copy)
    await slots.create_thumbnails(source, ThumbnailSpec(), kind=item.kind)
    source.close()


def measure(runs: int) -> list[dict[str, Any]]:
    """One row an input and latency."""
    with tempfile.TemporaryDirectory() as name:
        folder, console = Path(name), Console(stderr=True)
        console.print("Making the inputs …")
        inputs = make_inputs(folder)
        minio, toxiproxy, slots = LocalMinio(say=print), Toxiproxy(say=print), DecodeSlots(1)
        minio.start()
        toxiproxy.start()
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(slots.start())
            minio.server.make_bucket(BUCKET)
            client = minio.server.client()
            for item in inputs:
                with item.path.open("rb") as body:
                    client.put_object(Bucket=BUCKET, Key=item.path.name, Body=body)
            client.close()
            with toxiproxy.proxy(minio.endpoint_url) as proxy:
                counted = CountingProvider(minio, proxy.url)
                rows = []
                for latency_ms in LATENCIES_MS:
                    proxy.clear()
                    if latency_ms:
                        proxy.add(Latency(latency_ms))
                    for item in inputs:
                        console.print(f"{item.name}, {latency_ms} ms …")
                        rows.append(_row(loop, slots, counted, item, latency_ms, runs, folder / "copy"))
            return rows
        finally:
            slots.kill()
            toxiproxy.stop()
            minio.stop()


def _row(
    loop: asyncio.AbstractEventLoop,
    slots: DecodeSlots,
    counted: CountingProvider,
    item: Input,
    latency_ms: int,
    runs: int,
    copy: Path,
) -> dict[str, Any]:
    ranges_s, download_s = [], []
    loop.run_until_complete(by_ranges(slots, counted, item))
    for _ in range(runs):
        counted.reset()
        ranges_s.append(_timed(lambda: loop.run_until_complete(by_ranges(slots, counted, item))))
        requests, received = counted.requests, counted.received_bytes
        download_s.append(_timed(lambda: loop.run_until_complete(by_download(slots, counted, item, copy))))
    ranges, download = statistics.median(ranges_s), statistics.median(download_s)
    size = item.path.stat().st_size
    return {
        "input": item.name,
        "size_bytes": size,
        "latency_ms": latency_ms,
        "read_bytes": received,
        "read_share": received / size,
        "requests": requests,
        "ranges_s": ranges,
        "download_s": download,
        "ratio": download / ranges,
    }


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> int:
    """Print the table; 1 when an aim was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(options.runs)
    table = Table("input", "size MB", "latency ms", "read MB", "share", "requests", "ranges s", "download s", "ratio")
    for row in rows:
        table.add_row(
            row["input"],
            f"{row['size_bytes'] / 1e6:.1f}",
            str(row["latency_ms"]),
            f"{row['read_bytes'] / 1e6:.2f}",
            f"{row['read_share']:.1%}",
            str(row["requests"]),
            f"{row['ranges_s']:.3f}",
            f"{row['download_s']:.3f}",
            f"{row['ratio']:.1f}",
        )
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    missed = [
        row
        for row in rows
        if row["input"] in LIMITS
        and (row["read_bytes"] > LIMITS[row["input"]][0] or row["requests"] > LIMITS[row["input"]][1])
    ]
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
