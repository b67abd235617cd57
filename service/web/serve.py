"""Runs the page as a process: proves that it may be served, follows Kafka, and ends in good order."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.types import Lifespan

from service.bounded_http import BoundedServer, bounded_config
from service.kafka.clients import consumers_of
from service.observability.logs import configure_logs
from service.settings import Settings
from service.status.reader import StatusReader
from service.web.access import Access, access_problem
from service.web.app import WebParts, build_app
from service.web.company_names import CompanyNames, names_from_database
from service.web.feed import MAX_VISITORS, Feed
from service.web.overview import OverviewPoller, companies_of
from service.web.replay import TileReplay
from service.web.results import ResultReader
from service.web.tiles import TileReader, origin_of
from service.web.wall import Link, Wall
from streams.kafka.records import InboundRecord
from streams.kafka.topic_reader import TopicTail

MAX_CONNECTIONS: Final = 2 * MAX_VISITORS
"""Streams, and as many requests beside them."""
UNANSWERED_MS: Final = 60_000
"""A visitor that confirms nothing for this long is cut off by the kernel, with what was written for it."""


WINDOW_S: Final = 300.0
"""Throughput looks back so far, as of `thumbnails status`."""


class WebStartError(Exception):
    """The page cannot be served; the message says why and what to do."""


class _Audience:
    """Pass what the reader's thread reports into the event loop."""

    def __init__(self, wall: Wall, tiles: TileReader, names: CompanyNames, loop: asyncio.AbstractEventLoop) -> None:
        self._wall: Final = wall
        self._tiles: Final = tiles
        self._names: Final = names
        self._loop: Final = loop

    def records(self, records: list[InboundRecord]) -> None:
        read = [self._tiles.read(record) for record in records if self._tiles.is_result(record)]
        tiles = [tile for tile in read if tile is not None]
        self._names.want({tile.company_id for tile in tiles})
        _hand_over(self._loop, self._wall.show, tiles, len(read) - len(tiles))

    def link(self, link: Link) -> None:
        _hand_over(self._loop, self._wall.set_link, link)

    def overview(self, found: dict[str, Any]) -> None:
        self._names.want(companies_of(found))
        _hand_over(self._loop, self._wall.set_overview, found)


def _hand_over(loop: asyncio.AbstractEventLoop, act: Callable[..., None], *arguments: Any) -> None:
    with suppress(RuntimeError):  # the loop has ended, and nobody looks any more
        loop.call_soon_threadsafe(act, *arguments)


class _Server(BoundedServer):
    """Ends the streams first: they would never end by themselves, and the server waits for its connections."""

    def __init__(self, config: uvicorn.Config, feed: Feed) -> None:
        super().__init__(config)
        self._feed: Final = feed

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Not uvicorn's: it would raise the signal again at the end, and a stop signal is not a failure."""
        self.force_exit = self.should_exit  # the second signal
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Extend uvicorn's method, which runs ten times a second."""
        must_end = await super().on_tick(counter)
        if must_end:
            self._feed.close()
        return must_end


def serve(
    settings: Settings, *, metrics_urls: Sequence[str] = (), may_replay: bool, say: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C; `say` gets the page's address. Raises WebStartError.

    `metrics_urls` are those of the roles, as service.status.role_endpoints.metrics_url makes them.
    """
    web = settings.web
    token = web.web_token.get_secret_value() if web.web_token else None
    problem = access_problem(web.web_host, token)
    if problem is not None:
        raise WebStartError(problem)
    image_origins = _image_origins(settings)
    feed = Feed()
    parts = WebParts(
        Wall(feed, max_tiles=web.web_tiles),
        Access(web.web_host, token, web.web_allowed_hosts),
        image_origins,
        TileReplay(settings).replay if may_replay else None,
        metrics_urls=tuple(metrics_urls),
    )
    listener = _listen(web.web_host, web.web_port)
    configure_logs(settings.log.log_format, settings.log.log_level, role="web")
    app = build_app(parts, _lifespan(settings, parts))
    config = bounded_config(app, MAX_CONNECTIONS, lifespan="on", timeout_graceful_shutdown=3)
    host = f"[{web.web_host}]" if ":" in web.web_host else web.web_host
    say(f"http://{host}:{listener.getsockname()[1]}/")
    _Server(config, feed).run(sockets=[listener])


def _image_origins(settings: Settings) -> frozenset[str]:
    given = (settings.storage.local_storage_url, *settings.web.web_image_origins)
    origins = {url: origin_of(url) for url in given}
    for url in settings.web.web_image_origins:
        if origins[url] != url.rstrip("/").lower():
            raise WebStartError(
                f"WEB_IMAGE_ORIGINS has {url!r}: give scheme and host alone, such as https://s3.example."
            )
    return frozenset(origin for origin in origins.values() if origin is not None)


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise WebStartError(f"Cannot listen on {host} port {port} ({reason}): give another --host or --port.") from exc
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
    return listener


def _lifespan(settings: Settings, parts: WebParts) -> Lifespan[Starlette]:
    topics = settings.kafka.topics
    make_consumer = consumers_of(settings.kafka, f"{settings.worker.worker_group}-web")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        loop, wall = asyncio.get_running_loop(), parts.wall
        tail = TopicTail(make_consumer, (topics.ready, topics.failed), settings.web.web_tiles)
        names = CompanyNames(names_from_database(settings), lambda found: _hand_over(loop, wall.add_names, found))
        audience = _Audience(wall, TileReader(topics.failed, parts.image_origins), names, loop)
        reader = ResultReader(tail, audience)
        poller = OverviewPoller(
            lambda: StatusReader(settings, parts.metrics_urls, WINDOW_S),
            lambda: wall.feed.visitor_count > 0,
            audience.overview,
        )
        reader.start()
        poller.start()
        names.start()
        yield
        names.stop()
        poller.stop()
        await asyncio.to_thread(reader.stop)

    return lifespan
