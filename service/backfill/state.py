"""Which rows a backfill takes, how far it is, and what it left out: the whole of its state, small enough for a file."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from schemas.events import MediaKind
from service.run_file import RunFile

MAX_EXAMPLES: Final = 20
MISSING_RUN: Final = "missing"


class Mode(StrEnum):
    """Rows without a thumbnail that no upload has failed for, rows that say failed, or every row with a media.

    `OLDER` are rows whose pictures were made with other settings than `RowChoice.settings`, or before rows knew which.
    """

    MISSING = "missing"
    FAILED = "failed"
    OLDER = "older"
    ALL = "all"


class RowChoice(BaseModel):
    """The rows that are wanted. `since` and `until` compare thumbnail_updated_at, and rows without one are not within."""

    model_config = ConfigDict(frozen=True)

    mode: Mode = Mode.MISSING
    company_id: int | None = None
    kinds: tuple[MediaKind, ...] = (MediaKind.VIDEO, MediaKind.IMAGE)
    since: datetime | None = None
    until: datetime | None = None
    settings: str | None = None


class Reason(StrEnum):
    """Why a row gets no event."""

    NO_KEY = "no_key"
    BAD_KEY = "bad_key"
    NO_COMPANY = "no_company"
    NO_EVENT = "no_event"
    COMPANY_INACTIVE = "company_inactive"
    DELETED = "deleted"
    DONE_BEFORE = "done_before"

    @property
    def is_fault(self) -> bool:
        """Return whether a person has to correct the row before it can have a thumbnail."""
        return self in (Reason.NO_KEY, Reason.BAD_KEY, Reason.NO_COMPANY, Reason.NO_EVENT)


class LeftOut(BaseModel):
    """How many rows were left out for one reason, and the first of them by their record keys."""

    rows: int = 0
    examples: list[str] = Field(default_factory=list)


class Run(BaseModel):
    """A backfill: what it takes, and how far it is. It goes through the kinds in order, and through each by its ids.

    `last_ids` are the greatest ids when it began: rows that come later have live uploads of their own. `after_id` is the
    last row of `choice.kinds[kind_index]` that is done; once `kind_index` is behind the kinds, all are. `name` is a part
    of every event's id.
    """

    name: str
    topic: str
    choice: RowChoice
    last_ids: dict[MediaKind, int]
    kind_index: int = 0
    after_id: int = 0
    sent: int = 0
    left_out: dict[Reason, LeftOut] = Field(default_factory=dict)

    @property
    def kind(self) -> MediaKind | None:
        """Return the kind that it is at; None when it is through."""
        kinds = self.choice.kinds
        return kinds[self.kind_index] if self.kind_index < len(kinds) else None

    @property
    def ids_in_all(self) -> int:
        """Return the number of ids that it goes through, gaps included."""
        return sum(self.last_ids.values())

    @property
    def ids_done(self) -> int:
        """Return how many of them it has gone through."""
        done = sum(self.last_ids[kind] for kind in self.choice.kinds[: self.kind_index])
        return done + (self.after_id if self.kind is not None else 0)

    @property
    def has_faults(self) -> bool:
        """Return whether a row was left out that a person has to correct."""
        return any(reason.is_fault for reason in self.left_out)

    def leave_out(self, reason: Reason, record_key: str) -> None:
        """Count a row that gets no event."""
        found = self.left_out.setdefault(reason, LeftOut())
        found.rows += 1
        if len(found.examples) < MAX_EXAMPLES:
            found.examples.append(record_key)


def run_name(mode: Mode) -> str:
    """Return the name of a new run.

    Every run for rows that are missing has the same one: however often it starts, a row's event is the same. Rows that
    failed, or that are all to be made again, get another event in each run.
    """
    return MISSING_RUN if mode is Mode.MISSING else f"{mode}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"


def backfill_file(path: Path) -> RunFile[Run]:
    """Return the file that holds a backfill while it is under way."""
    return RunFile(path, Run, "backfill")
