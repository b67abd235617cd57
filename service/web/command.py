"""`thumbnails web`: the command. The page's libraries are an extra, and are loaded only here."""

import importlib.util
from typing import Annotated

import typer

from service.exits import EXIT_USAGE, fail


def web(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default WEB_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one; default WEB_PORT.")
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(envvar="STATUS_METRICS_URLS", help="Metrics endpoints of the roles: worker:8080,persist:8080,…"),
    ] = None,
    allow_replay: Annotated[
        bool, typer.Option("--allow-replay", help="Show a button that replays a dead letter.")
    ] = False,
) -> None:
    """Show the newest thumbnails and failures on a web page. Example: thumbnails web --port 8090."""
    if importlib.util.find_spec("starlette") is None or importlib.util.find_spec("uvicorn") is None:
        fail("The page needs the extra `web`: pip install 'thumbnail-pipeline[web]'.", EXIT_USAGE)
    from service.settings import Settings
    from service.status.role_endpoints import metrics_urls
    from service.web.serve import WebStartError, serve

    settings = Settings()
    given = {"web_host": host, "web_port": port}
    settings.web = settings.web.model_copy(update={name: value for name, value in given.items() if value is not None})
    try:
        serve(
            settings,
            metrics_urls=metrics_urls(metrics),
            may_replay=allow_replay,
            say=lambda url: typer.echo(f"{url} shows the newest thumbnails. Ctrl-C ends it."),
        )
    except WebStartError as exc:
        fail(str(exc), EXIT_USAGE)
