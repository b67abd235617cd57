"""Writes the campaign's records, as upload services of several makes do: each codec, strange headers, tombstones."""

import json
from typing import Any, Final

from confluent_kafka import Producer

from tests.campaign.chaos.oracle.facts import CAMPAIGN_ID, Published
from tests.campaign.chaos.poison import ODD_HEADERS, POISONS, Headers
from tests.campaign.chaos.uploads import CODECS, Case

FLUSH_TIMEOUT_S: Final = 60.0
TOPIC: Final = "media.uploaded"
_FILLER: Final = "Fields that are not known are ignored. " * 8
"""A client leaves a batch uncompressed that would not be smaller: this makes sure that it is."""


class NotWrittenError(Exception):
    """The brokers did not acknowledge a record in time."""


class RecordWriter:
    """One producer for each codec."""

    def __init__(self, bootstrap_servers: str) -> None:
        common: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "acks": "all", "enable.idempotence": True}
        common |= {"partitioner": "murmur2_random", "log_level": 0}  # that a broker is away is what is wanted
        self._producers: Final = {codec: Producer(common | {"compression.type": codec}) for codec in CODECS}

    def write(self, upload: Published) -> None:
        """Return when it is acknowledged. Raises NotWrittenError."""
        planned = upload.planned
        value, headers = json.dumps(upload.event | {"x_filler": _FILLER}).encode(), list[tuple[str, bytes | None]]()
        if planned.case is Case.POISON:
            value, headers = POISONS[planned.oddity].value(upload.event), list(POISONS[planned.oddity].headers)
        elif planned.oddity:
            headers = ODD_HEADERS[planned.oddity]
        named: Headers = [(CAMPAIGN_ID, planned.event_id.encode()), *headers]
        self._write(planned.codec, planned.record_key, value, named)

    def write_tombstone(self, record_key: str) -> None:
        """Say that the media was deleted; likewise."""
        self._write("none", record_key, None, [])

    def _write(self, codec: str, key: str, value: bytes | None, headers: Headers) -> None:
        producer = self._producers[codec]
        producer.produce(TOPIC, key=key, value=value, headers=headers)  # type: ignore[arg-type] # null values are taken
        if producer.flush(FLUSH_TIMEOUT_S):
            raise NotWrittenError(f"{key} was not acknowledged within {FLUSH_TIMEOUT_S:.0f} s")
