"""How far a dead letter topic may be purged: only what an exported file holds, byte for byte, and never more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streams.dlq.export import Place, fingerprint
from streams.kafka.reader import Extent
from streams.kafka.records import InboundRecord


@dataclass
class Purgeable:
    """A partition: records before `until` may be deleted, `letters` of them are there; `kept` come after."""

    until: int
    letters: int = 0
    kept: int = 0


def purgeable(
    extents: Mapping[int, Extent], records: Iterable[InboundRecord], exported: Mapping[Place, bytes]
) -> dict[int, Purgeable]:
    """For each partition the longest beginning whose every record is in `exported` with the same bytes.

    Kafka deletes up to an offset, so the first record that the file does not hold ends it, whatever comes after.
    `records` are all that the topic holds within `extents`.
    """
    found = {partition: Purgeable(until=extent.low) for partition, extent in extents.items()}
    for record in records:
        state = found[record.partition]
        place = (record.topic, record.partition, record.offset)
        if state.kept == 0 and exported.get(place) == fingerprint(record):
            state.until = record.offset + 1
            state.letters += 1
        else:
            state.kept += 1
    return found
