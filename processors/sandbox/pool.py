"""DecodeSlots: the worker's side of caged decoding, a pool of warm processes that fork one child a job."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from processors.limits import CPU_S
from processors.sandbox.confinement import Confinement
from processors.sandbox.job_run import JobRun
from processors.sandbox.process import SlotProcess
from processors.sandbox.wire import Job
from processors.types import Kind, Source, ThumbnailSet, ThumbnailSpec


class DecodeSlots:
    """`slots` decoders at once, each job under `timeout_s` seconds, `cpu_s` of them computing, and `memory_mb` MiB.

    A slot that `is_warm` has decoded before its first job, which pays from some ten jobs on. With `heic` they read HEIC
    pictures too, and may start threads for it; the extra of that name must be installed.

    A decoder that crashes, hangs or eats memory ends its own job with a ThumbnailError, and nothing else. Start it in
    the thread that runs the event loop: the slots die with the thread that started them.
    """

    def __init__(
        self,
        slots: int,
        timeout_s: float = 30.0,
        memory_mb: int = 1024,
        confinement: Confinement = "required",
        on_restart: Callable[[str], None] | None = None,
        *,
        cpu_s: int = CPU_S,
        heic: bool = False,
        is_warm: bool = True,
    ) -> None:
        self._timeout_s: Final = timeout_s
        self._on_restart: Final = on_restart or (lambda _cause: None)
        self._slots: Final = [
            SlotProcess(memory_mb, confinement, cpu_s=cpu_s, heic=heic, is_warm=is_warm) for _ in range(slots)
        ]
        self._idle: Final[asyncio.Queue[SlotProcess]] = asyncio.Queue()
        # A read that a slow storage holds up keeps its thread after the job's end: leave room for others.
        self._jobs: Final = ThreadPoolExecutor(4 * slots, thread_name_prefix="decode-job")

    async def start(self) -> None:
        """Start every slot, and return when all are warm. Raises as SlotProcess.start()."""
        await asyncio.gather(*(slot.start() for slot in self._slots))
        for slot in self._slots:
            self._idle.put_nowait(slot)

    async def stop(self) -> None:
        """End every slot and what it runs."""
        self.kill()

    def kill(self) -> None:
        """Stop as stop() does, also where no event loop runs any more."""
        for slot in self._slots:
            slot.kill()
        self._jobs.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def sandbox_gaps(self) -> list[str]:
        """Return what a decoder could do that it must not; empty where cages are shut, or off."""
        return sorted({gap for slot in self._slots for gap in slot.sandbox_gaps})

    @property
    def has_landlock(self) -> bool:
        """Return whether the second wall stands around every slot; the first one, seccomp, is enough."""
        return all(slot.landlock > 0 for slot in self._slots)

    @property
    def idle(self) -> int:
        """Return how many slots wait for a job."""
        return self._idle.qsize()

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self._slots)

    @property
    def busy(self) -> int:
        """Return how many have one, or are being started."""
        return len(self._slots) - self._idle.qsize()

    @property
    def pids(self) -> list[int]:
        """Return the slots' process ids, for looking at them from outside."""
        return [slot.pid for slot in self._slots if slot.pid]

    async def create_thumbnails(self, source: Source, spec: ThumbnailSpec, *, kind: Kind | None) -> ThumbnailSet:
        """processors.thumbnails.create_thumbnails in a child of its own.

        Raises what that raises; TransientError media.timeout, media.crashed_decoder or, when the deadline passed while
        the storage was being waited for, storage.unavailable. Errors of the source are raised unchanged.
        """
        slot = await self._idle.get()
        release = _Once(lambda: self._idle.put_nowait(slot))
        try:
            if not slot.is_fit():
                self._on_restart(slot.cause_of_end())
                slot.kill()
                await slot.start()
            job = JobRun(slot, self._jobs, self._timeout_s, on_answer=release)
            return await job.run(Job(source.size, spec, kind), source)
        finally:
            release()


class _Once:
    """Calls `action` at the first call only."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action

    def __call__(self) -> None:
        action, self._action = self._action, None
        if action is not None:
            action()
