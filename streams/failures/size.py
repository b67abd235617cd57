"""Dead letters that their topic takes: of what is too large only the beginning is kept, and the dead letter says so."""

from typing import Final

from schemas import headers as h
from schemas.headers import Headers
from schemas.topics import CARRIER_BYTES
from streams.kafka.records import Delivery, OutboundRecord

REPLAY_ROOM_BYTES: Final = 64 * 1024
"""The bytes that a replay adds, and that a broker counts besides: a dead letter that was sent can be sent on."""
DEAD_LETTER_BYTES: Final = CARRIER_BYTES - REPLAY_ROOM_BYTES
KEPT_VALUE_BYTES: Final = 64 * 1024
KEPT_KEY_BYTES: Final = 1024
KEPT_HEADERS_BYTES: Final = 64 * 1024
"""In all, the last ones first: those are ours, of which each is bounded."""
_BATCH_BYTES: Final = 128
_HEADER_BYTES: Final = 10


def fits(record: OutboundRecord) -> bool:
    """Return whether a topic with the limit CARRIER_BYTES surely takes `record`, and its replays."""
    return _size_bytes(record) <= DEAD_LETTER_BYTES


def fitted(dead_letter: OutboundRecord, delivery: Delivery) -> OutboundRecord:
    """Return the dead letter as it is where it fits, else the beginnings of its key and value, and its short headers.

    The header x-cut then says what is missing and where the whole record stands.
    """
    if fits(dead_letter):
        return dead_letter
    value = None if dead_letter.value is None else dead_letter.value[:KEPT_VALUE_BYTES]
    key = None if dead_letter.key is None else dead_letter.key[:KEPT_KEY_BYTES]
    headers = h.with_headers(_short_ones(dead_letter.headers), {h.CUT: _explain(delivery)})
    return OutboundRecord(dead_letter.topic, key, value, headers)


def _explain(delivery: Delivery) -> str:
    original, origin = delivery.record, delivery.origin
    where = [origin.topic, origin.partition, origin.offset]
    if None in where:
        where = [original.topic, str(original.partition), str(original.offset)]
    value_bytes, key_bytes = len(original.value or b""), len(original.key or b"")
    return (
        f"Only the beginning is here, for the record is too large for this topic: value {value_bytes} bytes,"
        f" key {key_bytes} bytes, {len(original.headers)} headers of {_headers_bytes(original.headers)} bytes."
        f" The whole is in {where[0]}, partition {where[1]}, offset {where[2]}, as long as that topic keeps it."
    )


def _short_ones(headers: Headers) -> Headers:
    kept: list[tuple[str, bytes | None]] = []
    left_bytes = KEPT_HEADERS_BYTES
    for name, value in reversed(headers):
        size = _headers_bytes(((name, value),))
        if len(value or b"") <= h.MAX_HEADER_BYTES and size <= left_bytes:
            kept.append((name, value))
            left_bytes -= size
    return tuple(reversed(kept))


def _size_bytes(record: OutboundRecord) -> int:
    """No less than what the broker will count."""
    return _BATCH_BYTES + len(record.key or b"") + len(record.value or b"") + _headers_bytes(record.headers)


def _headers_bytes(headers: Headers) -> int:
    return sum(len(name.encode()) + len(value or b"") + _HEADER_BYTES for name, value in headers)
