"""Bounds how long aiokafka waits for one answer, so that a broker that stands still is soon replaced by another one.

aiokafka has one bound for all requests, and it must be longer than a rebalance, since the answer to a join waits for all
other members. With it, a frozen broker whose connections stay open held up the question for the cluster's new leaders,
and each new connection, for a minute and a half.
"""

from typing import Any, Final

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped] # it has no stubs
from aiokafka.client import ConnectionGroup  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest  # type: ignore[import-untyped] # it has no stubs

ANSWER_S: Final = 20.0
"""Java's clients wait for 30 s. A fetch is answered after half a second, whether there are records or not."""
_WAITS_FOR_OTHERS: Final = (JoinGroupRequest, SyncGroupRequest)


def bound_answers(consumer: AIOKafkaConsumer) -> None:
    """Let `consumer`, which is not started yet, wait for ANSWER_S, and as long as before only when it joins its group."""
    client: Any = consumer._client  # noqa: SLF001 - there is no public way to bound a single request
    longest_s: float = client._request_timeout_ms / 1000  # noqa: SLF001 - see above
    client._request_timeout_ms = int(ANSWER_S * 1000)  # noqa: SLF001 - see above
    send = client.send

    async def send_in_time(node_id: Any, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        if not isinstance(request, _WAITS_FOR_OTHERS) or not await client.ready(node_id, group=group):
            return await send(node_id, request, group=group)
        connection = client._conns[node_id, group]  # noqa: SLF001 - see above
        connection._request_timeout = longest_s  # noqa: SLF001 - see above
        try:
            return await send(node_id, request, group=group)
        finally:
            connection._request_timeout = ANSWER_S  # noqa: SLF001 - see above

    client.send = send_in_time
