"""The wall and its feed: bounded memory, the newest outcome of each upload, and visitors who come again."""

import asyncio
import json
from typing import Any

import pytest

from service.web.feed import KEPT_BYTES, MAX_VISITORS, MAX_WAITING, Feed, FeedFullError, Visitor
from service.web.tiles import Tile
from service.web.wall import BATCH, Link, LinkState, Wall


def a_tile(number: int, at_ms: int | None = None, state: str = "ready") -> Tile:
    at_ms = number if at_ms is None else at_ms
    data = {"key": str(number), "at_ms": at_ms, "state": state}
    return Tile(str(number), at_ms, 1, f"video:{number}", f"upload-{number}", state == "failed", data)


def shown(wall: Wall) -> list[str]:
    return [tile["key"] for tile in wall.snapshot()["tiles"]]


def drain(visitor: Visitor) -> list[tuple[str, Any]]:
    async def all_that_waits() -> list[bytes]:
        found = []
        while (change := await visitor.next(0.01)) is not None:
            found.append(change.wire)
        return found

    events = [wire.decode().splitlines() for wire in asyncio.run(all_that_waits())]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for _, name, data, _ in events]


def test_only_the_newest_are_kept_and_told() -> None:
    wall = Wall(Feed(), max_tiles=3)
    visitor, _ = wall.feed.join(None)
    wall.show([a_tile(number) for number in (5, 1, 4, 2, 3)])
    assert shown(wall) == ["3", "4", "5"]
    ((name, reported),) = drain(visitor)
    assert (name, [tile["key"] for tile in reported]) == ("tiles", ["3", "4", "5"])


def test_a_later_outcome_replaces_an_earlier_one_and_never_the_other_way_round() -> None:
    wall = Wall(Feed(), max_tiles=10)
    wall.show([a_tile(1, at_ms=20)])
    visitor, _ = wall.feed.join(None)
    wall.show([a_tile(1, at_ms=10, state="failed")])
    assert wall.snapshot()["tiles"][0]["state"] == "ready"
    wall.show([a_tile(1, at_ms=20)])  # the same again, as after an outage
    assert drain(visitor) == []
    wall.show([a_tile(1, at_ms=30, state="failed")])
    assert [tile["state"] for tile in wall.snapshot()["tiles"]] == ["failed"]


def test_many_results_at_once_come_in_events_of_bounded_size() -> None:
    wall = Wall(Feed(), max_tiles=1000)
    visitor, _ = wall.feed.join(None)
    wall.show([a_tile(number) for number in range(120)])
    assert [len(reported) for _, reported in drain(visitor)] == [BATCH, BATCH, 20]


def test_since_when_kafka_is_away_stays_while_it_is_away() -> None:
    wall = Wall(Feed(), max_tiles=10)
    wall.set_link(Link(LinkState.AWAY, "one reason"))
    since = wall.snapshot()["link"]["since"]
    wall.set_link(Link(LinkState.AWAY, "another"))
    assert wall.snapshot()["link"] == {"state": "away", "since": since, "hint": "another"}


def test_a_visitor_who_comes_again_gets_exactly_what_it_missed() -> None:
    feed = Feed()
    feed.publish("a", 1)
    last_id = feed.last_id
    feed.publish("a", 2)
    feed.publish("a", 3)
    visitor, goes_on = feed.join(last_id)
    assert goes_on
    assert drain(visitor) == [("a", 2), ("a", 3)]


@pytest.mark.parametrize(
    "last_id", [None, "", "x", "-1", "other-1", "{epoch}-", "{epoch}-99", "{epoch}-²", "{epoch}-" + "9" * 30]
)
def test_an_id_that_says_nothing_begins_with_a_snapshot(last_id: str | None) -> None:
    feed = Feed()
    feed.publish("a", 1)
    epoch = feed.last_id.partition("-")[0]
    _, goes_on = feed.join(last_id.format(epoch=epoch) if last_id else last_id)
    assert not goes_on


def test_who_missed_more_than_is_kept_begins_with_a_snapshot() -> None:
    feed = Feed()
    feed.publish("a", 0)
    first = feed.last_id
    for _ in range(8):
        feed.publish("a", "x" * (KEPT_BYTES // 4))
    _, goes_on = feed.join(first)
    assert not goes_on


def test_a_visitor_who_does_not_keep_up_is_let_go_and_the_others_are_not() -> None:
    feed = Feed()
    slow, _ = feed.join(None)
    for number in range(MAX_WAITING):
        feed.publish("a", number)
    quick, _ = feed.join(None)
    feed.publish("a", "one too much")
    assert slow.is_dropped
    assert drain(slow) == []
    assert (drain(quick), quick.is_dropped, feed.visitor_count) == ([("a", "one too much")], False, 1)


def test_there_is_a_limit_to_visitors() -> None:
    feed = Feed()
    visitors = [feed.join(None)[0] for _ in range(MAX_VISITORS)]
    with pytest.raises(FeedFullError):
        feed.join(None)
    feed.leave(visitors[0])
    feed.join(None)
