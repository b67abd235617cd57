"""Decode slots: a crash, a hang or a bomb ends its own job with a code, and nothing else."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

from processors.sandbox import process as slot_process
from processors.sandbox.pool import DecodeSlots
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.degraded import DegradedReason
from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError
from service.demo.media import scene, write_video
from tests.doubles.sources import BytesSource, is_running, open_files, pixels_of, wait_until
from tests.system.supervisor import children_of
from tests.unit.processors.still.test_pictures import encoded

T = TypeVar("T")
PICTURE = encoded(Image.fromarray(scene(320, 240, 0.5)))


def with_slots(body: Callable[[DecodeSlots], Coroutine[Any, Any, T]], count: int = 1, **options: Any) -> T:
    async def run() -> T:
        async with DecodeSlots(count, **options) as slots:
            return await body(slots)

    return asyncio.run(run())


async def make(slots: DecodeSlots, source: BytesSource) -> ThumbnailSet:
    return await slots.create_thumbnails(source, ThumbnailSpec(), kind=None)


async def code_of(slots: DecodeSlots, source: BytesSource) -> ErrorCode:
    try:
        await make(slots, source)
    except ThumbnailError as error:
        return error.code
    raise AssertionError("the job should have failed")


def _wait_for(event: threading.Event) -> None:
    event.wait(20)


def jobs_of(slots: DecodeSlots) -> list[int]:
    """The children that have had a job; the youngest of each slot waits for its own."""
    return [job for slot in slots.pids for job in sorted(children_of(slot), key=age_of)[:-1]]


def job_of(slots: DecodeSlots) -> int:
    """The one at work, from within its source; the child after it may be forked only now."""
    wait_until(lambda: jobs_of(slots) != [])
    return jobs_of(slots)[0]


def age_of(pid: int) -> tuple[int, int]:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]), pid


@pytest.mark.parametrize(
    "picture_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000", "BMP", "TGA", "MP4"]
)
def test_a_cold_slot_has_all_that_a_job_needs(picture_format: str, tmp_path: Path) -> None:
    if picture_format == "MP4":
        content = write_video(tmp_path / "a.mp4", [scene(320, 240, 0.4)] * 3).read_bytes()
    else:
        content = encoded(Image.fromarray(scene(320, 240, 0.5)), picture_format)

    async def body(slots: DecodeSlots) -> ThumbnailSet:
        return await make(slots, BytesSource(content))

    assert pixels_of(with_slots(body, is_warm=False).renditions[2]).shape == (240, 320, 3)


def test_a_picture_and_a_video_come_back_as_from_the_front_door(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", [scene(640, 360, 0.4)] * 10).read_bytes()

    async def body(slots: DecodeSlots) -> tuple[ThumbnailSet, ThumbnailSet]:
        return await make(slots, BytesSource(PICTURE)), await make(slots, BytesSource(clip))

    picture, video = with_slots(body)
    assert [(r.name, r.width, r.height) for r in picture.renditions] == [
        ("small", 149, 112),
        ("medium", 320, 240),
        ("large", 320, 240),
    ]
    assert pixels_of(picture.renditions[1]).shape == (240, 320, 3)
    assert (video.source.codec, video.source.width, video.frame.method) == ("h264", 640, "pyav-smart")
    assert video.bytes_read > 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_decoder_that_dies_is_a_code_and_the_slot_goes_on(number: signal.Signals) -> None:
    async def body(slots: DecodeSlots) -> None:
        dying = BytesSource(PICTURE, lambda: os.kill(job_of(slots), number))
        assert await code_of(slots, dying) is ErrorCode.MEDIA_CRASHED_DECODER
        before = slots.pids
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3
        assert slots.pids == before

    with_slots(body)


@pytest.mark.timed
def test_a_decoder_that_hangs_is_killed_at_the_deadline() -> None:
    async def body(slots: DecodeSlots) -> None:
        started = time.monotonic()
        hanging = BytesSource(PICTURE, lambda: os.kill(job_of(slots), signal.SIGSTOP))
        assert await code_of(slots, hanging) is ErrorCode.MEDIA_TIMEOUT
        assert time.monotonic() - started < 3
        assert jobs_of(slots) == []
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3

    with_slots(body, timeout_s=0.5)


def test_a_storage_that_hangs_is_not_blamed_on_the_media() -> None:
    released = threading.Event()

    async def body(slots: DecodeSlots) -> None:
        slow = BytesSource(PICTURE, lambda: _wait_for(released))
        assert await code_of(slots, slow) is ErrorCode.STORAGE_UNAVAILABLE
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3

    try:
        with_slots(body, timeout_s=0.5)
    finally:
        released.set()


def test_a_picture_that_needs_too_much_memory_is_a_code() -> None:
    async def body(slots: DecodeSlots) -> None:
        big = BytesSource(encoded(Image.new("RGB", (9000, 9000))))
        assert await code_of(slots, big) is ErrorCode.MEDIA_TOO_MANY_PIXELS
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3

    with_slots(body, memory_mb=160)


def test_what_the_source_raises_reaches_the_caller() -> None:
    def missing() -> None:
        raise ObjectNotFoundError("acme/a")

    async def body(slots: DecodeSlots) -> None:
        with pytest.raises(ObjectNotFoundError):
            await make(slots, BytesSource(PICTURE, missing))
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3

    with_slots(body)


def test_a_source_that_ends_early_is_unreadable_not_corrupt() -> None:
    class Short(BytesSource):
        def read_at(self, offset: int, length: int) -> bytes:
            return super().read_at(offset, length)[:-1]

    async def body(slots: DecodeSlots) -> None:
        assert await code_of(slots, Short(PICTURE)) is ErrorCode.SOURCE_UNREADABLE

    with_slots(body)


def test_a_slot_that_dies_is_replaced_and_counted() -> None:
    causes: list[str] = []

    def die(slot: int) -> None:
        os.kill(slot, signal.SIGKILL)
        wait_until(lambda: not is_running(slot))  # its child lives until then, and could finish the job

    async def body(slots: DecodeSlots) -> None:
        dying = BytesSource(PICTURE, lambda: die(slots.pids[0]))
        assert await code_of(slots, dying) is ErrorCode.MEDIA_CRASHED_DECODER
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3

    with_slots(body, on_restart=causes.append)
    assert causes == ["died"]


def test_a_cancelled_job_leaves_no_child_and_a_slot_that_works() -> None:
    started = threading.Event()
    released = threading.Event()

    def wait() -> None:
        started.set()
        released.wait(10)

    async def body(slots: DecodeSlots) -> None:
        task = asyncio.create_task(make(slots, BytesSource(PICTURE, wait)))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert jobs_of(slots) == []
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3

    try:
        with_slots(body)
    finally:
        released.set()


def test_a_decoder_knows_no_secret_and_holds_no_file_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    seen: list[tuple[bytes, list[str]]] = []

    async def body(slots: DecodeSlots) -> None:
        def look() -> None:
            job = job_of(slots)
            files = [os.readlink(f"/proc/{job}/fd/{number}") for number in os.listdir(f"/proc/{job}/fd")]  # noqa: PTH115, PTH208 - /proc
            seen.append((Path(f"/proc/{job}/environ").read_bytes(), files))

        await make(slots, BytesSource(PICTURE, look))

    with_slots(body)
    environment, files = seen[0]
    assert b"hunter2" not in environment
    assert sorted(name.partition(":")[0] for name in files) == ["/dev/null", "/dev/null", "/dev/null", "socket"]


def test_two_hundred_jobs_leave_no_open_file_and_no_process() -> None:
    async def body(slots: DecodeSlots) -> None:
        await make(slots, BytesSource(PICTURE))
        before = open_files()
        for _ in range(100):
            await asyncio.gather(make(slots, BytesSource(PICTURE)), code_of(slots, BytesSource(b"\x89PNG\r\n\x1a\nno")))
        assert open_files() <= before
        assert jobs_of(slots) == []

    with_slots(body, count=2)


def test_a_killed_worker_takes_its_slots_and_their_children_along() -> None:
    script = """
        import asyncio, os, sys, time
        from processors.sandbox.pool import DecodeSlots
        from processors.types import ThumbnailSpec
        class Slow:
            size = 1000
            def read_at(self, offset, length):
                print("reading", flush=True)
                time.sleep(60)
        async def main():
            slots = DecodeSlots(2)
            await slots.start()
            print(*slots.pids, flush=True)
            await slots.create_thumbnails(Slow(), ThumbnailSpec(), kind=None)
        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert worker.stdout is not None
    with worker.stdout:
        slots = [int(pid) for pid in worker.stdout.readline().split()]
        assert worker.stdout.readline() == "reading\n"
        # One child at work, and one that waits in each slot.
        wait_until(lambda: sum(len(children_of(slot)) for slot in slots) == 3)
        descendants = slots + [job for slot in slots for job in children_of(slot)]
        worker.kill()
        worker.wait()
    assert len(descendants) == 5
    wait_until(lambda: not any(is_running(pid) for pid in descendants))


