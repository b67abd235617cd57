"""Dead letters as the worker writes them, for the tests of what people do with them."""

import json
from collections.abc import Sequence
from datetime import timedelta

from schemas import headers as h
from streams.dlq.ledger import Ledger, Mark, MarkState, mark_record
from streams.dlq.read import DeadLetter, read_dead_letter
from streams.kafka.records import InboundRecord
from tests.doubles.pipeline import NOW

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def dead_letter_record(
    offset: int = 17,
    *,
    code: str = "storage.denied",
    company: int = 1,
    media_id: int = 42,
    topic: str = "p.thumbnail.dlq",
    origin: str | None = "p.media.uploaded",
    replays: int = 0,
    age_s: float = 0,
    value: bytes | None = None,
    partition: int = 0,
) -> InboundRecord:
    """One that failed `age_s` seconds before NOW."""
    media = {"kind": "video", "id": media_id, "ar_content_id": 9, "key": "acme/uploads/a.mp4"}
    event = {"event_id": "upload-1", "company_id": company, "media": media}
    failed_at = h.format_time(NOW - timedelta(seconds=age_s)).encode()
    headers: list[tuple[str, bytes | None]] = [
        ("own", b"\xff raw"),
        ("null", None),
        (h.TRACEPARENT, TRACE),
        (h.ORIGINAL_PARTITION, b"2"),
        (h.ERROR_CODE, code.encode()),
        (h.ERROR_STAGE, b"upload"),
        (h.ERROR_MESSAGE, b"No."),
        (h.ATTEMPTS, b"4"),
        (h.FIRST_FAILED_AT, b"2026-11-20T10:00:00.000Z"),
        (h.LAST_FAILED_AT, failed_at),
        (h.NEXT_ACTION, b"Fix it."),
    ]
    if origin is not None:
        headers.append((h.ORIGINAL_TOPIC, origin.encode()))
    if replays:
        headers.append((h.REPLAY_COUNT, b"%d" % replays))
    timestamp_ms = 1_764_000_000_000 + offset
    body = json.dumps(event).encode() if value is None else value
    return InboundRecord(topic, partition, offset, timestamp_ms, f"video:{media_id}".encode(), body, tuple(headers))


def a_dead_letter(offset: int = 17, **changes: object) -> DeadLetter:
    """As letter_record, read."""
    return read_dead_letter(dead_letter_record(offset, **changes))  # type: ignore[arg-type] # the same names


def marked(dead_letter: DeadLetter | InboundRecord, mark: Mark | MarkState) -> InboundRecord:
    """The ledger's record of a mark, as it is read."""
    record = dead_letter.record if isinstance(dead_letter, DeadLetter) else dead_letter
    written = mark_record("p.thumbnail.dlq.replays", record, mark if isinstance(mark, Mark) else Mark(mark, NOW, "x"))
    return InboundRecord(written.topic, 0, 0, 0, written.key, written.value, ())


def ledger_of(*marks: tuple[DeadLetter, Mark | MarkState]) -> Ledger:
    """A ledger that holds these marks."""
    return Ledger.read(marked(dead_letter, mark) for dead_letter, mark in marks)


class KeptMarks:
    """A sender that keeps the marks it is given, as the ledger would read them."""

    is_transactional = True

    def __init__(self) -> None:
        self.mark_batches: list[int] = []
        self.marks: list[InboundRecord] = []

    def mark(self, marks: Sequence[tuple[InboundRecord, Mark]]) -> None:
        """As in the contract."""
        self.mark_batches.append(len(marks))
        self.marks += [marked(dead_letter, mark) for dead_letter, mark in marks]
