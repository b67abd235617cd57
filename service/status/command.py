"""`thumbnails status`: the whole installation on one screen, or as JSON for scripts."""

import json
import os
import signal
import sys
import threading
from typing import Annotated, Final

import typer

EXIT_ATTENTION: Final = 1


def status(
    metrics: Annotated[
        str | None,
        typer.Option(envvar="STATUS_METRICS_URLS", help="Metrics endpoints of the roles: worker:8080,persist:8080,…"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once instead of again and again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, once: see docs/status.md.")] = False,
    window: Annotated[float, typer.Option(min=1, max=86_400, help="Seconds that throughput looks back.")] = 300.0,
    max_lag: Annotated[float, typer.Option(min=0, help="Older unprocessed records need attention, in seconds.")] = 60.0,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Watch the installation; with --once exit code 1 when something needs attention. Example: thumbnails status --once --json."""
    from rich.live import Live  # Kafka's libraries and Rich are not loaded for other commands

    from service.settings import Settings
    from service.status import view
    from service.status.reader import StatusReader
    from service.status.role_endpoints import metrics_urls

    reader, console = StatusReader(Settings(), metrics_urls(metrics), window), view.console()
    try:
        if once or as_json or not console.is_terminal:
            data = (found := reader.look()).to_json(max_lag)
            if as_json:
                sys.stdout.write(json.dumps(data) + "\n")
            elif console.is_terminal:
                console.print(view.render(found, max_lag))
            else:
                sys.stdout.write(view.plain(found, max_lag))
            raise typer.Exit(0 if data["ok"] else EXIT_ATTENTION)
        is_dumb, is_told_to_end = os.environ.get("TERM") == "dumb", _end_on_interrupt()
        with Live(console=console, screen=not is_dumb, auto_refresh=False) as live:
            while not is_told_to_end.is_set():
                live.update(view.render(reader.look(), max_lag), refresh=True)
                is_told_to_end.wait(every)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    finally:
        reader.close()


def _end_on_interrupt() -> threading.Event:
    """Set by Ctrl-C, which also interrupts: an exception that is raised within a callback of a library is lost there."""
    stop_requested = threading.Event()

    def interrupt(*_: object) -> None:
        stop_requested.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    return stop_requested
