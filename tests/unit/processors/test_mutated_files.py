"""Damaged files of every container and picture format: each ends as ready or as a code, and the slot never notices.

MUTATIONS=5000 tries more than the suite does; MUTATIONS_SEED tries others. `make fuzz` tries them by the hour.
"""

import asyncio
import os
import time
from pathlib import Path

import pytest

from schemas.errors import ErrorCode
from tests.campaign.fuzz.__main__ import hunt
from tests.campaign.fuzz.ledger import Ledger
from tests.campaign.fuzz.seeds import sound_files

MUTATIONS = int(os.environ.get("MUTATIONS", "600"))
SEED = int(os.environ.get("MUTATIONS_SEED", "20"))
LONG_S = 3600.0


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
