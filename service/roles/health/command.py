"""`thumbnails health`: a role's own probe, for containers without curl; loads nothing of Kafka or the database."""

import json
import sys
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer

from service.exits import EXIT_FAILED


def health(
    port: Annotated[int, typer.Option(envvar="HTTP_PORT", min=1, max=65535, help="The role's port.")] = 8080,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether its dependencies are up, too.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="How long it may take to answer, in seconds.")] = 3.0,
) -> None:
    """Ask a role on this host whether it makes progress; exit code 1 when not. Example: thumbnails health --port 8080."""
    url = f"http://{host}:{port}/health/{'ready' if ready else 'live'}"
    try:
        details = _ask(url, timeout)
    except (OSError, ValueError) as exc:
        reason = exc.reason if isinstance(exc, urllib.error.URLError) else exc
        sys.stderr.write(f"{url} does not answer ({reason}): does the role run, and is this its HTTP_PORT?\n")
        raise typer.Exit(EXIT_FAILED) from None
    sys.stdout.write(json.dumps(details) + "\n")
    raise typer.Exit(0 if details["ok"] else EXIT_FAILED)


def _ask(url: str, timeout_s: float) -> dict[str, Any]:
    """Return the details, whichever status they come with. Raises OSError, or ValueError for what is no role's answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows another 127.0.0.1
    try:
        with opener.open(url, timeout=timeout_s) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
    details = json.loads(body)
    if not isinstance(details, dict) or not isinstance(details.get("ok"), bool):
        raise ValueError("what answers is no role")  # noqa: TRY004 - another server answered: no type is at fault
    return details
