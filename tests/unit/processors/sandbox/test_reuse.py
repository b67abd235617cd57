"""DECODE_REUSE: a child stays with one company, for so many jobs and so long, and its failures are not believed."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from processors.sandbox import process as slot_process
from processors.sandbox.pool import DecodeSlots
from processors.sandbox.process import Child, Reuse
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError
from tests.doubles.sources import BytesSource, is_running, open_files, wait_until
from tests.system.supervisor import children_of
from tests.unit.processors.sandbox.test_pool import PICTURE, age_of, job_of, jobs_of

LONG: Reuse = Reuse(max_jobs=100, max_age_s=60)
PNG_WITHOUT_PICTURE = b"\x89PNG\r\n\x1a\nno"


def with_reuse(body: Callable[[DecodeSlots], Coroutine[Any, Any, None]], reuse: Reuse = LONG, count: int = 1) -> None:
    async def run() -> None:
        async with DecodeSlots(count, is_warm=False, reuse=reuse) as slots:
            await body(slots)

    asyncio.run(run())


async def make(slots: DecodeSlots, source: BytesSource, tenant: str | None) -> ThumbnailSet:
    return await slots.create_thumbnails(source, ThumbnailSpec(), kind=None, tenant=tenant)


async def child_for(slots: DecodeSlots, tenant: str | None) -> Child:
    """The child that made a picture of `tenant`, in the only slot: the last one where it took two."""
    (slot,), begun = slots._slots, list[Child]()
    begin = slot.begin

    def begin_and_note(timeout_s: float, whose: str | None = None) -> Child:
        begun.append(begin(timeout_s, whose))
        return begun[-1]

    with patch.object(slot, "begin", begin_and_note):
        made = await make(slots, BytesSource(PICTURE), tenant)
    assert len(made.renditions) == 3
    return begun[-1]


async def seen_to_end(child: Child) -> None:
    await asyncio.wait_for(asyncio.shield(child.child_exit), 20)


def processor_time(pid: int) -> tuple[float, int, int]:
    """Used, soft limit and hard limit, in seconds."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    soft, hard = next(line.split()[3:5] for line in limits if line.startswith("Max cpu time"))
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK"), int(soft), int(hard)


def test_the_jobs_of_a_company_share_a_process_and_another_company_never_gets_it() -> None:
    async def body(slots: DecodeSlots) -> None:
        first = await child_for(slots, "a")
        for _ in range(3):
            assert await child_for(slots, "a") is first
        others = await child_for(slots, "b")
        await seen_to_end(first)
        again = await child_for(slots, "a")
        await seen_to_end(others)
        assert len({first.number, others.number, again.number}) == 3

    with_reuse(body)


def test_without_a_company_and_without_the_setting_each_job_has_its_own() -> None:
    async def nobody(slots: DecodeSlots) -> None:
        assert len({(await child_for(slots, None)).number for _ in range(3)}) == 3
        assert slots._slots[0].kept_for is None

    async def run() -> None:
        async with DecodeSlots(1) as slots:
            assert len({(await child_for(slots, "a")).number for _ in range(3)}) == 3
            assert slots._slots[0].kept_for is None

    with_reuse(nobody)
    asyncio.run(run())


def test_a_child_leaves_after_its_last_job_and_when_its_time_is_over() -> None:
    async def jobs(slots: DecodeSlots) -> None:
        one, two, three, four, five = [(await child_for(slots, "a")).number for _ in range(5)]
        assert one == two != three == four != five

    async def age(slots: DecodeSlots) -> None:
        first = await child_for(slots, "a")
        await seen_to_end(first)  # nobody asks for it
        assert await child_for(slots, "a") is not first

    with_reuse(jobs, Reuse(max_jobs=2, max_age_s=60))
    with_reuse(age, Reuse(max_jobs=100, max_age_s=0.3))


def test_a_failure_ends_the_child_and_that_of_a_used_one_is_tried_in_a_new_one() -> None:
    async def body(slots: DecodeSlots) -> None:
        first = await child_for(slots, "a")
        with pytest.raises(PermanentError) as refused:  # by the new child, too
            await make(slots, BytesSource(PNG_WITHOUT_PICTURE), "a")
        assert refused.value.code is ErrorCode.MEDIA_CORRUPT
        await seen_to_end(first)
        second = await child_for(slots, "a")
        killed: list[int] = []

        def kill_it_once() -> None:
            if not killed:
                killed.append(job_of(slots))
                os.kill(killed[0], signal.SIGKILL)

        assert len((await make(slots, BytesSource(PICTURE, kill_it_once), "a")).renditions) == 3
        ended = await asyncio.wait_for(asyncio.shield(second.child_exit), 20)
        assert ended is not None
        assert ended.status == signal.SIGKILL

    with_reuse(body)


@pytest.mark.parametrize(
    "second_answer", ["DONE, b'x' * 400", "DONE, b''", "b'?', b''", "FAILED, b'media.corrupt\\nIt lies.'"]
)
def test_an_odd_answer_of_a_used_child_is_its_last(second_answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lying = (
        "from processors.sandbox import child; from processors.sandbox.wire import DONE, FAILED; honest, jobs = child._answer, [];"
        f" child._answer = lambda job, source: jobs.append(job) or (({second_answer}) if len(jobs) == 2 else honest(job, source)); "
    )
    changed = slot_process._START.replace("from processors.sandbox.slot", lying + "from processors.sandbox.slot")
    monkeypatch.setattr(slot_process, "_START", changed)

    async def body(slots: DecodeSlots) -> None:
        first = await child_for(slots, "a")
        assert await child_for(slots, "a") is not first
        await seen_to_end(first)

    with_reuse(body)


def test_each_job_has_its_own_processor_time() -> None:
    async def body(slots: DecodeSlots) -> None:
        first = await child_for(slots, "a")
        await asyncio.to_thread(wait_until, lambda: len(children_of(slots.pids[0])) == 2)  # it, and the one that waits
        pid = min(children_of(slots.pids[0]), key=age_of)
        for _ in range(3):
            assert await child_for(slots, "a") is first
            used_s, soft, hard = processor_time(pid)
            assert int(used_s) + 10 < soft <= int(used_s) + 12
            assert hard == 1001

    with_reuse(body)


def test_the_slot_that_has_a_companys_child_gets_its_next_job() -> None:
    async def body(slots: DecodeSlots) -> None:
        def kept() -> dict[str | None, int]:
            return {slot.kept_for: slot._kept.number for slot in slots._slots if slot._kept is not None}

        await make(slots, BytesSource(PICTURE), "a")
        await make(slots, BytesSource(PICTURE), "b")
        first = kept()
        assert set(first) == {"a", "b"}
        for tenant in "baabab":
            await make(slots, BytesSource(PICTURE), tenant)
            assert kept() == first

    with_reuse(body, count=2)


def test_a_hundred_jobs_of_two_companies_leave_nothing_open_and_nothing_running() -> None:
    pids: list[int] = []

    async def body(slots: DecodeSlots) -> None:
        await make(slots, BytesSource(PICTURE), "a")
        before = open_files()
        await asyncio.gather(*(make(slots, BytesSource(PICTURE), "ab"[number % 2]) for number in range(100)))
        assert open_files() <= before + 1  # the second slot's child may be kept, too
        pids.extend([*slots.pids, *jobs_of(slots)])

    with_reuse(body, count=2)
    wait_until(lambda: not any(map(is_running, pids)))
