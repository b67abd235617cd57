"""`thumbnails demo`: starts everything, publishes files, shows their way, and ends with what came of them."""

import os
import shutil
import signal
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from rich.console import Console

from schemas.errors import ThumbnailError
from service.demo.keep import require_page, say_what_to_try, wait_for_the_end
from service.demo.media import DemoFile
from service.demo.processes import NoServerError, owned_folder
from service.demo.report import print_dead_letters, print_table
from service.demo.samples import make_samples
from service.demo.sheet import write_contact_sheet
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


@dataclass(frozen=True)
class DemoOptions:
    """The options of the command line."""

    out: Path | None = None
    open_browser: bool = True
    providers: str = "local"
    keep: bool = False


def run_demo(paths: list[Path], options: DemoOptions) -> int:
    """Exit code 0 when every file ended as expected: all ready, and of the demo's own files the broken one failed."""
    console = Console()
    try:
        with _terminable(), _media_folder() as folder:
            companies = chosen_companies(options.providers)
            if options.keep:
                require_page()
            if not paths:
                console.print("Making media to try, each with something special …")
            files = _own_files(paths) if paths else make_samples(folder)
            shared = [replace(file, company=index % len(companies)) for index, file in enumerate(files)]
            return _run(shared, companies, console, options)
    except KeyboardInterrupt:
        console.print("Stopped.")
        return EXIT_INTERRUPTED
    except UnknownProviderError as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_USAGE
    except (DemoError, NoServerError, KafkaUnreachableError, PublishError, ThumbnailError, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_FAILED


def _run(files: list[DemoFile], companies: list[DemoCompany], console: Console, options: DemoOptions) -> int:
    console.print(f"Files: {len(files)}, companies: {len(companies)}. Starting a broker and the three roles …")
    with DemoStack(companies, with_page=options.keep) as stack:
        console.print(f"Running on {stack.description}.")
        engine = stack.engine()
        tenants = Tenants(SqlCompanyDirectory(engine), settings=stack.storages.settings)
        journeys = _publish(stack, Uploader(engine, tenants), files, companies)
        console.print("All are published. Each step, as Kafka and the database show it:")

        def say(journey: Journey, step: str) -> None:
            over = sum(other.is_over for other in journeys)
            line = f"[{over}/{len(journeys)}] {journey.file.path.name}: {step}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)

        finished = watch(journeys, stack.kafka_settings, engine, check=stack.check, say=say)
        sheet = write_contact_sheet(journeys, tenants, options.out or DEFAULT_OUT)
        engine.dispose()
        _report(console, journeys, sheet)
        if not finished:
            sys.stderr.write("Not every file came to its end in time.\n")
        if options.open_browser:
            _show(stack.page_url if options.keep else sheet.absolute().as_uri())
        if options.keep:
            say_what_to_try(console, stack, journeys)
            wait_for_the_end(console, stack)
    as_expected = all((journey.ready is not None) == (journey.file.expected == "ready") for journey in journeys)
    return EXIT_OK if finished and as_expected else EXIT_FAILED


def _publish(
    stack: DemoStack, uploader: Uploader, files: list[DemoFile], companies: list[DemoCompany]
) -> list[Journey]:
    journeys = [
        Journey(file, companies[file.company].slug, uploader.upload(file.company + 1, file.path)) for file in files
    ]
    producer = make_producer(stack.kafka_settings)
    publish_uploads(producer, [journey.upload for journey in journeys], topic=stack.kafka_settings.topics.uploads)
    return journeys


def _report(console: Console, journeys: list[Journey], sheet: Path) -> None:
    console.print()
    print_table(console, journeys)
    print_dead_letters(console, journeys)
    console.print(f"Contact sheet: {sheet}", highlight=False, soft_wrap=True)


def _own_files(paths: list[Path]) -> list[DemoFile]:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise DemoError(f"No such file: {', '.join(missing)}.")
    return [DemoFile(path, path.name, "ready", 0) for path in paths]


def _show(url: str) -> None:
    """In a browser, where there is a screen to show it on."""
    if sys.stdout.isatty() and (
        sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        webbrowser.open(url)


@contextmanager
def _media_folder() -> Iterator[Path]:
    folder = owned_folder("thumbnails-media-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, and the end of the terminal, unwind like Ctrl-C, so that processes and files are cleared away."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
