"""One look at the whole installation, and what of it needs attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from schemas import headers as h
from schemas.topics import THUMBNAIL_CLEANUP_WAITING, THUMBNAIL_RETRIES
from service.status.failures import FailureGroup, about_dead_letters, about_storms, failure_groups, waiting_json
from service.status.fallbacks import Fallback, sentences
from service.status.owners import about_limited, limited_companies, owners_json, paused_connections
from service.status.recent_results import Recent
from service.status.role_endpoints import RoleState
from service.status.suspects import newest_starts
from service.status.topic_states import TopicBacklogs
from streams.dlq.read import ErrorGroup
from streams.dlq.retries import WaitingRetry, by_code_and_company

_REMOVED: Final = "see docs/runbooks.md."
SHAPE: Final = 1
"""Of the JSON: raised when a field is removed or changes its meaning."""
_RETRIES: Final = tuple(topic.name for topic in THUMBNAIL_RETRIES)
_WAITING: Final = (*_RETRIES, THUMBNAIL_CLEANUP_WAITING.name)
"""That records wait there is no lag."""


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment. The parts read from Kafka are None where `kafka_problem` says why."""

    at: datetime
    roles: Sequence[RoleState]
    kafka_problem: str | None = None
    topics: TopicBacklogs | None = None
    recent: Recent | None = None
    dead_letters: Mapping[str, Sequence[ErrorGroup]] | None = None
    fallbacks: Sequence[Fallback] = ()
    waiting: Sequence[WaitingRetry] | None = None
    """What waits in the retry topics."""

    @cached_property
    def failures(self) -> list[FailureGroup]:
        """Return what fails, by error code."""
        healthy = (
            {result.company_id for result in self.recent.results if result.error_code is None} if self.recent else ()
        )
        return failure_groups(self.dead_letters or {}, self.waiting or (), newest_starts(self.roles), healthy)

    def retries(self) -> list[dict[str, Any]]:
        """Return by tier how many wait, and when the first of them is due."""
        rows = []
        for tier, name in enumerate(_RETRIES, start=1):
            for state in self.topics.states if self.topics else ():
                if state.name.endswith(name) and self.topics is not None:
                    heads = [record for place, record in self.topics.heads.items() if place[0] == state.name]
                    dues = [h.parse_time(h.get_header(record.headers, h.RETRY_DUE_AT)) for record in heads]
                    due = min((moment for moment in dues if moment is not None), default=None)
                    waiting = sum(group.lag_records for group in state.groups)
                    rows.append({"tier": tier, "waiting": waiting, "next_due_at": _time(due)})
        return rows

    def total(self, name: str, **labels: str) -> int | None:
        """Return a metric's sum over the roles that have it; None when none has."""
        having = [role for role in self.roles if any(key[0] == name for key in role.samples)]
        return round(sum(role.total(name, **labels) for role in having)) if having else None

    def to_json(self, max_lag_s: float) -> dict[str, Any]:
        """Return the shape that docs/status.md describes."""
        problems = attention(self, max_lag_s)
        recent = self.recent
        return {
            "shape": SHAPE,
            "at": h.format_time(self.at),
            "ok": not problems,
            "attention": problems,
            "kafka": {"ok": self.kafka_problem is None, "problem": self.kafka_problem},
            "throughput": None
            if recent is None
            else {
                "window_s": round(recent.window_s, 1),
                "ready": recent.ready,
                "failed": recent.failed,
                "per_s": round(len(recent.results) / recent.window_s, 2),
            },
            "tenants": None if recent is None else recent.tenants,
            "providers": None if recent is None else recent.providers,
            "fallbacks": None if recent is None else [one.to_json() for one in self.fallbacks],
            "topics": None if self.topics is None else [self._topic(state) for state in self.topics.states],
            "retries": None if self.topics is None else self.retries(),
            "waiting_retries": None if self.waiting is None else waiting_json(by_code_and_company(self.waiting)),
            "failures": None if self.dead_letters is None else [group.to_json() for group in self.failures],
            "dead_letters": None
            if self.dead_letters is None
            else [_dead_letters(topic, group) for topic, groups in self.dead_letters.items() for group in groups],
            "in_flight": self.total("thumbnail_events_in_flight"),
            "slots": {state: self.total("thumbnail_slots", state=state) for state in ("busy", "idle")},
            "breakers": {
                state: self.total("thumbnail_storage_breakers", state=state)
                for state in ("closed", "open", "half_open")
            },
            "resting": [connection.to_json() for connection in paused_connections(self.roles)],
            "limited_companies": limited_companies(self.roles),
            "roles": [_role(role) for role in self.roles],
        }

    def _topic(self, state: Any) -> dict[str, Any]:
        return {
            "name": state.name,
            "partitions": state.partitions,
            "records": state.records,
            "groups": [
                {
                    "group": group.group,
                    "lag_records": group.lag_records,
                    "lag_seconds": lag_s(group.oldest_unprocessed_at, self.at),
                    "oldest_unprocessed_at": _time(group.oldest_unprocessed_at),
                    "removed_unread": group.removed_unread,
                }
                for group in state.groups
            ],
        }


