"""Reads how Faust's aiokafka consumer looks from outside: there is no public way to ask it whether it is alive."""

from typing import Any

from streams.kafka.ports import TopicPartition
from streams.worker.watchdog import Signs


def read_owned(consumer: Any) -> frozenset[TopicPartition]:
    """Return topic and partition of what the consumer may fetch now; its own methods need its own thread."""
    inner = consumer._thread._consumer  # noqa: SLF001 - see read_signs
    subscription = inner._subscription.subscription if inner is not None else None  # noqa: SLF001
    assignment = subscription.assignment if subscription is not None else None
    return (
        frozenset((partition.topic, partition.partition) for partition in assignment.tps) if assignment else frozenset()
    )


def read_signs(consumer: Any, in_flight: int) -> Signs:
    """Return the consumer's signs."""
    inner = consumer._thread._consumer  # noqa: SLF001 - see above, all of these
    coordinator = inner._coordinator if inner is not None else None  # noqa: SLF001
    if coordinator is None:  # not started yet
        return Signs(is_member=False, is_joining=True, in_flight=in_flight)
    subscription = inner._subscription.subscription  # noqa: SLF001
    assignment = subscription.assignment if subscription is not None else None
    failure = consumer._thread.failure or coordinator._pending_exception  # noqa: SLF001 - Faust asks for it only when it has partitions
    for task in (coordinator._coordination_task, inner._fetcher._fetch_task):  # noqa: SLF001
        if failure is None and task is not None and task.done() and not task.cancelled():
            failure = task.exception()
    states = [assignment.state_value(partition) for partition in assignment.tps] if assignment is not None else []
    return Signs(
        failure=failure,
        newest_fetch_ms=max((state.timestamp or 0 for state in states if state is not None), default=None),
        is_member=coordinator.generation > 0 and coordinator.coordinator_id is not None,
        is_joining=coordinator._performed_join_prepare,  # noqa: SLF001
        in_flight=in_flight,
    )
