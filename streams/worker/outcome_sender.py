"""Sends the worker's outcomes, and waits for a cluster that takes none for now: a restart of the worker would not help."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from streams.kafka.client import NO_ANSWER, explain_fault, is_timeout
from streams.kafka.records import OutboundRecord
from streams.kafka.waiting import will_pass

log = structlog.get_logger(__name__)

SEND_TIMEOUT_S: Final = 45.0
"""Longer than the producer's own request timeout (30 s) with one retry: the producer itself must have answered by then."""
SLOW_SEND_S: Final = 10.0
"""Log a warning when the broker has not acknowledged within this time."""
RESEND_AFTER_S: Final = 1.0


class OutcomeSender:
    """Sends records one by one; several may be under way.

    `brokers_answer` and `cluster_problem` are set by whoever watches the cluster; the latter returns why it takes no records.
    """

    def __init__(self, send: Callable[[OutboundRecord], Awaitable[object]]) -> None:
        """`send` returns when all in-sync replicas have the record."""
        self.brokers_answer = True
        self.cluster_problem: Callable[[], str | None] = lambda: None
        self._client_send: Final = send
        self._waiting: Final[dict[int, str]] = {}

    @property
    def problem(self) -> str | None:
        """Return why outcomes wait for the cluster, as a sentence, while some do."""
        return next(iter(self._waiting.values()), None)

    async def send(self, record: OutboundRecord) -> None:
        """Return when all in-sync replicas have it. While the cluster takes no records, say why, and send again.

        It may write the record twice: results and event ids are the same both times. Raises what does not pass by itself,
        and a timeout when the producer says nothing at all although the cluster is well: a new process helps then.
        """
        try:
            while True:
                try:
                    return await self._send_once(record)
                except Exception as exc:
                    is_unwell = not self.brokers_answer or self.cluster_problem() is not None
                    if not (will_pass(exc) or (is_timeout(exc) and is_unwell)):
                        raise
                    self._note(record, explain_fault(exc))
                await asyncio.sleep(RESEND_AFTER_S)
        finally:
            self._waiting.pop(id(record), None)

    async def _send_once(self, record: OutboundRecord) -> None:
        # Shielded, so that a timeout here never cancels a send that the broker may still acknowledge.
        sending = asyncio.ensure_future(self._client_send(record))
        try:
            await asyncio.wait_for(asyncio.shield(sending), SLOW_SEND_S)
        except TimeoutError:
            if sending.done():  # by a timeout of its own, or just now
                sending.result()
                return
            self._note(record, NO_ANSWER)
            await asyncio.wait_for(asyncio.shield(sending), SEND_TIMEOUT_S - SLOW_SEND_S)

    def _note(self, record: OutboundRecord, reason: str) -> None:
        self._waiting[id(record)] = reason
        log.warning("broker_ack_delayed", to=record.topic, reason=reason)
