"""How long the worker's consumer waits for one answer of a broker: short, but for the answers that wait for other members."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient, ConnectionGroup  # type: ignore[import-untyped] # it has no stubs
from aiokafka.errors import RequestTimedOutError  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.commit import OffsetCommitRequest  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.coordination import FindCoordinatorRequest  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.group import (  # type: ignore[import-untyped] # it has no stubs
    HeartbeatRequest,
    JoinGroupRequest,
    SyncGroupRequest,
)

from streams.worker.faust import answers

JOIN_MS, SESSION_MS = 90_000, 6_000


class Connection:
    """One that answers after `answer_s`, and notes the bound under which each request was sent."""

    def __init__(self, answer_s: float = 0.0) -> None:
        self._request_timeout = answers.ANSWER_S
        self._answer_s = answer_s
        self.bounds: list[float] = []
        self.is_closed = False

    async def send(self, _request: object, *, expect_response: bool) -> str:
        assert expect_response
        self.bounds.append(self._request_timeout)
        await asyncio.sleep(self._answer_s)
        return "answer"

    def connected(self) -> bool:
        return True

    def close(self, **_reason: object) -> None:
        self.is_closed = True


def a_client(connection: Connection, group: int) -> Any:
    """aiokafka's own client, with a connection that is open."""
    client: Any = AIOKafkaClient(bootstrap_servers="127.0.0.1:1", request_timeout_ms=JOIN_MS)
    answers.bound_answers(SimpleNamespace(_client=client, _session_timeout_ms=SESSION_MS))
    client.cluster.broker_metadata = lambda _node: SimpleNamespace(host="127.0.0.1", port=1)
    client._conns[1, group] = connection
    return client


def made(kind: type) -> Any:
    return object.__new__(kind)


def test_only_joins_wait_for_other_members() -> None:
    async def bounds() -> tuple[float, list[float]]:
        connection = Connection()
        client = a_client(connection, ConnectionGroup.COORDINATION)
        for kind in (HeartbeatRequest, JoinGroupRequest, SyncGroupRequest, HeartbeatRequest):
            assert await client.send(1, made(kind), group=ConnectionGroup.COORDINATION) == "answer"
        return client._request_timeout_ms / 1000, connection.bounds

    short, long = answers.ANSWER_S, JOIN_MS / 1000
    assert asyncio.run(bounds()) == (short, [short, long, long, short])
    assert short < long


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        (HeartbeatRequest, ConnectionGroup.COORDINATION),
        (OffsetCommitRequest, ConnectionGroup.COORDINATION),
        (FindCoordinatorRequest, ConnectionGroup.DEFAULT),
    ],
)
def test_a_coordinator_that_stands_still_is_given_up_within_the_session(
    kind: type, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ANSWER_S", 0.05)

    async def ask() -> bool:
        connection = Connection(answer_s=60)
        client = a_client(connection, group)
        with pytest.raises(RequestTimedOutError):
            await client.send(1, made(kind), group=group)
        return connection.is_closed

    assert asyncio.run(ask())
    assert answers.PART_OF_A_SESSION < 1


class InOrder(Connection):
    """A broker's side of one connection: the next question is looked at when the one before is answered."""

    def __init__(self, join_s: float) -> None:
        super().__init__()
        self._turn = asyncio.Lock()
        self._join_s = join_s

    async def send(self, request: object, *, expect_response: bool) -> str:
        async with self._turn:
            await asyncio.sleep(self._join_s if isinstance(request, JoinGroupRequest) else 0)
            return await super().send(request, expect_response=expect_response)


def test_a_commit_behind_a_join_waits_for_it_and_ends_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWER_S", 0.02)
    group = ConnectionGroup.COORDINATION

    async def ask() -> None:
        connection = InOrder(join_s=0.1)
        client = a_client(connection, group)
        asked = [client.send(1, made(kind), group=group) for kind in (JoinGroupRequest, OffsetCommitRequest)]
        assert await asyncio.gather(*asked) == ["answer", "answer"]
        assert not connection.is_closed
        connection._answer_s = 60  # the join is over: a broker that stands still now is given up as ever
        with pytest.raises(RequestTimedOutError):
            await client.send(1, made(OffsetCommitRequest), group=group)
        assert connection.is_closed

    asyncio.run(ask())
