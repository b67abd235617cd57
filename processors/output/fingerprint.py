"""A short name for the settings that decide what thumbnails look like: rows made with others are found by it."""

import hashlib
import json
from typing import Final

from processors.output.renditions import main_index
from processors.types import RenditionSpec, ThumbnailSpec

RECIPE: Final = 1
"""The version of how pictures are made. Raise it when the same settings make better pictures, so that old ones can be made again."""


def settings_fingerprint(spec: ThumbnailSpec) -> str:
    """Return RECIPE and 16 hexadecimal digits, the same for specs that make the same pictures.

    The limits are left out: they decide whether thumbnails are made, and not what they look like. So is `frame_time_s`,
    which is the upload's own. The order of the renditions counts only where it decides which one stands for all.
    """
    names = [one.name for one in spec.renditions]
    said = {
        "renditions": sorted([one.name, one.width, one.height, one.mode, *_own(one, spec)] for one in spec.renditions),
        "main": names[main_index(names)],
        "format": spec.format.value,
        "encoder": spec.format.options_by_effort[spec.effort],
        "quality": spec.quality,
        "max_rendition_bytes": spec.max_rendition_bytes,
        "background": spec.background.lower(),
        "alpha": spec.alpha if any(spec.format_of(one).keeps_alpha for one in spec.renditions) else "flatten",
        "decoder": spec.decoder,
        "strategy": spec.strategy,
    }
    return f"{RECIPE}-{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]}"


def _own(one: RenditionSpec, spec: ThumbnailSpec) -> tuple[object, ...]:
    """Return in what a rendition differs from the others: nothing, where it says nothing of its own."""
    found = spec.format_of(one), spec.quality_of(one)
    if found == (spec.format, spec.quality):
        return ()
    return found[0].value, json.dumps(found[0].options_by_effort[spec.effort]), found[1]
