"""The stages of one upload as spans: what was measured in this process, and what the sandboxed decoder measured of itself."""

from typing import Protocol

from processors.types import ThumbnailSet
from schemas.errors import Stage
from schemas.events import RenditionInfo
from storage.tenants import TenantStorage
from streams.tracing import Fact, StageTime


class CountedSource(Protocol):
    """A source that knows what was read of it. Times in seconds, of time.perf_counter()."""

    reads: int
    bytes_read: int
    busy_s: float
    last_read_s: float | None

    @property
    def size(self) -> int:
        """Return the length in bytes."""


def read_stage(opening_s: float, source: CountedSource, opened_s: float) -> StageTime:
    """Return the stage from opening the source to the end of the last read, which is within the decoding: it asks for what it needs."""
    facts: dict[str, Fact] = {
        "thumbnail.source.size": source.size,
        "thumbnail.source.bytes_read": source.bytes_read,
        "thumbnail.source.reads": source.reads,
        "thumbnail.source.busy_ms": round(source.busy_s * 1000, 1),
    }
    return StageTime(Stage.READ, opening_s, source.last_read_s or opened_s, facts)


def made_stages(asked_s: float, answered_s: float, made: ThumbnailSet) -> tuple[StageTime, StageTime]:
    """Return decoding and rendering, as long as the decoder says they took, before its answer at `answered_s`.

    The decoder knows no clock of ours: the spans are laid so that rendering ends with the answer. The rest of the time since
    `asked_s` was a wait for a free slot.
    """
    rendering_s = max(asked_s, answered_s - made.render_ms / 1000)
    decoding_s = max(asked_s, rendering_s - (made.read_ms + made.decode_ms) / 1000)
    decoded: dict[str, Fact] = {
        "thumbnail.slot.waited_ms": round((decoding_s - asked_s) * 1000, 1),
        "thumbnail.decode.busy_ms": round(made.decode_ms, 1),
        "thumbnail.decode.method": made.frame.method,
        "thumbnail.source.codec": made.source.codec,
        "thumbnail.source.width": made.source.width,
        "thumbnail.source.height": made.source.height,
    }
    rendered: dict[str, Fact] = {
        "thumbnail.renditions": len(made.renditions),
        "thumbnail.rendered_bytes": sum(len(rendition.content) for rendition in made.renditions),
    }
    return (
        StageTime(Stage.DECODE, decoding_s, rendering_s, decoded),
        StageTime("render", rendering_s, answered_s, rendered),
    )


def upload_stage(started_s: float, ended_s: float, stored: tuple[RenditionInfo, ...], used: TenantStorage) -> StageTime:
    """Return the storing of the renditions, each confirmed, in the tenant's storage or in the fallback."""
    facts: dict[str, Fact] = {
        "thumbnail.storage.provider": used.provider.name,
        "thumbnail.renditions": len(stored),
        "thumbnail.uploaded_bytes": sum(info.bytes for info in stored),
    }
    if used.fallback_reason is not None:
        facts["thumbnail.storage.fallback"] = used.fallback_reason
    return StageTime(Stage.UPLOAD, started_s, ended_s, facts)
