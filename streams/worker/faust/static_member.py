"""Notices that another process has replaced this static member: aiokafka would join again, and the two would do so for ever."""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final, NoReturn

from aiokafka import errors  # type: ignore[import-untyped] # it has no stubs

_FENCED_INSTANCE_ID: Final = 82


class ReplacedMemberError(errors.KafkaError):  # type: ignore[misc] # it has no stubs
    """Another process has the same `group.instance.id`. `errno` is Kafka's number of it, which aiokafka does not know."""

    errno = _FENCED_INSTANCE_ID

    def __init__(self) -> None:
        super().__init__("the broker has given its place in the group to another process")


def _refuse() -> NoReturn:
    raise ReplacedMemberError


def report_replacement(consumer: Any, report: Callable[[BaseException], None]) -> None:
    """Let `report` know of it once the consumer was started; the member does not join again then.

    The broker says it to a member that is joining, whose join fails. To one that has joined it says, at the next
    heartbeat or commit, that it does not know it. So it does after the end of a session: then the member joins again.
    """
    errors.kafka_errors[_FENCED_INSTANCE_ID] = _refuse  # aiokafka calls what stands there, to raise its own error
    coordinator = consumer._coordinator  # noqa: SLF001 - there is no public way to hear of a heartbeat's answer
    session_s = coordinator._session_timeout_ms / 1000  # noqa: SLF001
    beat, reset = coordinator._do_heartbeat, coordinator.reset_generation  # noqa: SLF001
    known_at = 0.0
    is_replaced = False

    async def do_heartbeat() -> Any:
        nonlocal known_at
        asked_at = monotonic()
        is_known = is_replaced or await beat()
        if is_known:
            known_at = asked_at
        return is_known

    def reset_generation() -> None:
        nonlocal is_replaced
        is_closing = coordinator._closing.done()  # noqa: SLF001
        if not is_closing and coordinator.generation > 0 and monotonic() - known_at < session_s:
            is_replaced = True
            report(ReplacedMemberError())
        else:
            reset()

    coordinator._do_heartbeat = do_heartbeat  # noqa: SLF001
    coordinator.reset_generation = reset_generation
