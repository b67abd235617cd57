"""What the oracle works with: what was published and broken, what was found, and both by the uploads' ids."""

import collections
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.campaign.chaos.evidence import LOCAL_BASE_PATH, Evidence
from tests.campaign.chaos.plan import FaultKind
from tests.campaign.chaos.topics import Record
from tests.campaign.chaos.uploads import ACME, GLOBEX, HOOLI, Case, PlannedUpload

CAMPAIGN_ID: Final = "x-campaign-id"
"""A header of every record that the campaign publishes; it passes through to retries and dead letters."""
BASE_PATHS: Final = {ACME: LOCAL_BASE_PATH, GLOBEX: "globex", HOOLI: "hooli"}
"""Of each company's connection: the place of its objects."""
RETRY_TOPICS: Final = ("thumbnail.retry.1", "thumbnail.retry.2", "thumbnail.retry.3")
REJECTED: Final = "vertexar.media.rejected.v1"
DEAD_LETTER_TOPICS: Final = ("thumbnail.dlq", "thumbnail.dlq.parked")


@dataclass(frozen=True)
class Published:
    """A record as it was published; `event` is its JSON, or what the JSON of a poison record was made from."""

    planned: PlannedUpload
    event: dict[str, Any]
    published_at: datetime
    source_late_s: list[float] = field(default_factory=list, compare=False)
    """When its source really came, if it came later: a full disk or a held-up campaign delays that."""

    @property
    def happened_at(self) -> datetime:
        """When the upload counts as having happened: one from the future counts from its publication."""
        if self.planned.error_code == "event.in_future":
            return self.published_at
        return datetime.fromisoformat(self.event["occurred_at"])

    @property
    def rank(self) -> tuple[datetime, str]:
        """The newest upload of a media has the highest."""
        return self.happened_at, self.planned.event_id

    @property
    def name(self) -> str:
        """For findings."""
        oddity = f" ({self.planned.oddity})" if self.planned.oddity else ""
        return f"{self.planned.case}{oddity} {self.planned.record_key} {self.planned.event_id}"


@dataclass(frozen=True)
class Incident:
    """A fault that hit, with the times of its begin and its end."""

    kind: FaultKind
    began_at: datetime
    ended_at: datetime

    def overlaps(self, began_at: datetime, ended_at: datetime, *, margin_s: float) -> bool:
        """Whether it, or the `margin_s` after it, were within a span of time."""
        return self.began_at <= ended_at and began_at <= self.ended_at + timedelta(seconds=margin_s)


@dataclass(frozen=True)
class Finding:
    """One thing that must not be: `kind` is lost, wrong outcome, stale row, missing object, orphan, …"""

    kind: str
    what: str


@dataclass
class OracleReport:
    """All findings, and figures that are reported but are not findings."""

    findings: list[Finding] = field(default_factory=list)
    duplicates: dict[str, int] = field(default_factory=dict)
    duplicate_bounds: dict[str, int] = field(default_factory=dict)
    lateness_s: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def of(self, kind: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind == kind]


class State:
    """What was published, and the evidence, by the uploads' event ids and record keys."""

    def __init__(
        self, published: list[Published], evidence: Evidence, incidents: tuple[Incident, ...], start_s: float
    ) -> None:
        self.start_s: Final = start_s
        self.published: Final = published
        self.evidence: Final = evidence
        self.incidents: Final = incidents
        self.by_id: Final = {upload.planned.event_id: upload for upload in published}
        self.by_key: Final[dict[str, list[Published]]] = collections.defaultdict(list)
        for upload in published:
            if upload.planned.is_upload:
                self.by_key[upload.planned.record_key].append(upload)
        self.sent: Final = self._by_header(("media.uploaded",))
        self.waited: Final = self._by_header(RETRY_TOPICS)
        self.dead_letters: Final = self._by_header(DEAD_LETTER_TOPICS)
        self.replays: Final = {
            event_id: {record.header("replayed-from") + record.header("replayed-at") for record in records} - {""}
            for event_id, records in self._by_header(("thumbnail.due",)).items()
        }
        self.ready: Final = self._by_upload("thumbnail.ready")
        self.failed: Final = self._by_upload("thumbnail.failed")
        self.rejected: Final = self._rejected()
        self.tombstones: Final = self._tombstones()

    def records(self, *topics: str) -> list[Record]:
        return [record for topic in topics for record in self.evidence.records.get(topic, [])]

    def codes(self, event_id: str) -> set[str]:
        """Of its dead letters."""
        return {record.header("error-code") for record in self.dead_letters.get(event_id, [])}

    def is_cancelled(self, upload: Published) -> bool:
        """Whether a tombstone says that its media was deleted after it."""
        times = self.tombstones.get(upload.planned.record_key, [])
        return any(time >= upload.happened_at - timedelta(milliseconds=1) for time in times)

    def may_be_dropped(self, upload: Published) -> bool:
        """Whether nothing had to be announced: its media was deleted, or it waited, and a newer one overtook it."""
        planned = upload.planned
        return self.is_cancelled(upload) or (
            planned.event_id in self.waited
            and (
                planned.case is Case.DELETED
                or any(other.rank > upload.rank for other in self.by_key[planned.record_key])
            )
        )

    def announcement(self, record_key: str, row: dict[str, Any]) -> tuple[Published, dict[str, Any]] | None:
        """The upload whose pictures the row shows, and the ready event that announced exactly these."""
        for upload in sorted(self.by_key.get(record_key, []), key=lambda upload: upload.rank, reverse=True):
            for record in self.ready.get(upload.planned.event_id, []):
                event = record.event
                same_url = event["thumbnail_url"] == row["thumbnail_url"]
                if same_url and _sorted(event["renditions"]) == _sorted(row["thumbnails"] or []):
                    return upload, event
        return None

    def _by_header(self, topics: tuple[str, ...]) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = collections.defaultdict(list)
        for record in self.records(*topics):
            if record.header(CAMPAIGN_ID):
                found[record.header(CAMPAIGN_ID)].append(record)
        return found

    def _by_upload(self, topic: str) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = collections.defaultdict(list)
        for record in self.records(topic):
            if record.header("ce_type") != REJECTED:
                found[str(record.event.get("upload_event_id"))].append(record)
        return found

    def _rejected(self) -> dict[str, list[Record]]:
        """By the upload whose record each names: the ids in it may be those of anybody."""
        sent = {record.place: record.header(CAMPAIGN_ID) for record in self.records("media.uploaded")}
        found: dict[str, list[Record]] = collections.defaultdict(list)
        for record in self.records("thumbnail.failed"):
            if record.header("ce_type") == REJECTED:
                place = record.event.get("record", {})
                name = tuple(str(place.get(part)) for part in ("topic", "partition", "offset"))
                found[sent.get(name, "")].append(record)  # type: ignore[arg-type]
        return found

    def _tombstones(self) -> dict[str, list[datetime]]:
        found: dict[str, list[datetime]] = collections.defaultdict(list)
        for record in self.records("media.uploaded"):
            if record.value is None:
                found[record.key_text].append(datetime.fromtimestamp(record.timestamp_ms / 1000, UTC))
        return found


def _sorted(renditions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(renditions, key=lambda item: str(item.get("name")))
