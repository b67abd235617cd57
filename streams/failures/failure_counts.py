"""Counts how records end, by the company that they belong to: those in a row, and those within a window."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import ErrorCode

Owner = int | None
"""A company's id. None stands for every record whose company is not known: all of them are one owner."""

BUCKETS: Final = 30
MAX_OWNERS: Final = 256
"""The most owners of a row, and of a bucket: the memory stays bounded however many companies there are."""
ALL_FURTHER: Final = 0
"""The owner that stands for all further ones; no company has this id."""
_NAMES_NO_COMPANY: Final[frozenset[str]] = frozenset(
    {
        ErrorCode.EVENT_MALFORMED,
        ErrorCode.EVENT_UNSUPPORTED_VERSION,
        ErrorCode.EVENT_TOO_LARGE,
        ErrorCode.TENANT_UNKNOWN,
    }
)


def owner_of(company_id: int | None, code: str) -> Owner:
    """Return whose failure it is. An id that no company has is anybody's: a producer can make up as many as it likes."""
    return None if code in _NAMES_NO_COMPANY else company_id


@dataclass
class Ended:
    """The number of records that came to an end, and of those that failed in a way that counts."""

    records: int = 0
    failures: int = 0

    def add(self, records: int, failures: int) -> None:
        """Add to both."""
        self.records += records
        self.failures += failures

    def exceeds(self, ratio: float, min_records: int) -> bool:
        """Return whether there are enough records, and too large a part of them failed."""
        return self.records >= max(1, min_records) and self.failures / self.records > ratio


@dataclass
class FailureCounts:
    """Failures of one partition, or of all: in a row by owner and by code, and the window's ends by owner."""

    row: Counter[Owner] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    _buckets: deque[tuple[int, dict[Owner, Ended]]] = field(default_factory=deque)

    def succeeded(self, bucket: int, owner: Owner) -> None:
        """Count a success: the row of failures is over."""
        self.row.clear()
        self.codes.clear()
        self._add(bucket, owner, 0)

    def failed(self, bucket: int, owner: Owner, code: ErrorCode, *, is_counted: bool) -> None:
        """Count a failure in the row, and in the window as a failure if it `is_counted` there."""
        self.row[_key(self.row, owner)] += 1
        self.codes[code] += 1
        self._add(bucket, owner, int(is_counted))

    def window(self) -> dict[Owner, Ended]:
        """Return what ended within the window, by owner."""
        found: dict[Owner, Ended] = {}
        for _, owners in self._buckets:
            for owner, ended in owners.items():
                found.setdefault(owner, Ended()).add(ended.records, ended.failures)
        return found

    def top_codes(self) -> str:
        """Return the codes of the row with their counts, the most frequent first."""
        return ", ".join(f"{code} {count}" for code, count in self.codes.most_common(5))

    def _add(self, bucket: int, owner: Owner, failures: int) -> None:
        while self._buckets and self._buckets[0][0] <= bucket - BUCKETS:
            self._buckets.popleft()
        if not self._buckets or self._buckets[-1][0] != bucket:
            self._buckets.append((bucket, {}))
        owners = self._buckets[-1][1]
        owners.setdefault(_key(owners, owner), Ended()).add(1, failures)


def _key(owners: Mapping[Owner, object], owner: Owner) -> Owner:
    return owner if owner is None or owner in owners or len(owners) < MAX_OWNERS else ALL_FURTHER


def total_of(window: Mapping[Owner, Ended]) -> Ended:
    """Return the sum over all owners."""
    return Ended(sum(part.records for part in window.values()), sum(part.failures for part in window.values()))


def apart(failures: Mapping[Owner, int]) -> tuple[int, Counter[int]]:
    """Return how many failures are of no company, and those of each company."""
    return failures.get(None, 0), Counter(
        {owner: count for owner, count in failures.items() if owner is not None and count}
    )
