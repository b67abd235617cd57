"""Which dead letters are meant: by code, company, media, time, stage and position."""

from dataclasses import dataclass
from datetime import datetime

from streams.dlq.read import DeadLetter


@dataclass(frozen=True)
class DeadLetterFilter:
    """Everything that is given must hold; what is empty or None holds for every letter.

    A code ends in * to mean all that begin so: storage.*. `since` is included, `until` is not; both are compared with
    the time of the last failure.
    """

    codes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    companies: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    positions: frozenset[str] = frozenset()

    def matches(self, letter: DeadLetter) -> bool:
        """Whether this letter is meant."""
        return (
            (not self.codes or any(_is_code(letter.code, code) for code in self.codes))
            and (not self.stages or letter.stage in self.stages)
            and (not self.companies or letter.company_id in self.companies)
            and (not self.media or letter.media in self.media)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
            and (not self.positions or letter.position in self.positions)
        )


def _is_code(code: str, wanted: str) -> bool:
    return code.startswith(wanted[:-1]) if wanted.endswith("*") else code == wanted
