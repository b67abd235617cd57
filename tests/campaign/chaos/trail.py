"""The way of each upload that a finding names: its records in all topics, and what the roles' logs say of it."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.campaign.chaos.evidence import Evidence
from tests.campaign.chaos.oracle.facts import Finding
from tests.campaign.chaos.topics import Record

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b(?:video|ar_content):[0-9]+\b")
_MOST_LINES: Final = 400


def trails_of(findings: Iterable[Finding], evidence: Evidence, logs: Iterable[Path]) -> Iterator[str]:
    """Yield a line for each record and each log line that has an id of a finding, in the order of time, by finding."""
    log_lines = [(log.stem, line) for log in logs for line in log.read_text(errors="replace").splitlines()]
    for finding in findings:
        ids = _ID.findall(finding.what)
        yield f"{finding.kind}: {finding.what}"
        found = [*_in_topics(ids, evidence), *_in_logs(ids, log_lines)] if ids else []
        yield from (f"  {line}" for line in sorted(found)[:_MOST_LINES])


def _in_topics(ids: list[str], evidence: Evidence) -> Iterator[str]:
    for topic, records in evidence.records.items():
        for record in records:
            if any(_has(record, found) for found in ids):
                at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).isoformat()
                headers = {name: record.header(name) for name, _ in record.headers}
                yield f"{at} {topic}[{record.partition}]@{record.offset} {record.key_text} {headers}"


def _has(record: Record, wanted: str) -> bool:
    raw = wanted.encode()
    return record.key == raw or raw in (record.value or b"") or any(value == raw for _, value in record.headers)


def _in_logs(ids: list[str], log_lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    for role, line in log_lines:
        if any(found in line for found in ids):
            at = re.search(r'"timestamp": ?"([^"]+)"', line)
            yield f"{at[1] if at else ''} {role} {line}"
