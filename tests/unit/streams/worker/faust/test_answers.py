"""How long the worker's consumer waits for one answer of a broker: short, but for the answers that wait for other members."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient, ConnectionGroup  # type: ignore[import-untyped] # it has no stubs
from aiokafka.errors import RequestTimedOutError  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.fetch import FetchRequest  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.group import (  # type: ignore[import-untyped] # it has no stubs
    HeartbeatRequest,
    JoinGroupRequest,
    SyncGroupRequest,
)

from streams.worker.faust import answers

JOIN_MS = 90_000


class Connection:
    """A coordinator's, which notes the bound under which each request was sent."""

    def __init__(self) -> None:
        self._request_timeout = answers.ANSWER_S
        self.bounds: list[float] = []

    async def send(self, _request: object, *, expect_response: bool) -> str:
        assert expect_response
        self.bounds.append(self._request_timeout)
        if self._request_timeout == 0:
            raise TimeoutError
        return "answer"

    def connected(self) -> bool:
        return True

    def close(self, **_reason: object) -> None:
        """Nothing."""


async def bounds_of(requests: list[Any], *, answer_s: float) -> tuple[float, list[float]]:
    """The bound of new connections, and that of each request on one that is open. The client is aiokafka's own."""
    client: Any = AIOKafkaClient(bootstrap_servers="127.0.0.1:1", request_timeout_ms=JOIN_MS)
    answers.bound_answers(SimpleNamespace(_client=client))
    connection = Connection()
    connection._request_timeout = answer_s
    client.cluster.broker_metadata = lambda _node: SimpleNamespace(host="127.0.0.1", port=1)
    client._conns[1, ConnectionGroup.COORDINATION] = connection
    for request in requests:
        assert await client.send(1, request, group=ConnectionGroup.COORDINATION) == "answer"
    return client._request_timeout_ms / 1000, connection.bounds


def made(kind: type) -> Any:
    return object.__new__(kind)


def test_only_joins_wait_for_other_members() -> None:
    kinds = (HeartbeatRequest, JoinGroupRequest, SyncGroupRequest, HeartbeatRequest, FetchRequest)
    of_new, bounds = asyncio.run(bounds_of([made(kind) for kind in kinds], answer_s=answers.ANSWER_S))
    short, long = answers.ANSWER_S, JOIN_MS / 1000
    assert (of_new, bounds) == (short, [short, long, long, short, short])
    assert short < long


def test_an_answer_that_does_not_come_is_an_error_of_aiokafkas() -> None:
    with pytest.raises(RequestTimedOutError):
        asyncio.run(bounds_of([made(HeartbeatRequest)], answer_s=0))
