"""Whether each dead letter is its record, byte for byte, with the reason beside it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from tests.campaign.chaos.oracle.facts import DEAD_LETTER_TOPICS, Finding, State
from tests.campaign.chaos.topics import Record

REASON: Final = (
    *("error-code", "error-class", "error-message", "error-stage", "retryable", "next-action"),
    *("attempts", "first-failed-at", "last-failed-at", "x-consumer-group", "x-original-timestamp"),
)
"""Every dead letter says these."""
OURS: Final = frozenset(
    {
        *REASON,
        *("retry-attempt", "retry-due-at", "retry-not-before", "x-original-topic", "x-original-partition"),
        *("x-original-offset", "replay-count", "replayed-at", "replayed-from", "parked-at", "parked-reason", "x-cut"),
    }
)
"""Working headers, by docs/dead-letters.md: a producer's own of these names are dropped, all others are kept."""


def check_dead_letters(state: State) -> Iterator[Finding]:
    """Each record of the dead letter topics, also of uploads that were replayed and failed again."""
    originals = {record.place: record for records in state.evidence.records.values() for record in records}
    for dead_letter in state.records(*DEAD_LETTER_TOPICS):
        where = f"{dead_letter.topic} {dead_letter.partition}/{dead_letter.offset}"
        named = ("x-original-topic", "x-original-partition", "x-original-offset")
        topic, partition, offset = (dead_letter.header(name) for name in named)
        original = originals.get((topic, partition, offset))
        if original is None:
            yield Finding("wrong dead letter", f"{where} names no record: {topic} {partition}/{offset}")
            continue
        problems = list(_differences(dead_letter, original))
        if problems:
            yield Finding("wrong dead letter", f"{where} of {topic} {partition}/{offset}: {'; '.join(problems)}")


def _differences(dead_letter: Record, original: Record) -> Iterator[str]:
    if dead_letter.value != original.value:
        kept, came = len(dead_letter.value or b""), len(original.value or b"")
        yield f"its value has other bytes ({kept} and not the {came} that came)"
    if dead_letter.key != original.key:
        yield f"its key is {dead_letter.key!r} instead of {original.key!r}"
    kept_headers, came_headers = _of_the_producer(dead_letter), _of_the_producer(original)
    if kept_headers != came_headers:
        changed = sorted({name for name, _ in set(kept_headers) ^ set(came_headers)}) or "their order"
        yield f"its headers are others: {changed}"
    missing = [name for name in REASON if not dead_letter.header(name)]
    if missing:
        yield f"it does not say {missing}"
    elif abs(_ms(dead_letter.header("x-original-timestamp")) - original.timestamp_ms) > 1:
        yield f"it says that its record is of {dead_letter.header('x-original-timestamp')}"


def _of_the_producer(record: Record) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in record.headers if name not in OURS]


def _ms(text: str) -> float:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000
    except ValueError:
        return 0.0
