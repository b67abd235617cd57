"""Every file of the corpus of colours and shapes shows the scene, also out of the cage."""

import numpy as np
from numpy.typing import NDArray

from processors.sandbox.pool import DecodeSlots
from processors.types import ThumbnailSet
from service.demo.media import CORNERS
from tests.doubles.corpus_colour import colour_corpus, the_scene
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of
from tests.unit.processors.sandbox.test_pool import make, with_slots

PLACES = {
    "top_left": (0.03, 0.03),
    "top_right": (0.97, 0.03),
    "bottom_left": (0.03, 0.97),
    "bottom_right": (0.97, 0.97),
}
GREY = ("grey with a linear profile.png", "grey 16 bit.png", "float.tif")
TOLERANCE = 14
BRIGHT_TOLERANCE = 30
"""Where a sun of 1000 cd/m2 takes room from what is lit evenly, and inks are plainly subtracted."""


def mistakes_of(name: str, made: ThumbnailSet) -> list[str]:
    """What is wrong with a file's largest thumbnail."""
    pixels = pixels_of(made.renditions[2], "RGBA")
    if made.degraded or made.frame.method.startswith("opencv"):
        return [f"{name}: by {made.frame.method}"]
    if name.startswith("alpha"):
        sees_corner = colour_at(pixels, 0.02, 0.02)[3] > 4
        return [f"{name}: {colour_at(pixels, 0.5, 0.9)}"] * (sees_corner or not _is_like_the_scene(pixels, 0.5, 0.9))
    if name in GREY:
        grey = round(float(np.dot(CORNERS["top_left"], (0.299, 0.587, 0.114))))
        return [] if is_near(colour_at(pixels, *PLACES["top_left"])[:3], (grey,) * 3, TOLERANCE) else [name]
    tolerance = BRIGHT_TOLERANCE if "sun" in name else TOLERANCE
    found = {corner: colour_at(pixels, *place)[:3] for corner, place in PLACES.items()}
    return [
        f"{name}: {corner} {colour}"
        for corner, colour in found.items()
        if not is_near(colour, CORNERS[corner], tolerance)
    ]


def _is_like_the_scene(pixels: NDArray[np.uint8], x_share: float, y_share: float) -> bool:
    wanted = (*colour_at(the_scene(), x_share, y_share), 255)
    return is_near(colour_at(pixels, x_share, y_share), wanted, TOLERANCE)


def test_every_file_of_the_corpus_shows_the_scene_out_of_the_cage() -> None:
    corpus = colour_corpus()

    async def body(slots: DecodeSlots) -> list[str]:
        mistakes: list[str] = []
        for name, content in corpus.items():
            mistakes += mistakes_of(name, await make(slots, BytesSource(content)))
        return mistakes

    assert with_slots(body) == []
