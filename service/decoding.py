"""How decoders are built from the settings; apart from bootstrap, so that `make` loads no Kafka, storage or database."""

from collections.abc import Callable

from processors.decode_slots import DecodeSlots
from processors.types import ThumbnailSpec
from service.settings import DecodeSettings


def build_slots(settings: DecodeSettings, on_restart: Callable[[str], None] | None = None) -> DecodeSlots:
    """The decoders; start them from the thread that runs the event loop."""
    return DecodeSlots(
        settings.decode_slots,
        timeout_s=settings.decode_timeout_s,
        memory_mb=settings.decode_memory_mb,
        confinement=settings.decode_confinement,
        on_restart=on_restart,
    )


def build_spec(settings: DecodeSettings) -> ThumbnailSpec:
    """The renditions of every upload."""
    return ThumbnailSpec(
        format=settings.thumbnail_format,
        decoder=settings.frame_decoder,
        strategy=settings.frame_strategy,
    )
