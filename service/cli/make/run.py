"""Make the thumbnails of many files: one that fails stops no other."""

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from processors.output.renditions import main_index
from processors.sandbox.pool import DecodeSlots
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError, ThumbnailError
from service.cli.make import report as reports
from service.cli.make.decoding import Decoding
from service.cli.make.sheet import Sheet
from service.cli.make.sources import STDIN, FileSource, MediaFile, StandardInput, find_items
from service.exits import EXIT_FAILED, EXIT_OK, EXIT_USAGE, fail

ONE_PERSON: Final = "make"
"""Whose files they are: DecodeSlots keeps its processes for them."""
AHEAD: Final = 4
"""Files that each decoder has begun or waits for, so that a slow one holds up the report, not the work."""


@dataclass(frozen=True)
class Output:
    """Where thumbnails go, and what is said of them."""

    folder: Path
    sheet: Path | None = None
    as_json: bool = False
    resume: bool = False


@dataclass(frozen=True)
class _Made:
    """The report of one file, and its main thumbnail."""

    report: dict[str, Any]
    content: bytes | None = None


def make_files(files: Sequence[str], output: Output, decoding: Decoding) -> int:
    """Make the thumbnails of every file; exit code 0 when all are ready, else 1.

    Raises OSError when the sheet or the output cannot be written.
    """
    started, out = time.monotonic(), output.folder
    if any(Path(name).is_dir() and Path(name).resolve() == out.resolve() for name in files):
        fail(f"{out} is also the --out: thumbnails would be made of thumbnails. Give another folder.", EXIT_USAGE)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        fail(f"{out} is a file: --out takes a folder.")
    with ExitStack() as stack:
        sheet = None if output.sheet is None else stack.enter_context(Sheet(output.sheet))
        found = find_items(files, out)
        summary = reports.Summary(found.passed_over)
        spec = decoding.spec
        main_format = spec.format_of(spec.renditions[main_index([wanted.name for wanted in spec.renditions])])
        show = stack.enter_context(_showing(len(found.items), as_json=output.as_json))

        def tell(made: _Made) -> None:
            summary.add(made.report)
            show(made.report)
            if sheet is not None:
                sheet.add(made.report, made.content, main_format)

        asyncio.run(_make_all(found.items, output, decoding, tell))
        sentence = summary.sentence(time.monotonic() - started)
        if sheet is not None:
            sheet.finish(sentence)
    sys.stdout.flush()
    sys.stderr.write(f"{sentence}\n")
    return EXIT_FAILED if summary.has_failures else EXIT_OK


@contextmanager
def _showing(total: int, *, as_json: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Provide what prints a report: under a bar on a terminal, and as one line elsewhere."""
    if as_json or not sys.stdout.isatty():
        yield lambda report: _print(json.dumps(report) if as_json else reports.line(report))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), transient=True) as progress:
        bar = progress.add_task("thumbnails", total=total)

        def show(report: dict[str, Any]) -> None:
            progress.console.print(reports.line(report), markup=False, soft_wrap=True, highlight=False)
            progress.advance(bar)

        yield show


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _make_all(
    items: Sequence[MediaFile], output: Output, decoding: Decoding, tell: Callable[[_Made], None]
) -> None:
    spec = decoding.spec
    async with decoding.slots_for(len(items)) as slots:
        async for made in _in_order((_make_one(item, output, slots, spec) for item in items), AHEAD * slots.count):
            tell(made)


async def _in_order(jobs: Iterable[Any], at_once: int) -> AsyncIterator[_Made]:
    """Yield the results in order, with `at_once` jobs begun: however many files there are, few are in memory."""
    begun: deque[asyncio.Task[_Made]] = deque()
    try:
        for job in jobs:
            begun.append(asyncio.create_task(job))
            if len(begun) >= at_once:
                yield await begun.popleft()
        while begun:
            yield await begun.popleft()
    finally:
        for task in begun:
            task.cancel()


async def _make_one(item: MediaFile, output: Output, slots: DecodeSlots, spec: ThumbnailSpec) -> _Made:
    if item.problem is not None:
        return _Made(reports.failed(item.path, item.problem))
    target = output.folder / item.name
    paths = _paths(target, spec)
    if output.resume and item.is_lasting and _is_there(item.path, paths):
        shown = paths[main_index([rendition.name for rendition in spec.renditions])]
        return _Made(reports.there_already(item.path), shown.read_bytes() if output.sheet else None)
    try:
        source = await _open(item.path, spec)
        try:
            made = await slots.create_thumbnails(source, spec, kind=None, tenant=ONE_PERSON)
        finally:
            source.close()
        written = _write(made, target)
    except ThumbnailError as error:
        return _Made(reports.failed(item.path, error))
    except OSError as exc:
        refused = PermanentError(ErrorCode.STORAGE_DENIED, f"{exc.filename or output.folder}: {exc.strerror}.")
        return _Made(reports.failed(item.path, refused))
    main = made.renditions[main_index([rendition.name for rendition in made.renditions])]
    return _Made(reports.ready(item.path, made, written), main.content)


async def _open(path: str, spec: ThumbnailSpec) -> FileSource | StandardInput:
    if path == STDIN:
        return await asyncio.to_thread(StandardInput, spec.max_source_bytes)
    return FileSource(Path(path))


def _paths(target: Path, spec: ThumbnailSpec) -> list[Path]:
    return [
        target.with_name(f"{target.name}-{rendition.name}.{spec.format_of(rendition).extension}")
        for rendition in spec.renditions
    ]


def _is_there(source: str, thumbnails: Sequence[Path]) -> bool:
    """Return whether every thumbnail is there, and none is older than the file."""
    try:
        made_at = Path(source).stat().st_mtime_ns
        return all(path.stat().st_mtime_ns >= made_at for path in thumbnails)
    except OSError:
        return False


def _write(made: ThumbnailSet, target: Path) -> list[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for rendition in made.renditions:
        path = target.with_name(f"{target.name}-{rendition.name}.{rendition.format.extension}")
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
