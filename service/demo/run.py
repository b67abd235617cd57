"""`thumbnails demo`: starts everything, publishes files, shows their way, and ends with what came of them."""

import os
import shutil
import signal
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from rich.console import Console

from schemas.errors import ThumbnailError
from service.demo.media import DemoFile, make_demo_media
from service.demo.processes import NoServerError, owned_folder
from service.demo.report import print_dead_letters, print_table, write_contact_sheet
from service.demo.stack import DemoError, DemoStack
from service.demo.storages import DemoCompany, UnknownProviderError, chosen_companies
from service.demo.watch import Journey, watch
from service.exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from service.kafka.clients import make_producer
from service.kafka.connection import KafkaUnreachableError
from service.publish.uploads import PublishError, Uploader, publish_uploads
from storage.tenants import Tenants
from streams.rows.companies import SqlCompanyDirectory

DEFAULT_OUT: Final = Path("thumbnails-demo")


def run_demo(paths: list[Path], *, out: Path | None, open_browser: bool, providers: str = "local") -> int:
    """Exit code 0 when every file ended as expected: all ready, and of the demo's own files the broken one failed."""
    console = Console()
    try:
        with _terminable(), _media_folder() as folder:
            companies = chosen_companies(providers)
            files = _own_files(paths) if paths else make_demo_media(folder)
            shared = [replace(file, company=index % len(companies)) for index, file in enumerate(files)]
            return _run(shared, companies, console, out or DEFAULT_OUT, open_browser=open_browser)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return EXIT_INTERRUPTED
    except UnknownProviderError as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_USAGE
    except (DemoError, NoServerError, KafkaUnreachableError, PublishError, ThumbnailError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_FAILED


def _run(
    files: list[DemoFile], companies: list[DemoCompany], console: Console, out: Path, *, open_browser: bool
) -> int:
    console.print(f"{len(files)} files of {len(companies)} companies. Starting a broker and the three roles …")
    with DemoStack(companies) as stack:
        console.print(f"Running on {stack.description}.")
        engine = stack.engine()
        tenants = Tenants(SqlCompanyDirectory(engine), settings=stack.storages.settings)
        uploader = Uploader(engine, tenants)
        journeys = [
            Journey(file, companies[file.company].slug, uploader.upload(file.company + 1, file.path)) for file in files
        ]
        producer = make_producer(stack.kafka_settings)
        publish_uploads(producer, [journey.upload for journey in journeys], topic=stack.kafka_settings.topics.uploads)

        def say(journey: Journey, step: str) -> None:
            journey.steps.append(step)
            over = sum(other.is_over for other in journeys)
            line = f"[{over}/{len(journeys)}] {journey.file.path.name}: {' -> '.join(journey.steps)}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)

        finished = watch(journeys, stack.kafka_settings, engine, check=stack.check_roles, say=say)
        sheet = write_contact_sheet(journeys, tenants, out)
        engine.dispose()
    print_table(console, journeys)
    print_dead_letters(console, journeys)
    console.print(f"Contact sheet: {sheet}", highlight=False, soft_wrap=True)
    if open_browser:
        _show(sheet)
    if not finished:
        sys.stderr.write("Not every file came to its end in time.\n")
    as_expected = all((journey.ready is not None) == (journey.file.expected == "ready") for journey in journeys)
    return EXIT_OK if finished and as_expected else EXIT_FAILED


def _own_files(paths: list[Path]) -> list[DemoFile]:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DemoError(f"No such file: {', '.join(missing)}.")
    return [DemoFile(path, path.name, "ready", 0) for path in paths]


def _show(sheet: Path) -> None:
    """In a browser, where there is a screen to show it on."""
    if sys.stdout.isatty() and (
        sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        webbrowser.open(sheet.absolute().as_uri())


@contextmanager
def _media_folder() -> Iterator[Path]:
    folder = owned_folder("thumbnails-media-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, so that processes and files are cleared away."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
