"""A company or a deploy? The likely cause of failures, by their companies and times."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from schemas import headers as h
from service.status.role_endpoints import RoleState
from streams.failures.guard import SUGGEST_A_BROKEN_DEPLOY
from streams.failures.policy import OUTAGES

MANY: Final = 20
"""As for the alert ThumbnailDeadLettersGrowing."""
FEW: Final = 5
"""Enough of a code that suggests a broken deploy, where all came since a start."""
NEARLY_ALL: Final = 0.9
SHOWS_WITHIN_S: Final = 3600.0
"""What a deploy breaks fails within an hour after its start, as a rule."""


class SuspectKind(StrEnum):
    """Where to look first. `SHARED`: at what several companies share, but not at a start."""

    COMPANY = "company"
    DEPLOY = "deploy"
    SHARED = "shared"


@dataclass(frozen=True)
class Start:
    """When the newest version of a role was started, in Unix seconds, by the first of its processes."""

    role: str
    version: str
    at_s: float

    @property
    def at(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self.at_s, UTC)


@dataclass(frozen=True)
class Suspect:
    """A guess, as a sentence that says what it rests on."""

    kind: SuspectKind
    sentence: str
    company_id: int | None = None
    start: Start | None = None
    is_rollback: bool = False
    """Whether going back to what ran before is the first thing to do."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that docs/status.md describes."""
        start = self.start
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "company_id": self.company_id,
            "role": None if start is None else start.role,
            "version": None if start is None else start.version,
            "since": None if start is None else h.format_time(start.at),
        }


def newest_starts(roles: Sequence[RoleState]) -> dict[str, Start]:
    """Return for each role when its newest version was started: of processes of one version, when the first of them was.

    One process that was started again beside others of its version is no deploy.
    """
    first: dict[tuple[str, str], float] = {}
    for role in roles:
        started_s = role.total("process_start_time_seconds")
        if role.role is not None and started_s > 0:
            which = (role.role, role.version or "?")
            first[which] = min(started_s, first.get(which, started_s))
    found: dict[str, Start] = {}
    for (role_name, version), at_s in first.items():
        if role_name not in found or at_s > found[role_name].at_s:
            found[role_name] = Start(role_name, version, at_s)
    return found


def suspect(
    code: str,
    companies: Mapping[int | None, int],
    failed_s: Sequence[float],
    start: Start | None,
    healthy: Collection[int] = (),
) -> Suspect | None:
    """Return what is to blame for failures with one code, as far as that can be guessed; None where it cannot.

    `companies` are those of the failures that nobody has dealt with, `failed_s` the times of all that are known, in Unix
    seconds. `healthy` companies got thumbnails of late.
    """
    count = sum(companies.values())
    if not count:
        return None
    ((worst, most),) = Counter(companies).most_common(1)
    if most >= NEARLY_ALL * count:
        others = len(set(healthy) - {worst})
        if worst is None or not others:
            return None
        others_text = "another company" if others == 1 else f"{others} other companies"
        whose = "" if most == count else f"{most} of {count} are of company {worst}, and "
        sentence = f"One company rather than the deploy: {whose}{others_text} got thumbnails of late."
        return Suspect(SuspectKind.COMPANY, sentence, company_id=worst)
    if code in OUTAGES:
        return None  # what is down is down for whatever was deployed
    suggests_a_deploy = code in SUGGEST_A_BROKEN_DEPLOY
    if start is not None and count >= (FEW if suggests_a_deploy else MANY):
        since = [moment for moment in failed_s if moment >= start.at_s]
        is_new = len(since) >= NEARLY_ALL * len(failed_s)
        if since and is_new and min(since) - start.at_s <= SHOWS_WITHIN_S:
            sentence = _deploy(start, len(since), len(failed_s), len(companies))
            return Suspect(SuspectKind.DEPLOY, sentence, start=start, is_rollback=True)
    if count < MANY:
        return None
    if start is not None and suggests_a_deploy is False:
        sentence = f"Several companies at once ({len(companies)}), and not since a start: look at what they share."
        return Suspect(SuspectKind.SHARED, sentence)
    if suggests_a_deploy:
        sentence = "So many of several companies at once suggest a bad deploy or setting."
        kind = SuspectKind.DEPLOY if start is None else SuspectKind.SHARED
        return Suspect(kind, sentence, is_rollback=True)
    return None


def _deploy(start: Start, since: int, count: int, companies: int) -> str:
    what = "all" if since == count else f"{since} of {count}"
    return (
        f"The deploy rather than a company: {what} came after {start.role} {start.version} was started at"
        f" {start.at:%H:%M:%S}Z, of {companies} companies."
    )
