"""Looks at topics, rows and objects after a run, and counts each record in against its outcomes."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from tests.campaign.strangers.flood import Flood, Place, mark_of
from tests.campaign.strangers.records import Kind, Stranger
from tests.system.platform import files_below
from tests.system.stack import Stack

RETRIES: Final = ("thumbnail.retry.1", "thumbnail.retry.2", "thumbnail.retry.3")
MOST_HOPS: Final = 44
"""20 s of RETRY_BUDGET_S over the shortest delay of 0.5 s, and one more for each tier and at the end."""
_MALFORMED: Final = frozenset({"event.malformed", "event.unsupported_version", "event.too_large"})
READY: Final = "thumbnail.ready"
TOMBSTONE: Final = "tombstone_processed"
DROPPED: Final = "retry_dropped"
EXPECTED: Final[dict[Kind, frozenset[str]]] = {
    Kind.GARBAGE: _MALFORMED,
    Kind.ODD_JSON: _MALFORMED,
    Kind.ODD_PART: _MALFORMED | {"event.in_future", "storage.bad_key", "source.missing"},
    Kind.OTHER_TYPE: _MALFORMED,
    Kind.OUTSIDE_KEY: frozenset({"storage.bad_key"}),
    Kind.NO_FILE: frozenset({"source.missing", DROPPED}),
    Kind.BROKEN_FILE: frozenset({"media.corrupt", "media.unsupported", "media.no_picture"}),
    Kind.NO_COMPANY: frozenset({"tenant.unknown", DROPPED}),
    Kind.NOT_OWNER: frozenset({READY}),
    Kind.SAME_ID: frozenset({READY}),
    Kind.SOUND: frozenset({READY}),
    Kind.TOMBSTONE: frozenset({TOMBSTONE, "event.in_future"}),
    Kind.OUR_TOPICS: _MALFORMED | {"storage.bad_key", "source.missing", "event.in_future", TOMBSTONE, DROPPED},
    Kind.RAW: frozenset({"storage.bad_key"}),
}
"""How records of each kind may end: with a code, as thumbnails, or with a log line of the worker's."""


_OF_AN_ODD_TIME: Final = frozenset({"event.in_future"})
"""An upload may not lie far ahead of its own record's time."""


def is_deletion(stranger: Stranger) -> bool:
    """Return whether a record says that a media was deleted: no value, or JSON's null."""
    is_null = stranger.value is None or stranger.value.strip() == b"null"
    return is_null and stranger.topic == "media.uploaded"


def is_of(stranger: Stranger, keys: set[bytes | None]) -> bool:
    """Return whether a record's event is about a media with one of the keys."""
    try:
        media = json.loads(stranger.value or b"")["media"]
        name = "video" if media["kind"] == "video" else "ar_content"
        return f"{name}:{media['id']}".encode() in keys
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


@dataclass
class Verdict:
    """What was found. `ends` counts how the records of each kind ended."""

    findings: list[str] = field(default_factory=list)
    ends: dict[Kind, Counter[str]] = field(default_factory=dict)
    good_ready: int = 0
    hops: Counter[int] = field(default_factory=Counter)
    """How many records were sent to a retry topic so often."""
    not_owner: int = 0
    """Results that persist refused because the row is another company's."""


def judge(stack: Stack, flood: Flood) -> Verdict:
    """Compare what is there with what must be."""
    verdict = Verdict()
    verdict.findings += flood.ended
    if not flood.is_at_rest:
        verdict.findings.append("the topics did not come to rest")
    _judge_good(stack, flood, verdict)
    _judge_ends(flood, _ends(stack, flood, verdict), verdict)
    _judge_objects(stack, verdict)
    verdict.hops = Counter(Counter(_marks(stack, *RETRIES)).values())
    if max(verdict.hops, default=0) > MOST_HOPS:
        verdict.findings.append(f"a record was sent to the retry topics {max(verdict.hops)} times")
    return verdict


def _judge_good(stack: Stack, flood: Flood, verdict: Verdict) -> None:
    for upload in flood.good:
        row = stack.platform.row(upload.record_key)
        if row is None or row["thumbnail_status"] != "ready" or row["thumbnail_event_id"] != upload.event["event_id"]:
            verdict.findings.append(
                f"good upload {upload.record_key}: {row and (row['thumbnail_status'], row['thumbnail_error'])}"
            )
        elif len(_thumbnails(row["thumbnails"])) != 3:
            verdict.findings.append(f"good upload {upload.record_key} has not three thumbnails")
        else:
            verdict.good_ready += 1


