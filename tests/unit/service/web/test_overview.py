"""What the page gets of the installation: the look of `status` while somebody looks, and the last figures while Kafka is away."""

from dataclasses import replace
from typing import Any

import pytest

from service.status.snapshot import Snapshot, attention, now
from service.web import overview
from service.web.feed import Feed
from service.web.overview import MAX_LAG_S, MOST, OverviewPoller, as_json, companies_of
from service.web.wall import Wall
from streams.dlq.read import grouped
from tests.unit.service.status.test_failures import dead, waiting

FOUND = Snapshot(
    now(),
    (),
    dead_letters={"thumbnail.dlq": grouped(dead("storage.denied", 3, 2))},
    waiting=[*waiting("source.missing", 4, 9), *waiting("tenant.unknown", 5, 25)],
)


class Installation:
    """A reader whose broker can be away."""

    def __init__(self) -> None:
        self.is_away = False
        self.opened = self.looks = 0

    def open(self) -> "Installation":
        self.opened += 1
        return self

    def look(self) -> Snapshot:
        self.looks += 1
        if self.is_away:
            return Snapshot(now(), (), kafka_problem="No Kafka broker answers.")
        return replace(FOUND, at=now())


def test_a_visitor_gets_the_groups_with_their_command_and_no_sentence_twice() -> None:
    wall, installation = Wall(Feed(), max_tiles=5), Installation()
    poller = OverviewPoller(installation.open, lambda: True, wall.set_overview)
    assert wall.snapshot()["overview"] is None
    poller._ask()
    found: dict[str, Any] = wall.snapshot()["overview"]
    assert [(row["code"], row["waiting"], row["retrying"], row["is_urgent"]) for row in found["failures"]] == [
        ("tenant.unknown", 0, 25, True),
        ("storage.denied", 2, 0, True),
        ("source.missing", 0, 9, False),
    ]
    assert found["failures"][1]["command"] == "thumbnails dlq replay --code storage.denied"
    assert (found["things"], found["attention"], found["dead_letters_waiting"]) == (2, [], 2)
    assert found["things"] == len(attention(FOUND, MAX_LAG_S))
    assert companies_of(found) == {3, 4, 5}


def test_nobody_who_looks_costs_kafka_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    installation, given = Installation(), list[Any]()
    OverviewPoller(installation.open, lambda: False, given.append)._ask()
    assert (installation.opened, given) == (0, [])
    monkeypatch.setattr(overview, "EVERY_S", 1000.0)
    poller = OverviewPoller(installation.open, lambda: True, given.append)
    for _ in range(3):
        poller._ask()
    assert (installation.opened, installation.looks) == (1, 1)


def test_while_kafka_is_away_the_last_figures_stay_and_then_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "EVERY_S", 0.0)
    installation, given = Installation(), list[Any]()
    poller = OverviewPoller(installation.open, lambda: True, given.append)
    for is_away in (True, False, True, False):
        installation.is_away = is_away
        poller._ask()
    assert [row["kafka"]["ok"] for row in given] == [False, True, False, True]
    assert [row["dead_letters_waiting"] for row in given] == [None, 2, 2, 2]
    assert given[2]["attention"] == ["No Kafka broker answers."]
    assert (given[0]["kafka_at"], given[2]["kafka_at"]) == (None, given[1]["at"])


def test_a_browser_gets_the_largest_groups_alone() -> None:
    letters = [one for number in range(MOST + 5) for one in dead(f"a.c{number}", 1, 1 + (number == 7))]
    found = as_json(Snapshot(now(), (), dead_letters={"thumbnail.dlq": grouped(letters)}, waiting=[]))
    assert (len(found["failures"]), found["failing_codes"]) == (MOST, MOST + 5)
    assert found["failures"][0]["code"] == "a.c7"
