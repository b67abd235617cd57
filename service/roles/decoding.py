"""How decoders are built from the settings; apart from bootstrap, so that `make` loads no Kafka, storage or database."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from processors.output.renditions import parse_renditions
from processors.sandbox.pool import DecodeSlots
from processors.sandbox.process import Reuse
from processors.still.heic import is_heic_installed
from processors.types import ThumbnailSpec

if TYPE_CHECKING:  # `make` knows the defaults without them: they take 0.3 s to load
    from service.settings import DecodeSettings


def build_slots(
    settings: "DecodeSettings",
    on_restart: Callable[[str], None] | None = None,
    *,
    count: int | None = None,
    is_warm: bool = True,
    reuse: Reuse | None = None,
) -> DecodeSlots:
    """Return the decoders, DECODE_SLOTS without a `count`; start them from the thread that runs the event loop.

    `reuse` replaces what the settings say of it.
    """
    if reuse is None and settings.decode_reuse == "tenant":
        reuse = Reuse(max_jobs=settings.decode_reuse_jobs, max_age_s=settings.decode_reuse_s)
    return DecodeSlots(
        settings.decode_slots if count is None else count,
        timeout_s=settings.decode_timeout_s,
        memory_mb=settings.decode_memory_mb,
        cpu_s=settings.decode_cpu_s,
        heic=settings.decode_heic == "auto" and is_heic_installed(),
        confinement=settings.decode_confinement,
        on_restart=on_restart,
        is_warm=is_warm,
        reuse=reuse,
    )


def build_spec(settings: "DecodeSettings") -> ThumbnailSpec:
    """Return the renditions of every upload, and the limits of making them."""
    return ThumbnailSpec(
        renditions=parse_renditions(settings.thumbnail_renditions),
        format=settings.thumbnail_format,
        quality=settings.thumbnail_quality,
        effort=settings.thumbnail_effort,
        max_rendition_bytes=settings.thumbnail_max_bytes,
        background=settings.thumbnail_background,
        alpha=settings.thumbnail_alpha,
        decoder=settings.frame_decoder,
        strategy=settings.frame_strategy,
        max_source_bytes=settings.decode_max_source_bytes,
        max_pixels=settings.decode_max_pixels,
        max_frames=settings.decode_max_frames,
        max_reads=settings.decode_max_reads,
        max_bytes_read=settings.decode_max_read_bytes,
    )
