"""The hunt for files that end as they must not: it sees each kind of fault, keeps its file, and goes on where it ended."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processors.sandbox.pool import DecodeSlots
from processors.types import Source, ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, TransientError
from tests.campaign.fuzz.__main__ import hunt
from tests.campaign.fuzz.ledger import Ledger, OtherSeedsError
from tests.campaign.fuzz.mutations import MUTATORS, mutate, right_checksums
from tests.campaign.fuzz.seeds import kept_files
from tests.campaign.fuzz.trial import Trials
from tests.doubles.corpus_kinds import photograph, saved
from tests.doubles.sources import BytesSource, is_running, wait_until
from tests.system.bounded_run import EXIT_FOUND
from tests.system.supervisor import children_of
from tests.unit.processors.sandbox.test_pool import job_of

FILES = {name: saved(photograph().resize((32, 24)), name) for name in ("PNG", "GIF", "BMP")}
create_thumbnails = DecodeSlots.create_thumbnails


def run(path: Path, most: int, seconds: float = 60.0) -> Ledger:
    ledger = Ledger.load(path, 7, FILES)
    deadline = time.monotonic() + seconds
    asyncio.run(hunt(ledger, path, FILES, timeout_s=5.0, most=most, deadline=deadline, say=lambda _text: None))
    return ledger


def run_alone(folder: Path, seed: int, most: int) -> Ledger:
    """As `make fuzz`, in a process of its own: what other tests have left running here opens descriptors, too."""
    program = [sys.executable, "-m", "tests.campaign.fuzz", "--folder", str(folder), "--seed", str(seed)]
    bounds = ["--files", str(most), "--minutes", "60", "--timeout", "10"]
    assert subprocess.run([*program, *bounds], check=False).returncode in (0, EXIT_FOUND)
    return Ledger.load(folder / f"seed-{seed}.json", seed, kept_files(folder / "sound"))


def test_a_run_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    for folder in ("parts", "whole"):
        (tmp_path / folder / "sound").mkdir(parents=True)
        for name, content in FILES.items():
            (tmp_path / folder / "sound" / name).write_bytes(content)
    assert run_alone(tmp_path / "parts", 7, 4).next == 4
    later = run_alone(tmp_path / "parts", 7, 9)
    assert (later.next, later.outcomes.total(), later.findings) == (9, 9, [])
    whole = run_alone(tmp_path / "whole", 7, 9)
    assert (whole.outcomes, whole.by_seed_file) == (later.outcomes, later.by_seed_file)
    with pytest.raises(OtherSeedsError):
        Ledger.load(tmp_path / "parts/seed-7.json", 7, {**FILES, "PNG": b"another"})


def test_a_run_ends_at_its_deadline(tmp_path: Path) -> None:
    assert run(tmp_path / "seed-7.json", 1000, seconds=0.0).next == 0


def test_a_number_is_always_the_same_damage() -> None:
    made = [mutate(FILES, 3, number) for number in range(60)]
    assert made == [mutate(FILES, 3, number) for number in range(60)]
    assert {file.seed for file in made} == set(FILES)
    assert {step for file in made for step in file.steps} == {step.__name__ for step in MUTATORS}
    assert [mutate(FILES, 4, number) for number in range(60)] != made


def test_checksums_are_made_right_again() -> None:
    content = bytearray(FILES["PNG"])
    content[29:33] = bytes(4)
    right_checksums(content)
    assert content == FILES["PNG"]


async def dead_slot(slots: DecodeSlots, *arguments: Any, **options: Any) -> ThumbnailSet:
    (slot,) = slots.pids
    os.kill(slot, signal.SIGKILL)
    wait_until(lambda: not is_running(slot))
    return await create_thumbnails(slots, *arguments, **options)


async def crashed(slots: DecodeSlots, _source: Source, spec: ThumbnailSpec, **options: Any) -> ThumbnailSet:
    dying = BytesSource(FILES["PNG"], lambda: os.kill(job_of(slots), signal.SIGSEGV))
    return await create_thumbnails(slots, dying, spec, **options)


async def refused(*_: Any, **__: Any) -> ThumbnailSet:
    raise TransientError(ErrorCode.MEDIA_TIMEOUT, "late")


async def unknown(*_: Any, **__: Any) -> ThumbnailSet:
    raise KeyError("tile")


async def wrong_size(slots: DecodeSlots, *arguments: Any, **options: Any) -> ThumbnailSet:
    made = await create_thumbnails(slots, *arguments, **options)
    return replace(made, renditions=tuple(replace(one, width=one.width + 1) for one in made.renditions))


async def held_open(slots: DecodeSlots, *arguments: Any, **options: Any) -> ThumbnailSet:
    os.dup(0)
    return await create_thumbnails(slots, *arguments, **options)


@pytest.mark.parametrize(
    ("fault", "way"),
    [
        *(
            ("slot died", dead_slot),
            ("crash", crashed),
            ("hang", refused),
            ("exception", unknown),
            ("result", wrong_size),
        ),
        *(("leaked descriptor", held_open), ("leaked child", create_thumbnails)),
    ],
)
def test_every_kind_of_fault_is_seen_and_its_file_kept(
    fault: str, way: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = Trials.__aenter__

    async def spoilt_once_warm(trials: Trials) -> Trials:
        found = await warm(trials)
        monkeypatch.setattr(DecodeSlots, "create_thumbnails", way)
        return found

    monkeypatch.setattr(Trials, "__aenter__", spoilt_once_warm)
    if fault == "leaked child":
        monkeypatch.setattr("tests.campaign.fuzz.trial.children_of", lambda slot: [*children_of(slot), 1])
    monkeypatch.setattr(
        "tests.campaign.fuzz.__main__.mutate",
        lambda files, _seed, number: replace(mutate(files, 1, number), content=FILES["PNG"]),
    )
    ledger = run(tmp_path / "seed-7.json", 2)
    assert fault in {finding.what for finding in ledger.findings}
    kept = next(finding for finding in ledger.findings if finding.what == fault)
    assert (tmp_path / kept.file).read_bytes() == FILES["PNG"]
