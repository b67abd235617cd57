"""The present content of the page, in bounded memory: the newest tiles, the state of Kafka, how it is going."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from schemas.headers import format_time
from service.web.feed import Feed
from service.web.tiles import Tile

BATCH: Final = 50
"""Tiles in one event at most: it must fit well into what waits for a slow client."""
MOST_NAMES: Final = 5000


class LinkState(StrEnum):
    """How we stand to Kafka. `MISSING`: it answers, but has not our topics."""

    CONNECTING = "connecting"
    LIVE = "live"
    AWAY = "away"
    MISSING = "missing"


@dataclass(frozen=True)
class Link:
    """The state, and a sentence of what to do where there is something to do."""

    state: LinkState
    hint: str = ""


class Wall:
    """Everything that a new visitor is shown; every change is fed to those who are there. For one thread alone."""

    def __init__(self, feed: Feed, *, max_tiles: int) -> None:
        self.feed: Final = feed
        self._max_tiles: Final = max_tiles
        self._tiles: dict[str, Tile] = {}
        self._link: Link = Link(LinkState.CONNECTING)
        self._link_since = datetime.now(UTC)
        self._overview: dict[str, Any] | None = None
        self._names: dict[str, str] = {}
        self._unreadable = 0

    def tile(self, key: str) -> Tile | None:
        """Return the tile with this key, while it is among the newest."""
        return self._tiles.get(key)

    def show(self, tiles: Iterable[Tile], unreadable: int = 0) -> None:
        """Take tiles in; an older outcome of an upload never replaces a newer one."""
        changed: dict[str, Tile] = {}
        for tile in tiles:
            known = self._tiles.get(tile.key)
            if known is None or (known.at_ms <= tile.at_ms and known != tile):
                self._tiles[tile.key] = changed[tile.key] = tile
        for tile in heapq.nsmallest(len(self._tiles) - self._max_tiles, self._tiles.values(), key=_age):
            del self._tiles[tile.key]
            changed.pop(tile.key, None)
        self._unreadable += unreadable
        shown = sorted(changed.values(), key=_age)
        for start in range(0, len(shown), BATCH):
            self.feed.publish("tiles", [tile.data for tile in shown[start : start + BATCH]])
        if unreadable:
            self.feed.publish("unreadable", self._unreadable)

    def set_link(self, link: Link) -> None:
        """Kafka's state; `since` stays while the state is the same."""
        if link == self._link:
            return
        if link.state is not self._link.state:
            self._link_since = datetime.now(UTC)
        self._link = link
        self.feed.publish("link", self._link_data())

    def set_overview(self, overview: dict[str, Any]) -> None:
        """Set how the installation is going, as JSON: see service.web.overview."""
        self._overview = overview
        self.feed.publish("overview", overview)

    def add_names(self, names: Mapping[int, str]) -> None:
        """Learn names of companies; of more than MOST_NAMES those that were learnt first are forgotten."""
        self._names |= {str(company): name for company, name in names.items()}
        for company in list(self._names)[: max(0, len(self._names) - MOST_NAMES)]:
            del self._names[company]
        self.feed.publish("names", {str(company): name for company, name in names.items()})

    def snapshot(self) -> dict[str, Any]:
        """Return all of it, for a new visitor."""
        return {
            "max_tiles": self._max_tiles,
            "tiles": [tile.data for tile in sorted(self._tiles.values(), key=_age)],
            "link": self._link_data(),
            "overview": self._overview,
            "names": self._names,
            "unreadable": self._unreadable,
        }

    def _link_data(self) -> dict[str, Any]:
        return {"state": self._link.state, "since": format_time(self._link_since), "hint": self._link.hint}


def _age(tile: Tile) -> tuple[int, str]:
    return tile.at_ms, tile.key
