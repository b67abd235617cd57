"""How `make` decodes: by the settings, and without loading them where none of them is set."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from processors.output.renditions import parse_renditions
from processors.sandbox.pool import DecodeSlots
from processors.sandbox.process import Reuse
from processors.still.heic import is_heic_installed
from processors.types import PictureFormat, ThumbnailSpec
from service.roles.decoding import build_slots, build_spec
from service.setting_names import DECODE_NAMES

if TYPE_CHECKING:
    from service.settings import DecodeSettings

_FEW: Final = 8
"""Files of one decoder that are made sooner than it is warm."""
_REUSE: Final = Reuse(max_jobs=100, max_age_s=60)
"""The files of one command are one person's: a process of its own for each would take as long as a small picture."""


@dataclass(frozen=True)
class Decoding:
    """The wish for each file, and the decoders: `make_slots` returns so many, warm ones if asked."""

    spec: ThumbnailSpec
    max_slots: int
    make_slots: Callable[[int, bool], DecodeSlots]

    def slots_for(self, files: int) -> DecodeSlots:
        """Return no more decoders than files, and cold ones for a few."""
        count = max(1, min(self.max_slots, files))
        return self.make_slots(count, files > _FEW * count)


def decoding_by(settings: "DecodeSettings") -> Decoding:
    """Return what the settings say."""
    return Decoding(
        build_spec(settings),
        settings.decode_slots,
        lambda count, is_warm: build_slots(settings, count=count, is_warm=is_warm, reuse=_REUSE),
    )


def decoding_of(sizes: str | None, format_name: str | None, quality: int | None) -> Decoding:
    """Return what the options and the environment say. Raises pydantic.ValidationError for what they may not say."""
    if DECODE_NAMES.isdisjoint(map(str.upper, os.environ)):
        try:
            return Decoding(_spec_of(sizes, format_name, quality), os.cpu_count() or 1, _default_slots)
        except ValueError:
            pass  # the settings' own error is a sentence
    from service.settings import DecodeSettings

    chosen: dict[str, Any] = {
        "thumbnail_renditions": sizes,
        "thumbnail_format": format_name,
        "thumbnail_quality": quality,
    }
    return decoding_by(DecodeSettings(**{name: value for name, value in chosen.items() if value is not None}))


def _spec_of(sizes: str | None, format_name: str | None, quality: int | None) -> ThumbnailSpec:
    """Return the defaults, which the settings have from here, with the options. Raises ValueError."""
    spec = ThumbnailSpec()
    return replace(
        spec,
        renditions=spec.renditions if sizes is None else parse_renditions(sizes),
        format=spec.format if format_name is None else next(found for found in PictureFormat if found == format_name),
        quality=spec.quality if quality is None else quality,
    )


def _default_slots(count: int, is_warm: bool) -> DecodeSlots:
    return DecodeSlots(count, heic=is_heic_installed(), is_warm=is_warm, reuse=_REUSE)
