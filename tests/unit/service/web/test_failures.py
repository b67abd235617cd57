"""What the page gets of failures: the groups of status while somebody looks, and nothing new while Kafka is away."""

from typing import Any

import pytest

from service.web import failures
from service.web.failures import MOST, FailurePoller, as_json
from service.web.feed import Feed
from service.web.wall import Wall
from streams.dlq.read import ErrorGroup, grouped
from streams.dlq.retries import WaitingRetry
from streams.kafka.reader import TopicReadError
from tests.unit.service.status.test_failures import dead, waiting


class Kafka:
    """A reader whose broker can be away."""

    def __init__(self) -> None:
        self.is_away = False
        self.opened = self.looks = 0

    def open(self) -> "Kafka":
        self.opened += 1
        return self

    def dead_letters(self) -> dict[str, list[ErrorGroup]]:
        self.looks += 1
        if self.is_away:
            raise TopicReadError("No Kafka broker answers.")
        return {"thumbnail.dlq": grouped(dead("storage.denied", 3, 2))}

    def retries(self) -> list[WaitingRetry]:
        return waiting("source.missing", 4, 1)


def test_a_visitor_gets_the_groups_with_their_command_at_once_and_when_they_are_new() -> None:
    wall, kafka = Wall(Feed(), max_tiles=5), Kafka()
    poller = FailurePoller(kafka.open, lambda: True, wall.set_failures)
    assert wall.snapshot()["failures"] is None
    poller._ask()
    found: dict[str, Any] = wall.snapshot()["failures"]
    assert [(row["code"], row["waiting"], row["retrying"]) for row in found["failures"]] == [
        ("storage.denied", 2, 0),
        ("source.missing", 0, 1),
    ]
    assert found["failures"][0]["command"] == "thumbnails dlq replay --code storage.denied"
    assert [(row["code"], row["company_id"]) for row in found["waiting_retries"]] == [("source.missing", 4)]


def test_nobody_who_looks_costs_kafka_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka, given = Kafka(), list[Any]()
    poller = FailurePoller(kafka.open, lambda: False, given.append)
    poller._ask()
    assert (kafka.opened, given) == (0, [])
    monkeypatch.setattr(failures, "EVERY_S", 1000.0)
    poller = FailurePoller(kafka.open, lambda: True, given.append)
    for _ in range(3):
        poller._ask()
    assert (kafka.opened, kafka.looks) == (1, 1)


def test_while_kafka_is_away_the_last_state_stays_and_then_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "EVERY_S", 0.0)
    kafka, given = Kafka(), list[Any]()
    poller = FailurePoller(kafka.open, lambda: True, given.append)
    for is_away in (False, True, False):
        kafka.is_away = is_away
        poller._ask()
    assert (kafka.opened, len(given)) == (1, 2)


def test_a_browser_gets_the_largest_groups_alone() -> None:
    letters = [one for number in range(MOST + 5) for one in dead(f"a.c{number}", 1, 1 + (number == 7))]
    found = as_json({"thumbnail.dlq": grouped(letters)}, [])
    assert len(found["failures"]) == MOST
    assert found["failures"][0]["code"] == "a.c7"
