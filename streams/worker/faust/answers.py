"""Bounds how long aiokafka waits for one answer, so that a broker that stands still is soon replaced by another one.

aiokafka has one bound for all requests, and it must be longer than a rebalance, since the answer to a join waits for all
other members. With it, a frozen broker whose connections stay open held up the question for the cluster's new leaders,
and each new connection, for a minute and a half.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped] # it has no stubs
from aiokafka.client import ConnectionGroup  # type: ignore[import-untyped] # it has no stubs
from aiokafka.conn import CloseReason  # type: ignore[import-untyped] # it has no stubs
from aiokafka.errors import RequestTimedOutError  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.coordination import FindCoordinatorRequest  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest  # type: ignore[import-untyped] # it has no stubs

PART_OF_A_SESSION: Final = 0.5
ANSWER_S: Final = 20.0
"""Java's clients wait for 30 s. A fetch is answered after half a second, whether there are records or not."""
_WAITS_FOR_OTHERS: Final = (JoinGroupRequest, SyncGroupRequest)


def bound_answers(consumer: AIOKafkaConsumer) -> None:
    """Let `consumer`, which is not started yet, wait as long as before only when it joins its group.

    Other requests about the membership get less than its session: a group whose coordinator hangs has another one after some
    seconds, and a member that reaches it in time stays one, and repeats no work. A broker answers the
    requests of one connection in order: one behind a join, such as a commit, waits as long as the join.
    """
    client: Any = consumer._client  # noqa: SLF001 - there is no public way to bound a single request
    longest_s: float = client._request_timeout_ms / 1000  # noqa: SLF001 - see above
    session_s: float = consumer._session_timeout_ms / 1000  # noqa: SLF001 - see above
    of_members_s = min(ANSWER_S, session_s * PART_OF_A_SESSION)
    client._request_timeout_ms = int(ANSWER_S * 1000)  # noqa: SLF001 - see above
    send = client.send
    joins: Counter[tuple[Any, Any]] = Counter()

    async def send_in_time(node_id: Any, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        is_join = isinstance(request, _WAITS_FOR_OTHERS)
        if isinstance(request, FindCoordinatorRequest) or (group is ConnectionGroup.COORDINATION and not is_join):
            place = (node_id, group)
            answer = send(node_id, request, group=group)
            return await _within(of_members_s, answer, lambda: joins[place] > 0, lambda: _close(client, place))
        if not is_join or not await client.ready(node_id, group=group):
            return await send(node_id, request, group=group)
        connection = client._conns[node_id, group]  # noqa: SLF001 - see above
        connection._request_timeout = longest_s  # noqa: SLF001 - see above
        joins[node_id, group] += 1
        try:
            return await send(node_id, request, group=group)
        finally:
            joins[node_id, group] -= 1
            connection._request_timeout = ANSWER_S  # noqa: SLF001 - see above

    client.send = send_in_time


async def _within(
    seconds: float, answer: Awaitable[Any], is_behind_a_join: Callable[[], bool], close: Callable[[], None]
) -> Any:
    """Return the answer, or do as aiokafka does without one: close the connection, so that the next question gets a new one.

    That would end a join that waits on the connection, and so the rebalance would begin again.
    """
    asked = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait({asked}, timeout=seconds))[0]:
            if not is_behind_a_join():
                asked.cancel()
                close()
                raise RequestTimedOutError
        return await asked
    finally:
        asked.cancel()


def _close(client: Any, place: tuple[Any, Any]) -> None:
    connection = client._conns.get(place)  # noqa: SLF001 - see above
    if connection is not None:
        connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
