"""Failures by error code: waiting dead letters and waiting retries, with one action for all of a code."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from schemas import headers as h
from schemas.errors import NEXT_ACTIONS, STAND_IN, ErrorCode
from schemas.topics import THUMBNAIL_READY_DLQ
from service.status.owners import owners
from service.status.suspects import MANY, Start, Suspect, suspect
from streams.dlq.plan import HOPELESS
from streams.dlq.read import ErrorGroup
from streams.dlq.retries import RetryGroup, WaitingRetry, by_code_and_company
from streams.failures.policy import OUTAGES

GOES_ON: Final = "What waits for a retry then goes on by itself."
WHILE_RETRIED: Final = {
    ErrorCode.TENANT_UNKNOWN: "Check company_id against the companies table.",
    ErrorCode.TENANT_LIMITED: "Too many uploads of the company failed: fix what the others failed with.",
    ErrorCode.SOURCE_MISSING: "Check that the uploads finish, and that their keys are right.",
    ErrorCode.SOURCE_UNREADABLE: "Check the object in the tenant's storage: it was there but could not be read.",
    ErrorCode.MEDIA_TIMEOUT: "Raise DECODE_TIMEOUT_S if such files are expected.",
    ErrorCode.MEDIA_CRASHED_DECODER: "Keep one of the files for a bug report: it kills the decoder.",
    ErrorCode.STORAGE_UNAVAILABLE: "Check the tenant's storage connection.",
    ErrorCode.STORAGE_RATE_LIMITED: "The storage limits requests: lower WORKER_CONCURRENCY or raise its quota.",
    ErrorCode.STORAGE_LOCKED: "The storage keeps the file locked: see what else writes to it.",
    ErrorCode.STORAGE_PAUSED: "The tenant's storage is down: bring it back.",
    ErrorCode.STORAGE_DENIED: "Renew the storage connection's credentials or rights.",
    ErrorCode.STORAGE_FULL: "Free or add space in the tenant's storage.",
    ErrorCode.UPLOAD_UNVERIFIED: "The storage did not confirm what was written: check it for faults.",
    ErrorCode.DATABASE_UNAVAILABLE: "Bring the database back.",
    ErrorCode.INTERNAL_ERROR: "Look up the trace id in the worker's log and report the bug.",
}
"""What to do while nothing is a dead letter yet: there is nothing to replay."""


@dataclass(frozen=True)
class Example:
    """One of the failures: the newest dead letter, or the record that is due first."""

    position: str
    company_id: int | None
    media: str | None
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that docs/status.md describes."""
        return {
            "position": self.position,
            "company_id": self.company_id,
            "media": None if self.media is None else _clean(self.media),
            "message": _clean(self.message),
        }


