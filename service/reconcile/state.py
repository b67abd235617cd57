"""The state of a reconciliation: its task, its progress and its findings, small enough for a file."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from schemas.events import MediaKind
from service.reconcile.judge import Trouble
from service.whole_files import write_whole

MAX_EXAMPLES: Final = 5
KINDS: Final = (MediaKind.IMAGE, MediaKind.VIDEO)
_RECORD_NAMES: Final = {MediaKind.VIDEO: "video", MediaKind.IMAGE: "ar_content"}


class ReconcileError(Exception):
    """A reconciliation cannot start or go on; the message says why and what to do."""

    exit_code = 2


class TroubleCount(BaseModel):
    """How often one trouble was found, how many of those are repaired, what they take, and the first media by name."""

    found: int = 0
    fixed: int = 0
    objects: int = 0
    size_bytes: int = 0
    examples: list[str] = Field(default_factory=list)


class Todo(BaseModel):
    """A media that is to be repaired, and what was wrong with it when it was found."""

    kind: MediaKind
    row_id: int
    troubles: list[Trouble]


class CompanyProgress(BaseModel):
    """A company that is under way: it is scanned kind by kind, then the media of `todo` are repaired.

    `after` is the last media, as text, of KINDS[kind_index] that was scanned. `foreign` objects lie in
    folders that the pipeline did not make. `done` of `todo` are repaired. `too_many` media with
    troubles are not in `todo`, which is full: then none is repaired.
    """

    company_id: int
    slug: str
    kind_index: int = 0
    after: str = ""
    media: int = 0
    objects: int = 0
    size_bytes: int = 0
    foreign: int = 0
    too_many: int = 0
    todo: list[Todo] = Field(default_factory=list)
    done: int = 0

    @property
    def is_scanned(self) -> bool:
        """Return whether every media was compared."""
        return self.kind_index >= len(KINDS)

    def see_foreign(self) -> None:
        """Count an object that is left alone."""
        self.foreign += 1


class NotCompared(BaseModel):
    """A company that was left out, or left half-way, and why. `is_fault`: a person has to do something about it."""

    company_id: int
    slug: str
    reason: str
    is_fault: bool = True


class Reconciliation(BaseModel):
    """One run. Companies come by their ids; `after_company` is the last one that is through."""

    started_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    fix: bool = False
    checksums: bool = False
    company_id: int | None = None
    after_company: int = 0
    current: CompanyProgress | None = None
    is_through: bool = False
    companies: int = 0
    media: int = 0
    counts: dict[Trouble, TroubleCount] = Field(default_factory=dict)
    not_compared: list[NotCompared] = Field(default_factory=list)

    @property
    def left(self) -> Counter[Trouble]:
        """Return the troubles that are not repaired."""
        return Counter({trouble: count.found - count.fixed for trouble, count in self.counts.items()})

    @property
    def has_faults(self) -> bool:
        """Return whether something is left to do."""
        return any(self.left.values()) or any(one.is_fault for one in self.not_compared)

    def count(self, trouble: Trouble, media: str, objects: int, size_bytes: int, *, is_fixed: bool) -> None:
        """Add a trouble of one media."""
        found = self.counts.setdefault(trouble, TroubleCount())
        found.found += 1
        found.fixed += is_fixed
        found.objects += objects
        found.size_bytes += size_bytes
        if len(found.examples) < MAX_EXAMPLES:
            found.examples.append(media)


def record_key(kind: MediaKind, row_id: int) -> str:
    """Return the name of a media, as Kafka's keys have it."""
    return f"{_RECORD_NAMES[kind]}:{row_id}"


class StateFile:
    """Keeps a run on disk."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def load(self) -> Reconciliation:
        """Return the run that was interrupted. Raises ReconcileError and OSError."""
        try:
            return Reconciliation.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            raise ReconcileError(
                f"{self.path} does not exist: no reconciliation was interrupted here."
                " Leave out --resume, or give its --state."
            ) from None
        except ValidationError as exc:
            raise ReconcileError(f"{self.path} is not the state of a reconciliation: give another --state.") from exc

    def require_none(self) -> None:
        """Return when no run was interrupted here. Raises ReconcileError."""
        if self.path.exists():
            raise ReconcileError(
                f"{self.path} holds a reconciliation that was interrupted: go on with --resume, give another --state,"
                " or delete the file."
            )

    def save(self, run: Reconciliation) -> None:
        """Replace the file. Raises OSError."""
        write_whole(self.path, run.model_dump_json())

    def remove(self) -> None:
        """Delete the file: the run is through."""
        self.path.unlink(missing_ok=True)