def lag_s(oldest_at: datetime | None, now: datetime) -> float:
    """Age of the oldest unprocessed record in seconds; 0.0 without any."""
    return 0.0 if oldest_at is None else round(max(0.0, (now - oldest_at).total_seconds()), 1)


def attention(found: Snapshot, max_lag_s: float) -> list[str]:
    """Return what a person should look at, most urgent first, one sentence each; empty when all is well."""
    problems = [found.kafka_problem] if found.kafka_problem else []
    problems += [
        f"{_name(role)}: {role.problem}. If it runs no more, its last log line says why."
        for role in found.roles
        if role.problem is not None
    ]
    problems += _about_dependencies(found)
    for role in found.roles:
        if role.problem is None and not role.down and role.health.get("ok") is False:
            problem = role.health.get("live", {}).get("problem") or ""
            problems.append(f"{_name(role)} is not ready. {problem}".rstrip())
    problems += _about_topics(found, max_lag_s)
    problems += _about_storages(found)
    problems += about_limited(limited_companies(found.roles))
    problems += sentences(found.fallbacks)
    problems += about_storms(found.failures)
    problems += about_dead_letters(found.failures)
    return problems


def _name(role: RoleState) -> str:
    return f"{role.role or 'The role'} at {role.url}"


def _about_dependencies(found: Snapshot) -> list[str]:
    """Return one sentence for each thing that is lost, however many roles have lost it."""
    losers: dict[tuple[str, str], list[str]] = {}
    for role in found.roles:
        if role.problem is None and role.down:
            losers.setdefault((", ".join(role.down), _what_to_do(role)), []).append(_name(role))
    return [
        f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} lost {lost}. {to_do}".rstrip()
        for (lost, to_do), names in losers.items()
    ]


def _about_storages(found: Snapshot) -> list[str]:
    paused = paused_connections(found.roles)
    count = found.total("thumbnail_storage_breakers", state="open") or 0
    if count and not paused:  # workers of a version that does not say which
        return [
            f"Storage connections are paused, because they failed repeatedly: {count}. See `thumbnails check --tenants`."
        ]
    return [connection.sentence() for connection in paused]


def _about_topics(found: Snapshot, max_lag_s: float) -> list[str]:
    states = found.topics.states if found.topics else ()
    missing = [state.name for state in states if state.partitions == 0]
    problems = [f"Topics are missing: {', '.join(missing)}: run `thumbnails topics create`."] if missing else []
    for state in states:
        for group in state.groups:
            late_s = lag_s(group.oldest_unprocessed_at, found.at)
            if late_s > max_lag_s and not state.name.endswith(_WAITING):
                problems.append(
                    f"{state.name} is {late_s:.0f} s behind ({group.lag_records} records):"
                    f" see that a role of the group {group.group} runs, and how busy it is."
                )
            if group.removed_unread:
                problems.append(
                    f"{state.name}: {group.removed_unread} records at most were removed before {group.group} read them:"
                    f" {_REMOVED}"
                )
    problems += [
        f"{_name(role)} has found {round(count)} records at most that were removed before it read them: {_REMOVED}"
        for role in found.roles
        if (count := role.total("thumbnail_removed_unread_total"))
    ]
    for row in found.retries():
        due = h.parse_time(row["next_due_at"])
        if due is not None and (found.at - due).total_seconds() > max_lag_s:
            problems.append(f"Retries of tier {row['tier']} are overdue: see that a retry role runs.")
    return problems


def _what_to_do(role: RoleState) -> str:
    states = role.health.get("dependencies", {}).values()
    return " ".join(state["next_action"] for state in states if state.get("next_action"))


def _dead_letters(topic: str, group: ErrorGroup) -> dict[str, Any]:
    return {
        "topic": topic,
        "code": _clean(group.code),
        "count": group.count,
        "waiting": group.waiting,
        "acknowledged": group.acknowledged,
        "discarded": group.discarded,
        "companies": owners_json(group.companies),
        "first": h.format_time(group.first_at),
        "last": h.format_time(group.last_at),
        "example": group.example,
        "example_message": _clean(group.example_message),
        "next_action": group.next_action,
    }


def _role(role: RoleState) -> dict[str, Any]:
    return {
        "url": role.url,
        "role": role.role,
        "version": role.version,
        "ok": role.problem is None and not role.down and role.health.get("ok", True),
        "problem": role.problem,
        "down": role.down,
        "health": role.health or None,
    }


def _clean(code: str) -> str:
    """Return a code from a header without the characters that a terminal would obey: others may have written it."""
    return h.header_text(code).decode()


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else h.format_time(moment)


def now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)
