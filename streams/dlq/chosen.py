"""Says which dead letters a command is about: by code, with companies, samples, and why a replay would fail again."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from schemas import headers as h
from schemas.errors import ErrorCode
from streams.dlq.plan import HOPELESS
from streams.dlq.read import DeadLetter

MAX_SAMPLES: Final = 3


@dataclass(frozen=True)
class Sample:
    """One dead letter in a few words."""

    position: str
    company_id: int | None
    media: str | None
    message: str


@dataclass
class ChosenCode:
    """The chosen dead letters with one code: how many, whose, and the first MAX_SAMPLES of them."""

    code: str
    count: int = 0
    companies: Counter[int | None] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    doomed: Counter[str] = field(default_factory=Counter)
    """Why some of them cannot succeed as things are, as sentences."""
    doomed_examples: dict[str, str] = field(default_factory=dict)
    """A position for each reason."""

    @property
    def hopeless(self) -> str | None:
        """Why a replay fails again, as the end of a sentence; None where it may succeed."""
        try:
            return HOPELESS.get(ErrorCode(self.code))
        except ValueError:
            return None


@dataclass
class Chosen:
    """The dead letters chosen so far. Keeps no dead letter: its memory grows with the codes and companies alone."""

    by_code: dict[str, ChosenCode] = field(default_factory=dict)

    def add(self, dead_letter: DeadLetter, doom: str | None = None) -> None:
        """Count one; `doom` says why it cannot succeed."""
        found = self.by_code.setdefault(dead_letter.code, ChosenCode(dead_letter.code))
        found.count += 1
        found.companies[dead_letter.company_id] += 1
        if doom is not None:
            found.doomed[doom] += 1
            found.doomed_examples.setdefault(doom, dead_letter.position)
        if len(found.samples) < MAX_SAMPLES:
            message = dead_letter.header(h.ERROR_MESSAGE) or ""
            found.samples.append(Sample(dead_letter.position, dead_letter.company_id, dead_letter.media, message))

    def codes(self) -> list[ChosenCode]:
        """Return the codes, those with the most dead letters first."""
        return sorted(self.by_code.values(), key=lambda one: (-one.count, one.code))

    @property
    def count(self) -> int:
        """Return how many dead letters were chosen."""
        return sum(one.count for one in self.by_code.values())

    @property
    def doomed(self) -> int:
        """Return how many of them cannot succeed as things are."""
        return sum(one.doomed.total() for one in self.by_code.values())
