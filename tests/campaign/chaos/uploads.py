"""Which uploads a campaign publishes, and what must become of each: pure, and the same for the same seed."""

import random
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.campaign.chaos.pictures import Colours, colours_of
from tests.campaign.chaos.poison import ODD_HEADERS, POISONS

ACME: Final = 1
"""The company whose own storage is a folder of local storage."""
GLOBEX: Final = 2
"""The company whose own storage is a bucket, behind the proxy that breaks it."""
HOOLI: Final = 3
"""A third one, with a connection of its own to the same bucket."""
SLUGS: Final = {ACME: "acme", GLOBEX: "globex", HOOLI: "hooli"}
ID_BASE: Final = 1_000_000
"""Media of company n have the ids from n times this on."""
BURST: Final = 24
"""At most so many uploads come at once."""
CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")


class Case(StrEnum):
    """What is special about an upload."""

    GOOD = "good"
    REPLACED = "replaced"  # an older and a newer one, in their order
    OUT_OF_ORDER = "out of order"  # the newer one is published first
    REPEATED = "repeated"  # the same event twice
    LATE = "late source"  # its object appears later
    MISSING = "missing source"  # its object never appears
    REPAIRED = "repaired source"  # its object appears after it was given up; replays bring it back
    BROKEN = "broken"
    BROKEN_REPLACEMENT = "broken replacement"  # a good one, and a newer one that is broken
    BOMB = "bomb"
    DELETED = "deleted row"  # between the upload and its result
    TOMBSTONE = "tombstone"  # follows at once; the object appears later
    REVIVED = "revived"  # an older one, a tombstone, and a newer one
    IN_FUTURE = "in future"  # one from a year ahead, and a newer one with the right time
    POISON = "poison"  # a record that is no upload that can be worked on


@dataclass(frozen=True)
class _Part:
    """One upload of a case: how long ago it says that it happened, and with what it must be given up."""

    age_s: float = 0.0
    error_code: str | None = None


_PARTS: Final[dict[Case, tuple[_Part, ...]]] = {
    Case.REPLACED: (_Part(60.0), _Part()),
    Case.OUT_OF_ORDER: (_Part(), _Part(3600.0)),
    Case.MISSING: (_Part(error_code="source.missing"),),
    Case.BROKEN: (_Part(error_code="media.corrupt"),),
    Case.BROKEN_REPLACEMENT: (_Part(60.0), _Part(error_code="media.corrupt")),
    Case.BOMB: (_Part(error_code="media.too_many_pixels"),),
    Case.REVIVED: (_Part(60.0), _Part()),
    Case.IN_FUTURE: (_Part(-366 * 86_400.0, "event.in_future"), _Part()),
}
_WEIGHTS: Final = {
    Case.GOOD: 46,
    Case.REPLACED: 7,
    Case.OUT_OF_ORDER: 7,
    Case.REPEATED: 7,
    Case.LATE: 7,
    Case.MISSING: 2,
    Case.REPAIRED: 3,
    Case.BROKEN: 4,
    Case.BROKEN_REPLACEMENT: 2,
    Case.BOMB: 3,
    Case.DELETED: 5,
    Case.TOMBSTONE: 3,
    Case.REVIVED: 3,
    Case.IN_FUTURE: 2,
    Case.POISON: 5,
}
_LATE_S: Final[dict[Case, tuple[float, float]]] = {
    Case.LATE: (1.0, 5.0),
    Case.DELETED: (0.0, 2.0),
    Case.TOMBSTONE: (4.0, 9.0),
    Case.REPAIRED: (20.0, 40.0),
}
"""How long after its event an upload's object appears; at once where a case is not named."""
_ODD_SHARE: Final = 0.08
_ODD_SHARE_GIVEN_UP: Final = 0.5
"""Dead letters must keep strange headers, so that more of those that become some have them."""


@dataclass(frozen=True)
class PlannedUpload:
    """One record. It is published at `at`, 0 to 1 of the campaign, and says that it happened `age_s` before.

    Its object is there `source_late_s` after that, unless it comes last; its row is deleted first where the case is DELETED. `error_code`
    is that with which it must be given up, or None where it must become ready. `oddity` names the headers of a strange
    producer, or which poison it is.
    """

    event_id: str
    case: Case
    kind: str
    company_id: int
    media_id: int
    at: float
    age_s: float = 0.0
    source_late_s: float = 0.0
    error_code: str | None = None
    codec: str = "none"
    oddity: str = ""
    number: int = 0

    @property
    def record_key(self) -> str:
        """Of the record, and of the row."""
        return f"{'video' if self.kind == 'video' else 'ar_content'}:{self.media_id}"

    @property
    def colours(self) -> Colours:
        """Of its picture or clip, and of no other upload's."""
        return colours_of(self.number)

    @property
    def comes_last(self) -> bool:
        """Whether its object appears only after all work, before the last replay: on a slow machine retries could find it.

        The others are there for replays that meet faults.
        """
        return self.case is Case.REPAIRED and self.number // 2 % 2 == 0

    @property
    def is_upload(self) -> bool:
        """Whether its record can be read as an event of this media."""
        return self.case is not Case.POISON


def plan_uploads(seed: int, count: int) -> tuple[PlannedUpload, ...]:
    """`count` records in the order of their publication; a repeated one counts once, and tombstones are not counted."""
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
    is_local = case in (Case.MISSING, Case.REPAIRED)
    company = ACME if is_local else generator.choices((ACME, GLOBEX, HOOLI), (3, 5, 2))[0]
    kind = "video" if generator.random() < 0.15 else "image"
    later = min(count - 1, position + generator.randint(1, 30))
    late_s = round(generator.uniform(*_LATE_S.get(case, (0.0, 0.0))), 2)
    poison = generator.choice(sorted(POISONS)) if case is Case.POISON else ""
    return [
        PlannedUpload(
            event_id=str(uuid.UUID(int=generator.getrandbits(128), version=4)),
            case=case,
            kind=kind,
            company_id=company,
            media_id=company * ID_BASE + number,
            at=moments[later if second else min(position, count - 1)] + (1e-6 if second else 0.0),
            age_s=part.age_s,
            source_late_s=late_s,
            error_code=POISONS[poison].error_code if poison else part.error_code,
            codec=generator.choice(CODECS),
            oddity=poison or _odd_headers(generator, part),
            number=2 * number + second,
        )
        for second, part in enumerate(_PARTS.get(case, (_Part(),)))
    ]


def _odd_headers(generator: random.Random, part: _Part) -> str:
    share = _ODD_SHARE_GIVEN_UP if part.error_code else _ODD_SHARE
    return generator.choice(sorted(ODD_HEADERS)) if generator.random() < share else ""


def _moments(generator: random.Random, count: int) -> list[float]:
    """When each upload is published, 0 to 1: in bursts, because real ones come so, and a backlog is the harder case."""
    moments: list[float] = []
    while len(moments) < count:
        at = len(moments) / count
        moments += [round(at, 5)] * generator.randint(1, BURST)
    return moments[:count]