@dataclass
class FailureGroup:
    """All failures with one code, of one dead letter topic or none: `waiting` dead letters need attention, `retrying` records wait.

    `companies` counts both.
    """

    code: str
    topic: str | None
    example: Example
    waiting: int = 0
    retrying: int = 0
    next_due_at: datetime | None = None
    companies: Counter[int | None] = field(default_factory=Counter)
    failed_s: list[float] = field(default_factory=list)
    suspect: Suspect | None = None

    @property
    def stand_in(self) -> str | None:
        """Return why the company's own storage is not used, where that is the cause of all of them."""
        return stand_in_reason(self.code, self.example.message) if len(self.companies) == 1 else None

    @property
    def next_action(self) -> str:
        """Return what a person should do about all of them."""
        if self.stand_in is not None:
            fix = "Fix the company's storage connection: `thumbnails check --tenants` says what is wrong with it."
            return f"{fix} {GOES_ON[:-1]}; replay what is a dead letter." if self.waiting else f"{fix} {GOES_ON}"
        if self.suspect is not None and self.suspect.is_rollback:
            first = "Roll it back, then replay them." if self.waiting else "Roll it back."
            otherwise = self._usual_action
            return f"{first} If that does not help: {otherwise[0].lower()}{otherwise[1:]}"
        return self._usual_action

    @property
    def _usual_action(self) -> str:
        """Return what the code by itself asks for."""
        try:
            code = ErrorCode(self.code)
            if not self.waiting and code in WHILE_RETRIED:
                return f"{WHILE_RETRIED[code]} {GOES_ON}"
            return NEXT_ACTIONS[code]
        except ValueError:
            return "No such error is known here: look at one of them."

    @property
    def command(self) -> str:
        """Return the command that deals with all of them at once; without --yes it is a dry run."""
        code = shlex.quote(_clean(self.code))
        if not self.waiting:
            return f"thumbnails retries list --code {code}"
        topic = " --topic ready" if (self.topic or "").endswith(THUMBNAIL_READY_DLQ.name) else ""
        verb = "discard" if self.is_hopeless else "replay"
        return f"thumbnails dlq {verb}{topic} --code {code}"

    @property
    def is_hopeless(self) -> bool:
        """Return whether a replay fails again, as a rule."""
        return self.code in HOPELESS

    @property
    def is_storm(self) -> bool:
        """Return whether so many wait for a retry that somebody should look before they are dead letters."""
        return self.retrying >= MANY

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that docs/status.md describes."""
        return {
            "code": _clean(self.code),
            "topic": self.topic,
            "waiting": self.waiting,
            "retrying": self.retrying,
            "next_due_at": None if self.next_due_at is None else h.format_time(self.next_due_at),
            "companies": [{"company_id": company, "count": count} for company, count in self.companies.most_common()],
            "example": self.example.to_json(),
            "fails_again": self.is_hopeless,
            "next_action": self.next_action,
            "command": self.command,
            "suspect": None if self.suspect is None else self.suspect.to_json(),
        }


def failure_groups(
    dead_letters: Mapping[str, Sequence[ErrorGroup]],
    retries: Iterable[WaitingRetry],
    starts: Mapping[str, Start],
    healthy: Collection[int],
) -> list[FailureGroup]:
    """Return the groups that anything waits in, those with the most failures first."""
    groups: dict[tuple[str, str | None], FailureGroup] = {}
    topic_of: dict[str, str] = {}
    for topic, found in dead_letters.items():
        for group in found:
            if group.waiting:
                topic_of.setdefault(group.code, topic)
                groups[group.code, topic] = _of_dead_letters(topic, group)
    pending = [one for one in retries if one.cancelled is None]
    for waiting in by_code_and_company(pending):
        topic_name = topic_of.get(waiting.code)
        _add_retries(groups.setdefault((waiting.code, topic_name), _of_retry(waiting)), waiting)
    for one in pending:
        if one.first_failed_at is not None:
            groups[one.code, topic_of.get(one.code)].failed_s.append(one.first_failed_at.timestamp())
    for found_group in groups.values():
        role = "persist" if (found_group.topic or "").endswith(THUMBNAIL_READY_DLQ.name) else "worker"
        found_group.suspect = suspect(
            found_group.code, found_group.companies, found_group.failed_s, starts.get(role), healthy
        )
    return sorted(groups.values(), key=lambda group: (-group.waiting - group.retrying, group.code))


def _of_dead_letters(topic: str, group: ErrorGroup) -> FailureGroup:
    example = Example(group.example, group.example_company_id, group.example_media, group.example_message)
    return FailureGroup(
        group.code, topic, example, group.waiting, companies=Counter(group.companies), failed_s=list(group.failed_s)
    )


def _of_retry(group: RetryGroup) -> FailureGroup:
    one = group.next
    return FailureGroup(group.code, None, Example(one.position, one.company_id, one.key, one.message))


def _add_retries(group: FailureGroup, waiting: RetryGroup) -> None:
    group.retrying += waiting.count
    group.companies[waiting.company_id] += waiting.count
    due_at = waiting.next.due_at
    if due_at is not None:
        group.next_due_at = due_at if group.next_due_at is None else min(group.next_due_at, due_at)


INACTIVE: Final = "connection_inactive"
"""Somebody switched the connection off."""
_STAND_IN: Final = re.compile(re.escape(STAND_IN) + r" \((\w+)\)")


def stand_in_reason(code: str, message: str) -> str | None:
    """Return why local storage stood in where the source was looked for; None where the source itself is missing."""
    found = _STAND_IN.match(message) if code == ErrorCode.SOURCE_MISSING else None
    return None if found is None else found[1]


OUTAGE_CODES: Final = frozenset(map(str, OUTAGES))
"""Waits for a part that many need: what is down is said for itself."""


def about_storms(groups: Iterable[FailureGroup]) -> list[str]:
    """Say what many records wait for, and why; of a part that is down, what is down is said elsewhere."""
    return [
        f"{group.retrying} records wait for a retry after {_clean(group.code)}, {owners(group.companies)}, such as"
        f" {_clean(group.example.media or group.example.position)}: {_clean(group.example.message).rstrip('.')}."
        f" {_hint(group)}{group.next_action} `thumbnails retries list --code {_clean(group.code)}` names them."
        for group in groups
        if group.is_storm
        and not group.waiting
        and group.code not in OUTAGE_CODES
        and group.stand_in in (None, INACTIVE)  # what is wrong with the connection is said for itself
    ]


def about_dead_letters(groups: Iterable[FailureGroup]) -> list[str]:
    """Say which dead letters wait for somebody, whose they are and what to do."""
    return [
        f"Dead letters wait in {group.topic}: {group.waiting} with {_clean(group.code)}, {_whose(group)}."
        f" {_hint(group)}{group.next_action}"
        for group in groups
        if group.waiting
    ]


def _whose(group: FailureGroup) -> str:
    more = f", and {group.retrying} more wait for a retry" if group.retrying else ""
    return f"{owners(group.companies)}{more}"


def _hint(group: FailureGroup) -> str:
    return "" if group.suspect is None else f"{group.suspect.sentence} "


def waiting_json(groups: Iterable[RetryGroup]) -> list[dict[str, Any]]:
    """Return what waits by code and company, as docs/status.md describes."""
    return [
        {
            "code": _clean(group.code),
            "company_id": group.company_id,
            "count": group.count,
            "cancelled": group.cancelled,
            "next_due_at": None if group.next.due_at is None else h.format_time(group.next.due_at),
            "last_due_at": None if group.last_due_at is None else h.format_time(group.last_due_at),
            "example": Example(
                group.next.position, group.next.company_id, group.next.key, group.next.message
            ).to_json(),
        }
        for group in groups
    ]


def _clean(text: str) -> str:
    """Return text of a record without the characters that a terminal would obey: others may have written it."""
    return h.header_text(text).decode()
