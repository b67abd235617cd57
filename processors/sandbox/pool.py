"""DecodeSlots: the worker's side of caged decoding, a pool of warm processes that fork one child a job."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from processors.limits import CPU_S
from processors.sandbox.confinement import Confinement
from processors.sandbox.job_run import JobRun, UsedChildError
from processors.sandbox.process import Reuse, SlotConfig, SlotProcess
from processors.sandbox.wire import Job
from processors.types import Kind, Source, ThumbnailSet, ThumbnailSpec


class DecodeSlots:
    """`slots` decoders at once, each job under `timeout_s` seconds, `cpu_s` of them computing, and `memory_mb` MiB.

    A slot that `is_warm` has decoded before its first job, which pays from some ten jobs on. With `heic` they read HEIC
    pictures too, and may start threads for it; the extra of that name must be installed.

    Each job has a process of its own. With `reuse` the next job of the same company may have that of the last one, which
    spares it what starting and ending a process costs. A file that takes its decoder over can then see and change the company's
    next ones, no other company's: so it is for whoever trusts the media of a company not to attack each other.

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
        reuse: Reuse | None = None,
    ) -> None:
        self._timeout_s: Final = timeout_s
        self._on_restart: Final = on_restart or (lambda _cause: None)
        config = SlotConfig(
            memory_mb=memory_mb, confinement=confinement, cpu_s=cpu_s, heic=heic, is_warm=is_warm, reuse=reuse
        )
        self._slots: Final = [SlotProcess(config) for _ in range(slots)]
        self._idle: Final[list[SlotProcess]] = []
        self._idle_count: Final = asyncio.Semaphore(0)
        # A read that a slow storage holds up keeps its thread after the job's end: leave room for others.
        self._jobs: Final = ThreadPoolExecutor(4 * slots, thread_name_prefix="decode-job")

    async def start(self) -> None:
        """Start every slot, and return when all are warm. Raises as SlotProcess.start()."""
        await asyncio.gather(*(slot.start() for slot in self._slots))
        for slot in self._slots:
            self._give_back(slot)

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
        return len(self._idle)

    @property
    def count(self) -> int:
        """Return how many there are."""
        return len(self._slots)

    @property
    def busy(self) -> int:
        """Return how many have one, or are being started."""
        return len(self._slots) - len(self._idle)

    @property
    def pids(self) -> list[int]:
        """Return the slots' process ids, for looking at them from outside."""
        return [slot.pid for slot in self._slots if slot.pid]

    async def create_thumbnails(
        self, source: Source, spec: ThumbnailSpec, *, kind: Kind | None, tenant: str | None = None
    ) -> ThumbnailSet:
        """processors.thumbnails.create_thumbnails in a child of its own or, with `reuse`, in one of the same `tenant`.

        Raises what that raises; TransientError media.timeout, media.crashed_decoder or, when the deadline passed while
        the storage was being waited for, storage.unavailable. Errors of the source are raised unchanged.
        """
        job = Job(source.size, spec, kind)
        try:
            return await self._run(job, source, tenant)
        except UsedChildError:
            return await self._run(job, source, None)

    async def _run(self, job: Job, source: Source, tenant: str | None) -> ThumbnailSet:
        await self._idle_count.acquire()
        slot = self._idle.pop(self._best_for(tenant))
        release = ExitStack()  # once, whoever is first
        release.callback(self._give_back, slot)
        try:
            if not slot.is_fit():
                self._on_restart(slot.cause_of_end())
                slot.kill()
                await slot.start()
            job_run = JobRun(slot, self._jobs, self._timeout_s, on_answer=release.close)
            return await job_run.run(job, source, tenant)
        finally:
            release.close()

    def _best_for(self, tenant: str | None) -> int:
        """Return the index of an idle slot: one that has a child of `tenant`, else one that keeps none, else the longest idle."""
        kept = [slot.kept_for for slot in self._idle]
        wanted = tenant if tenant in kept else None
        return kept.index(wanted) if wanted in kept else 0

    def _give_back(self, slot: SlotProcess) -> None:
        self._idle.append(slot)
        self._idle_count.release()
