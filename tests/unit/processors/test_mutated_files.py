"""Damaged files of every container and picture format: each ends as ready or as a code, and the slot never notices.

MUTATIONS=5000 tries more than the suite does; MUTATIONS_SEED tries others. `make fuzz` tries them by the hour.
"""

import asyncio
import os
import time
from pathlib import Path

import pytest

from processors.sandbox.pool import DecodeSlots
from schemas.errors import ErrorCode
from tests.campaign.fuzz.__main__ import hunt
from tests.campaign.fuzz.ledger import Ledger
from tests.campaign.fuzz.seeds import sound_files
from tests.doubles.corpus_rare import pfm
from tests.doubles.sources import BytesSource
from tests.unit.processors.sandbox.test_pool import code_of, with_slots

MUTATIONS = int(os.environ.get("MUTATIONS", "600"))
SEED = int(os.environ.get("MUTATIONS_SEED", "20"))
LONG_S = 3600.0
IVF = b"DKIF\0\0\x20\0VP80\xa0\0\x80\0\x19\0\0\0\1\0\0\0"
FOUND = {"floats as a film of VP8, on which the FFmpeg inside OpenCV crashed": lambda: IVF + pfm()[len(IVF) :]}
"""Files of `make fuzz` that once ended as they must not."""


@pytest.mark.slow
def test_damaged_files_end_as_ready_or_as_a_code(tmp_path: Path) -> None:
    files = sound_files()
    ledger = Ledger.load(tmp_path / "ledger.json", SEED, files)
    run = hunt(
        ledger,
        tmp_path / "ledger.json",
        files,
        timeout_s=10.0,
        most=MUTATIONS,
        deadline=time.monotonic() + LONG_S,
        say=print,
    )
    asyncio.run(run)
    assert ledger.findings == []
    assert ledger.outcomes.total() == ledger.next == MUTATIONS
    assert min(ledger.outcomes["ready"], ledger.outcomes[ErrorCode.MEDIA_CORRUPT]) > MUTATIONS / 10, ledger.outcomes
    assert set(ledger.by_seed_file) == set(files)


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_ends_as_damaged(name: str) -> None:
    async def body(slots: DecodeSlots) -> ErrorCode:
        return await code_of(slots, BytesSource(FOUND[name]()))

    assert with_slots(body) is ErrorCode.MEDIA_CORRUPT
