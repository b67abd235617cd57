"""Keeps dead letters in a file, byte for byte, and says how far a topic may be purged: only what such a file holds.

The file has JSON lines, with keys, values and headers in base64.
"""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas import headers as h
from streams.dlq.read import DeadLetter
from streams.kafka.reader import Extent
from streams.kafka.records import InboundRecord

RecordId = tuple[str, int, int]
"""Topic, partition and offset."""
MAX_PROBLEM_CHARS: Final = 200


class ExportFileError(Exception):
    """The file cannot be written or is no export; the message says why."""


def export_dead_letters(path: Path, dead_letters: Iterable[DeadLetter]) -> int:
    """Write `dead_letters` to `path`, and return how many.

    The file appears under its name only when it is complete and on the disk: 1 a temporary file beside it, 2 fsync,
    3 rename, 4 fsync of the folder. Dying before 3 leaves the earlier file as it was. Raises ExportFileError.
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            count = 0
            for dead_letter in dead_letters:
                file.write(json.dumps(_line(dead_letter)).encode() + b"\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as exc:
        raise ExportFileError(f"{path} cannot be written: {exc.strerror}.") from exc
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
    return count


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(dead_letter: DeadLetter) -> dict[str, Any]:
    record = dead_letter.record
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "code": dead_letter.code,
        "media": dead_letter.media,
        "failed_at": h.format_time(dead_letter.failed_at),
        "key": _encoded(record.key),
        "value": _encoded(record.value),
        "headers": [[name, _encoded(value)] for name, value in record.headers],
    }


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def read_export(path: Path) -> Iterator[InboundRecord]:
    """Yield the records in an exported file, as they stood in the topic. Raises ExportFileError."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield _record(path, number, line)
    except OSError as exc:
        raise ExportFileError(f"{path} cannot be read: {exc.strerror}.") from exc


def _record(path: Path, number: int, line: bytes) -> InboundRecord:
    try:
        data = json.loads(line)
        return InboundRecord(
            topic=str(data["topic"]),
            partition=int(data["partition"]),
            offset=int(data["offset"]),
            timestamp_ms=int(data["timestamp_ms"]),
            key=_decoded(data["key"]),
            value=_decoded(data["value"]),
            headers=tuple((str(name), _decoded(value)) for name, value in data["headers"]),
        )
    except (ValueError, TypeError, KeyError) as exc:
        raise ExportFileError(f"{path}, line {number}, is no exported dead letter ({type(exc).__name__}).") from exc


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


def fingerprint(record: InboundRecord) -> bytes:
    """Return a fingerprint of key, value, headers and time."""
    parts = (record.timestamp_ms, record.key, record.value, record.headers)
    return hashlib.sha256(repr(parts).encode()).digest()


def fingerprints(path: Path) -> dict[RecordId, bytes]:
    """Return what an exported file holds. Raises ExportFileError."""
    return {(record.topic, record.partition, record.offset): fingerprint(record) for record in read_export(path)}


@dataclass
class Purgeable:
    """A partition: records before `until` may be deleted, `dead_letters` of them are there; `kept` come after."""

    until: int
    dead_letters: int = 0
    kept: int = 0


def purgeable(
    extents: Mapping[int, Extent], records: Iterable[InboundRecord], exported: Mapping[RecordId, bytes]
) -> dict[int, Purgeable]:
    """Return for each partition the longest beginning whose every record is in `exported` with the same bytes.

    Kafka deletes up to an offset, so the first record that the file does not hold ends it, whatever comes after.
    `records` are all that the topic holds within `extents`.
    """
    found = {partition: Purgeable(until=extent.low) for partition, extent in extents.items()}
    for record in records:
        state = found[record.partition]
        if state.kept == 0 and exported.get((record.topic, record.partition, record.offset)) == fingerprint(record):
            state.until = record.offset + 1
            state.dead_letters += 1
        else:
            state.kept += 1
    return found
