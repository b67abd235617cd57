"""Which uploads a campaign publishes, and what must become of each: pure, and the same for the same seed."""

import random
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ACME: Final = 1
"""The company whose own storage is a folder of local storage."""
GLOBEX: Final = 2
"""The company whose own storage is a bucket, behind the proxy that breaks it."""
ID_BASE: Final = 1_000_000
"""Media of company n have the ids from n times this on."""
BURST: Final = 24
"""At most so many uploads come at once."""


class Case(StrEnum):
    """What is special about an upload."""

    GOOD = "good"
    REPLACED = "replaced"  # an older and a newer one, in their order
    OUT_OF_ORDER = "out of order"  # the newer one is published first
    REPEATED = "repeated"  # the same event twice
    LATE = "late source"  # its object appears later
    MISSING = "missing source"  # its object never appears
    BROKEN = "broken"
    BOMB = "bomb"
    DELETED = "deleted row"  # between the upload and its result


ERROR_CODES: Final = {
    Case.MISSING: "source.missing",
    Case.BROKEN: "media.corrupt",
    Case.BOMB: "media.too_many_pixels",
}
"""The code with which an upload must be given up; those that are not named must become ready."""

_WEIGHTS: Final = {
    Case.GOOD: 52,
    Case.REPLACED: 8,
    Case.OUT_OF_ORDER: 8,
    Case.REPEATED: 8,
    Case.LATE: 8,
    Case.MISSING: 2,
    Case.BROKEN: 5,
    Case.BOMB: 3,
    Case.DELETED: 6,
}


@dataclass(frozen=True)
class PlannedUpload:
    """One event. It is published at `at`, 0 to 1 of the campaign, and says that it happened `age_s` before.

    Its object is there `source_late_s` after that; its row is deleted first where the case is DELETED.
    """

    event_id: str
    case: Case
    kind: str
    company_id: int
    media_id: int
    at: float
    age_s: float = 0.0
    source_late_s: float = 0.0

    @property
    def error_code(self) -> str | None:
        """With which it must be given up, or None where it must become ready."""
        return ERROR_CODES.get(self.case)

    @property
    def record_key(self) -> str:
        """Of the record, and of the row."""
        return f"{'video' if self.kind == 'video' else 'ar_content'}:{self.media_id}"


def plan_uploads(seed: int, count: int) -> tuple[PlannedUpload, ...]:
    """`count` events in the order of their publication; a repeated one counts once."""
    generator = random.Random(f"uploads-{seed}")
    moments = _moments(generator, count)
    planned: list[PlannedUpload] = []
    number = 0
    while len(planned) < count:
        number += 1
        planned += _media(generator, number, moments, len(planned), count)
    return tuple(sorted(planned[:count], key=lambda upload: upload.at))


def _media(
    generator: random.Random, number: int, moments: list[float], position: int, count: int
) -> list[PlannedUpload]:
    """The one or two uploads of the next media; the second comes a little later."""
    case = generator.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    # A missing source on the bucket could end with the bucket's own failure instead.
    company = ACME if case is Case.MISSING or generator.random() < 0.3 else GLOBEX
    kind = "video" if generator.random() < 0.15 else "image"
    later = min(count - 1, position + generator.randint(1, 30))
    ages_s = {Case.OUT_OF_ORDER: (0.0, 3600.0), Case.REPLACED: (60.0, 0.0)}.get(case, (0.0,))
    late_s = {Case.LATE: generator.uniform(1.0, 5.0), Case.DELETED: generator.choice([0.0, 2.0])}.get(case, 0.0)
    return [
        PlannedUpload(
            event_id=str(uuid.UUID(int=generator.getrandbits(128), version=4)),
            case=case,
            kind=kind,
            company_id=company,
            media_id=company * ID_BASE + number,
            at=moments[later if second else min(position, count - 1)] + (1e-6 if second else 0.0),
            age_s=age_s,
            source_late_s=round(late_s, 2),
        )
        for second, age_s in enumerate(ages_s)
    ]


def _moments(generator: random.Random, count: int) -> list[float]:
    """When each upload is published, 0 to 1: in bursts, because real ones come so, and a backlog is the harder case."""
    moments: list[float] = []
    while len(moments) < count:
        at = len(moments) / count
        moments += [round(at, 5)] * generator.randint(1, BURST)
    return moments[:count]