def test_an_answer_that_no_decoder_of_ours_gives_is_not_believed() -> None:
    from processors.sandbox.wire import WireError, pack_result, unpack_result

    result = with_slots(lambda slots: make(slots, BytesSource(PICTURE)))
    good, spec = pack_result(result), ThumbnailSpec()
    assert unpack_result(good, spec, result.bytes_read) == result
    too_wide = bytearray(good)
    position = good.index(result.renditions[0].content) - 12
    too_wide[position : position + 4] = (151).to_bytes(4, "little")
    damaged = pack_result(replace(result, degraded_reason=DegradedReason.DAMAGED))
    assert unpack_result(damaged, spec, 0).degraded
    no_reason = damaged.replace(b"damaged", b"perhaps", 1)
    for bad in (b"", good[:50], good[:-1], good + b"x", bytes(too_wide), no_reason, good * 100, b"\xff" * len(good)):
        with pytest.raises(WireError):
            unpack_result(bad, spec, 0)


def test_permanent_errors_of_the_media_stay_permanent() -> None:
    async def body(slots: DecodeSlots) -> None:
        with pytest.raises(PermanentError) as caught:
            await make(slots, BytesSource(b"dear diary"))
        assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED

    with_slots(body)


def test_a_child_waits_locked_before_its_job_comes_and_leaves_with_its_slot() -> None:
    async def body(slots: DecodeSlots) -> int:
        wait_until(lambda: len(children_of(slots.pids[0])) == 1)
        waiting = children_of(slots.pids[0])[0]
        wait_until(lambda: "Seccomp:\t2\n" in Path(f"/proc/{waiting}/status").read_text())
        taken: list[int] = []
        await make(slots, BytesSource(PICTURE, lambda: taken.append(job_of(slots))))
        assert taken[0] == waiting
        return children_of(slots.pids[0])[0]

    last = with_slots(body)
    wait_until(lambda: not is_running(last))


