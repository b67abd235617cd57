"""`thumbnails make`: the pipeline's own decoding for local files, without Kafka."""

import asyncio
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from processors.sandbox.pool import DecodeSlots
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError, ThumbnailError
from service.exits import EXIT_FAILED, EXIT_OK
from service.roles.decoding import build_slots, build_spec
from service.settings import DecodeSettings


class FileSource:
    """A local file as a source of bytes."""

    def __init__(self, path: Path) -> None:
        """Raises PermanentError source.unreadable when the file cannot be opened or is not a regular file."""
        try:
            if not path.is_file():
                raise PermanentError(ErrorCode.SOURCE_UNREADABLE, f"{path} is not a file.")
            self._fd: Final = os.open(path, os.O_RDONLY)
        except OSError as exc:
            raise PermanentError(ErrorCode.SOURCE_UNREADABLE, f"{path}: {exc.strerror}.") from exc
        self.size = os.fstat(self._fd).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """As processors.types.Source asks."""
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


def make_files(files: list[Path], out: Path, settings: DecodeSettings, *, as_json: bool) -> int:
    """Make the thumbnails of every file into `out`; exit code 0 when all are ready, else 1."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        sys.stderr.write(f"{out}: {exc.strerror}.\n")
        return EXIT_FAILED
    return asyncio.run(_make_all(files, out, settings, as_json=as_json))


async def _make_all(files: list[Path], out: Path, settings: DecodeSettings, *, as_json: bool) -> int:
    spec = build_spec(settings)
    stems = _distinct_stems(files)
    failed = 0
    async with build_slots(settings) as slots:
        permits = asyncio.Semaphore(settings.decode_slots)
        tasks = [asyncio.create_task(_make_one(path, stem, out, slots, spec, permits)) for path, stem in stems]
        with Progress(transient=True, disable=as_json or not sys.stdout.isatty()) as progress:
            bar = progress.add_task("thumbnails", total=len(tasks))
            for task in tasks:
                report = await task
                failed += report["status"] == "failed"
                progress.advance(bar)
                progress.console.print(
                    json.dumps(report) if as_json else _line(report), markup=False, soft_wrap=True, highlight=False
                )
    return EXIT_FAILED if failed else EXIT_OK


async def _make_one(
    path: Path, stem: str, out: Path, slots: DecodeSlots, spec: ThumbnailSpec, permits: asyncio.Semaphore
) -> dict[str, Any]:
    async with permits:
        try:
            source = FileSource(path)
            try:
                made = await slots.create_thumbnails(source, spec, kind=None)
            finally:
                source.close()
            return _ready(path, made, _write(made, stem, out))
        except ThumbnailError as error:
            return _failed(path, error)
        except OSError as exc:
            return _failed(path, PermanentError(ErrorCode.STORAGE_DENIED, f"{out}: {exc.strerror}."))


def _write(made: ThumbnailSet, stem: str, out: Path) -> list[Path]:
    paths = []
    for rendition in made.renditions:
        path = out / f"{stem}-{rendition.name}.{rendition.format.extension}"
        _replace(path, rendition.content)
        paths.append(path)
    return paths


def _replace(path: Path, content: bytes) -> None:
    """Write the whole file or none of it: an interruption or a full disk leaves what was there before, and nothing beside it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _ready(path: Path, made: ThumbnailSet, written: Iterable[Path]) -> dict[str, Any]:
    return {
        "source": str(path),
        "status": "ready",
        "kind": made.source.kind,
        "error": None,
        "frame": asdict(made.frame),
        "media": {
            "codec": made.source.codec,
            "format": made.source.format,
            "width": made.source.width,
            "height": made.source.height,
            "duration_s": made.source.duration_s,
            "rotation": made.source.rotation,
        },
        "degraded": made.degraded,
        "degraded_reason": made.degraded_reason,
        "renditions": [
            {
                "name": rendition.name,
                "path": str(where),
                "width": rendition.width,
                "height": rendition.height,
                "format": rendition.format,
                "bytes": len(rendition.content),
            }
            for rendition, where in zip(made.renditions, written, strict=True)
        ],
    }


def _failed(path: Path, error: ThumbnailError) -> dict[str, Any]:
    return {
        "source": str(path),
        "status": "failed",
        "kind": None,
        "error": {"code": error.code, "retryable": error.retryable, "message": error.message},
        "frame": None,
        "media": None,
        "degraded": False,
        "degraded_reason": None,
        "renditions": [],
    }


def _line(report: dict[str, Any]) -> str:
    if report["status"] == "failed":
        return f"failed  {report['source']}: {report['error']['code']}: {report['error']['message']}"
    sizes = ", ".join(f"{item['name']} {item['width']}x{item['height']}" for item in report["renditions"])
    time_s = report["frame"]["time_s"]
    moment = "" if time_s is None else f" at {time_s:.2f} s"
    caution = f" (degraded: {report['degraded_reason']})" if report["degraded"] else ""
    return f"ready   {report['source']}{moment}: {sizes}{caution}"


def _distinct_stems(files: list[Path]) -> list[tuple[Path, str]]:
    """Return a file name for each source: its own stem, numbered where two sources share it."""
    taken: set[str] = set()
    used: Counter[str] = Counter()
    stems = []
    for path in files:
        stem = re.sub(r"[^\w.-]", "_", path.stem)
        while True:
            used[stem] += 1
            name = stem if used[stem] == 1 else f"{stem}-{used[stem]}"
            if name not in taken:
                break
        taken.add(name)
        stems.append((path, name))
    return stems
