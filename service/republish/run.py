"""The task of a `thumbnails republish` and its progress: small enough for a file."""

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from schemas.events import MediaKind
from service.run_file import RunFile


class Republish(BaseModel):
    """Goes through the tables in order, and through each by its ids, up to the greatest when it began.

    Persist itself sent the states of later changes. `since` compares thumbnail_updated_at. `after_id` is the last row of
    `kinds[kind_index]` that is done; once `kind_index` is behind the kinds, all are.
    """

    topic: str
    company_id: int | None = None
    since: datetime | None = None
    kinds: tuple[MediaKind, ...] = (MediaKind.VIDEO, MediaKind.IMAGE)
    last_ids: dict[MediaKind, int]
    kind_index: int = 0
    after_id: int = 0
    sent: int = 0
    gone: int = 0

    @property
    def kind(self) -> MediaKind | None:
        """Return the kind that it is at; None when it is through."""
        return self.kinds[self.kind_index] if self.kind_index < len(self.kinds) else None

    @property
    def is_of_everything(self) -> bool:
        """Return whether what the topic has and no table has any more is gone."""
        return self.company_id is None and self.since is None

    @property
    def ids_in_all(self) -> int:
        """Return the number of ids that it goes through, gaps included."""
        return sum(self.last_ids.values())

    @property
    def ids_done(self) -> int:
        """Return how many of them it has gone through."""
        done = sum(self.last_ids[kind] for kind in self.kinds[: self.kind_index])
        return done + (self.after_id if self.kind is not None else 0)


def republish_file(path: Path) -> RunFile[Republish]:
    """Return the file that holds a run while it is under way."""
    return RunFile(path, Republish, "republish")
