"""One damaged file through a slot, as a worker sends it: how it ended, and what is wrong with that."""

import io
import time
from dataclasses import dataclass
from typing import Final, Self

from PIL import Image

from processors.limits import KILL_GRACE_S
from processors.sandbox.pool import DecodeSlots
from processors.still.heic import is_heic_installed
from processors.types import RenditionSpec, ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError, ThumbnailError
from tests.doubles.corpus_kinds import photograph, saved
from tests.doubles.sources import BytesSource, open_files
from tests.system.supervisor import children_of

EXPECTED: Final = frozenset(
    {
        ErrorCode.MEDIA_CORRUPT,
        ErrorCode.MEDIA_UNSUPPORTED,
        ErrorCode.MEDIA_NO_PICTURE,
        ErrorCode.MEDIA_TOO_MANY_PIXELS,
        ErrorCode.MEDIA_TOO_MANY_FRAMES,
    }
)
"""How a damaged file may end, unless it is ready."""
_SPEC: Final = ThumbnailSpec(renditions=(RenditionSpec("medium", 150, 112), RenditionSpec("large", 640, 480)))
"""A worker's smallest and largest: decoding is by these, and the third would be encoded the same once more."""
_SOUND: Final = saved(photograph(), "PNG")
_KINDS: Final = {ErrorCode.MEDIA_CRASHED_DECODER: "crash", ErrorCode.MEDIA_TIMEOUT: "hang"}


@dataclass(frozen=True)
class Trial:
    """`outcome` is a code, or `ready` with its `reader`. `fault` is empty where all is well: else its kind, and what was said."""

    outcome: str
    seconds: float
    reader: str | None = None
    fault: str = ""
    message: str = ""


class Trials:
    """One slot as a worker's: `async with Trials(timeout_s) as trials`. What a job leaves behind is seen after it.

    The process must do nothing else: a descriptor that any of its threads opens counts as the job's.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s: Final = timeout_s
        self._restarts: Final[list[str]] = []
        self._slots: Final = DecodeSlots(
            1, timeout_s=timeout_s, on_restart=self._restarts.append, heic=is_heic_installed()
        )
        self._descriptors = 0

    async def __aenter__(self) -> Self:
        await self._slots.start()
        await self.try_file(_SOUND)
        self._descriptors = open_files()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._slots.stop()

    async def try_file(self, content: bytes) -> Trial:
        """Send one file through. Whatever comes is a Trial."""
        started = time.monotonic()
        reader, fault, message = None, "", ""
        try:
            made = await self._slots.create_thumbnails(BytesSource(content), _SPEC, kind=None)
        except ThumbnailError as error:
            outcome, message = str(error.code), error.message
            if error.code not in EXPECTED or not isinstance(error, PermanentError):
                fault = _KINDS.get(error.code, "code")
        except Exception as error:  # noqa: BLE001 - that it is not ours is the finding
            outcome, message = "exception", f"{type(error).__name__}: {error}"
            fault = "exception"
        else:
            outcome, reader = "ready", f"{made.source.kind} {made.source.codec} {made.frame.method}"
            message = _wrong_with(made)
            fault = "result" if message else ""
        seconds = time.monotonic() - started
        return Trial(outcome, seconds, reader, fault or self._left_behind(seconds), message)

    def _left_behind(self, seconds: float) -> str:
        """Return what the job has changed beside itself; empty for nothing."""
        restarts, descriptors = [cause for cause in self._restarts if cause != "worn"], open_files()
        self._restarts.clear()
        is_leaked, self._descriptors = descriptors > self._descriptors, max(descriptors, self._descriptors)
        if restarts:
            return f"slot {restarts[0]}"
        if seconds > self._timeout_s + 2 * KILL_GRACE_S:
            return "late"
        if any(len(children_of(pid)) > 1 for pid in self._slots.pids):
            return "leaked child"
        return "leaked descriptor" if is_leaked else ""


def _wrong_with(made: ThumbnailSet) -> str:
    """Return what makes the renditions useless; empty where they are pictures of the size that they claim."""
    for rendition in made.renditions:
        with Image.open(io.BytesIO(rendition.content)) as picture:
            picture.load()
            if picture.size != (rendition.width, rendition.height):
                return f"{rendition.name} claims {rendition.width}x{rendition.height} and is {picture.size}"
    return "" if made.renditions else "no renditions"
