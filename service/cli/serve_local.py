"""`thumbnails serve-local`: local storage under LOCAL_STORAGE_URL, so that its pictures open in a browser."""

import errno
import importlib.util
import sys
from contextlib import closing
from typing import Annotated
from urllib.parse import urlsplit

import typer

from service.cli.loading import loading
from service.exits import EXIT_USAGE, fail


def serve_local(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; without it, that of LOCAL_STORAGE_URL. 0 is a free one.")
    ] = None,
) -> None:
    """Serve local storage, read-only, where LOCAL_STORAGE_URL says. Example: thumbnails serve-local.

    For trying, and for one machine: there is no TLS and no login, and each company's files can be seen by all.
    """
    if importlib.util.find_spec("starlette") is None or importlib.util.find_spec("uvicorn") is None:
        fail("Serving needs the extra `web`: pip install 'thumbnail-pipeline[web]'.", EXIT_USAGE)
    with loading():
        from service.roles.local_files import LocalFilesServer
        from service.settings import StorageSettings

    local = StorageSettings().local
    base_path, chosen = _place_of(local.base_url, port)
    try:
        server = LocalFilesServer(local, base_path, host, chosen)
    except OSError as exc:
        fail(_refusal(exc, host, chosen))
    with closing(server):
        sys.stdout.write(f"Serving {local.root} at {local.base_url}, on {host} port {server.port}, until Ctrl-C.\n")
        sys.stdout.flush()
        server.serve()


def _place_of(url: str, port: int | None) -> tuple[str, int]:
    """Return the path and the port of LOCAL_STORAGE_URL; `port` goes before its own."""
    try:
        parts = urlsplit(url)
        own = parts.port or (80 if parts.scheme == "http" else None)
    except ValueError:
        fail(f"LOCAL_STORAGE_URL={url} is no URL: such as http://localhost:8000/storage.", EXIT_USAGE)
    chosen = own if port is None else port
    if parts.scheme == "https" and port is None:
        fail("LOCAL_STORAGE_URL begins with https://, which needs a proxy: give the --port that it asks.", EXIT_USAGE)
    if chosen is None or not parts.hostname:
        fail(f"LOCAL_STORAGE_URL={url} is no URL: such as http://localhost:8000/storage.", EXIT_USAGE)
    return parts.path, chosen


def _refusal(exc: OSError, host: str, port: int) -> str:
    advice = "set LOCAL_STORAGE_URL to another port for all roles, or give another --host or --port"
    if exc.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is taken by another process: {advice}."
    return f"{host} port {port}: {exc.strerror or exc}: {advice}."