def _ends(stack: Stack, flood: Flood, verdict: Verdict) -> dict[int, list[str]]:
    """Every end that each record has: it should be one."""
    ends: dict[int, list[str]] = defaultdict(list)
    for topic in ("thumbnail.dlq", "thumbnail.ready.dlq"):
        for message in stack.platform.read_topic(topic):
            headers: Any = message.headers() or []
            number, code = mark_of(headers), dict(headers)["error-code"].decode()
            if number is not None:
                ends[number].append(code)
            elif code == "tenant.not_owner":
                verdict.not_owner += 1
            else:
                verdict.findings.append(f"a dead letter of nobody's on {topic}: {code}, {message.value()!r:.200}")
    for message in stack.platform.read_topic("thumbnail.ready"):
        headers = message.headers() or []
        correlation = dict(headers).get("correlationid", b"")
        if mark_of(headers) is None and correlation.isdigit():
            ends[int(correlation)].append(READY)
    for number, ending in _ends_without_records(stack, flood, verdict):
        ends[number].append(ending)
    return ends


def _ends_without_records(stack: Stack, flood: Flood, verdict: Verdict) -> Iterator[tuple[int, str]]:
    """Of a deletion, or of a retry that was dropped, only the log says something."""
    places = dict(flood.places)
    for message in stack.platform.read_topic("thumbnail.due"):
        number = mark_of(message.headers())
        if number is not None:
            places["thumbnail.due", message.partition(), message.offset()] = number
    for (topic, partition, offset), ending in _log_lines(stack, verdict):
        number = places.get((topic.removeprefix(stack.platform.topic_prefix), partition, offset))
        if number is not None:
            yield number, ending


def _log_lines(stack: Stack, verdict: Verdict) -> list[tuple[Place, str]]:
    """The ends that write no record, by the place of what ended. Each line of each role's log must be JSON."""
    found = []
    for role in stack.supervisor.roles:
        with role.log.open(errors="replace") as lines:
            for line in lines:
                try:
                    said = json.loads(line)
                except ValueError:
                    verdict.findings.append(f"a line in the log of {role.name} is no JSON: {line!r:.200}")
                    continue
                if said["event"] in (TOMBSTONE, DROPPED):
                    found.append(((said["topic"], said["partition"], said["offset"]), str(said["event"])))
    return found


def _judge_ends(flood: Flood, ends: dict[int, list[str]], verdict: Verdict) -> None:
    deleted = {stranger.key for stranger in flood.strangers if is_deletion(stranger)}
    unaccounted: list[tuple[Stranger, list[str]]] = []
    for stranger in flood.strangers:
        found = ends.get(stranger.number, [])
        if stranger.number in flood.refused:
            found = [*found, "refused by client or broker"]
        counts = verdict.ends.setdefault(stranger.kind, Counter())
        counts.update(found)
        foreseen = EXPECTED[Kind.TOMBSTONE if is_deletion(stranger) else stranger.kind]
        if stranger.timestamp_ms:
            foreseen |= _OF_AN_ODD_TIME
        if is_of(stranger, deleted):
            foreseen |= {DROPPED}
        is_foreseen = len(found) == 1 and (found[0] in foreseen or stranger.number in flood.refused)
        if not is_foreseen:
            unaccounted.append((stranger, found))
    for stranger, found in unaccounted:
        verdict.findings.append(
            f"record {stranger.number} ({stranger.kind}, {stranger.topic}) ended {len(found)} times: {found};"
            f" key {stranger.key!r}, value {stranger.value!r:.300}, headers {stranger.headers!r:.300}"
        )


def _judge_objects(stack: Stack, verdict: Verdict) -> None:
    """Of both companies: what the rows show is there with its checksum, and nothing else is."""
    shown: dict[str, str] = {}
    with stack.platform.engine.connect() as connection:
        for table in ("videos", "ar_contents"):
            for (thumbnails,) in connection.execute(sa.text(f"SELECT thumbnails FROM {table}")):  # noqa: S608 - two names
                shown |= {item["key"]: item["sha256"] for item in _thumbnails(thumbnails)}
    stored: dict[str, str] = {}
    for path in files_below(stack.platform.storage_root):
        parts = path.relative_to(stack.platform.storage_root).parts
        if "thumbnails" in parts:
            stored[str(Path(*parts[1:]))] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".part":
            verdict.findings.append(f"left behind: {path.name}")
    for key in sorted(stored.keys() | shown.keys()):
        if stored.get(key) != shown.get(key):
            problem = "no row shows" if key not in shown else "is missing" if key not in stored else "has other bytes"
            verdict.findings.append(f"object {key}: {problem}")


def _thumbnails(column: Any) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(column) if isinstance(column, str) else column or []
    return found


def _marks(stack: Stack, *topics: str) -> list[int]:
    numbers = (mark_of(message.headers()) for topic in topics for message in stack.platform.read_topic(topic))
    return [number for number in numbers if number is not None]