def test_a_waiting_child_that_is_killed_costs_no_job() -> None:
    causes: list[str] = []

    async def body(slots: DecodeSlots) -> None:
        wait_until(lambda: len(children_of(slots.pids[0])) == 1)
        os.kill(children_of(slots.pids[0])[0], signal.SIGKILL)
        wait_until(lambda: children_of(slots.pids[0]) == [])
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3

    with_slots(body, on_restart=causes.append)
    assert causes == ["died"]


@pytest.mark.timed
def test_a_decoder_that_does_not_leave_after_its_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    lingering = (
        "import os, time; from processors.sandbox import child; leave = os._exit;"
        " child.os._exit = lambda _: time.sleep(60); "
    )
    changed = slot_process._START.replace("from processors.sandbox.slot", lingering + "from processors.sandbox.slot")
    monkeypatch.setattr(slot_process, "_START", changed)

    async def body(slots: DecodeSlots) -> None:
        started = time.monotonic()
        for _ in range(2):
            assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3
            assert jobs_of(slots) == []
        assert time.monotonic() - started < 5

    with_slots(body, confinement="off")


def test_a_slot_takes_the_next_job_while_the_last_answer_is_still_on_its_way() -> None:
    async def body(slots: DecodeSlots) -> None:
        before = slots.pids
        results = await asyncio.gather(*(make(slots, BytesSource(PICTURE)) for _ in range(20)))
        assert [len(result.renditions) for result in results] == [3] * 20
        assert slots.pids == before
        assert jobs_of(slots) == []

    with_slots(body)
