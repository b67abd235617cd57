"""What a run has tried so far: a JSON file, written as it goes, from which the next run goes on."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

_MOST_SLOW: Final = 20


class OtherSeedsError(Exception):
    """The ledger was begun with other sound files: its numbers mean other damaged files now."""


@dataclass(frozen=True)
class Finding:
    """A file that did not end as it must. `file` has its bytes, beside the ledger."""

    number: int
    seed_file: str
    steps: tuple[str, ...]
    what: str
    message: str
    file: str


@dataclass
class Ledger:
    """Counts by outcome: a code, or `ready`; by seed file and outcome; by reader of those that are ready. `next` is the next number."""

    seed: int
    seeds_digest: str
    next: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    by_seed_file: dict[str, Counter[str]] = field(default_factory=dict)
    by_reader: Counter[str] = field(default_factory=Counter)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, seed: int, files: dict[str, bytes]) -> Self:
        """Return the ledger at `path`, or a new one. Raises OtherSeedsError."""
        digest = digest_of(files)
        if not path.exists():
            return cls(seed, digest)
        kept: dict[str, Any] = json.loads(path.read_text())
        if (kept["seed"], kept["seeds_digest"]) != (seed, digest):
            raise OtherSeedsError(f"{path} was begun with other sound files: move it away, or bring those back.")
        kept["outcomes"], kept["by_reader"] = Counter(kept["outcomes"]), Counter(kept["by_reader"])
        kept["by_seed_file"] = {name: Counter(counts) for name, counts in kept["by_seed_file"].items()}
        kept["slowest"] = [(seconds, number, name) for seconds, number, name in kept["slowest"]]
        kept["findings"] = [Finding(**{**found, "steps": tuple(found["steps"])}) for found in kept["findings"]]
        return cls(**kept)

    def count(self, seed_file: str, outcome: str, reader: str | None, seconds: float) -> None:
        """Enter the file `next`, and go to the one behind it."""
        self.outcomes[outcome] += 1
        self.by_seed_file.setdefault(seed_file, Counter())[outcome] += 1
        if reader is not None:
            self.by_reader[reader] += 1
        self.slowest = sorted([*self.slowest, (round(seconds, 2), self.next, seed_file)], reverse=True)[:_MOST_SLOW]
        self.next += 1

    def save(self, path: Path) -> None:
        """Write all of it, whole or not at all."""
        unfinished = path.with_suffix(".unfinished")
        content = {**vars(self), "findings": [asdict(finding) for finding in self.findings]}
        unfinished.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        unfinished.replace(path)

    def as_line(self) -> str:
        """The figures that matter most."""
        counts = ", ".join(f"{outcome} {count:,}" for outcome, count in self.outcomes.most_common())
        return f"{self.next:,} files in {self.seconds:,.0f} s, {len(self.findings)} findings: {counts}"


def digest_of(files: dict[str, bytes]) -> str:
    """Return a name for these sound files."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:16]
