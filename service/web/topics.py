"""Asks for the topics' state now and then, as long as somebody looks."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from schemas.headers import format_time
from service.status.topic_states import TopicState
from service.web.wall import Wall

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.5


async def poll_topics(wall: Wall, read: Callable[[], tuple[TopicState, ...]], every_s: float = EVERY_S) -> None:
    """Until cancelled. `read` blocks, and may raise anything that a broker out of reach makes of it."""
    while True:
        while not wall.feed.visitor_count:  # noqa: ASYNC110 - visitors come through other tasks, seldom
            await asyncio.sleep(LOOK_AGAIN_S)
        try:
            wall.set_topics(as_json(await asyncio.to_thread(read)))
        except Exception as exc:  # noqa: BLE001 - the page says since when Kafka is away; the last state stays, with its time
            log.info("topics_out_of_reach", reason=str(exc))
        await asyncio.sleep(every_s)


def as_json(states: Iterable[TopicState]) -> dict[str, Any]:
    """What the browser gets."""
    return {
        "at": format_time(datetime.now(UTC)),
        "topics": [
            {
                "name": state.name,
                "partitions": state.partitions,
                "records": state.records,
                "groups": [
                    {
                        "group": group.group,
                        "lag_records": group.lag_records,
                        "oldest_unprocessed_at": format_time(group.oldest_unprocessed_at)
                        if group.oldest_unprocessed_at
                        else None,
                    }
                    for group in state.groups
                ],
            }
            for state in states
        ],
    }
