"""What benchmarks.real_pictures calls the same picture: resampling, compression and a little colour do not count, all else does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from benchmarks.picture_comparison import compare
from tests.doubles.corpus_kinds import cut_out, photograph

Change = Callable[[Image.Image], Image.Image]


def half_grey(picture: Image.Image) -> Image.Image:
    """As of a file that is cut."""
    changed = picture.copy()
    changed.paste((128, 128, 128), (0, picture.height // 2, picture.width, picture.height))
    return changed


def moved(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.roll(np.asarray(picture), picture.width // 4, axis=1))


def swapped(picture: Image.Image) -> Image.Image:
    red, green, blue = picture.split()
    return Image.merge("RGB", (blue, green, red))


SAME: dict[str, Change] = {
    "smaller": lambda picture: picture.resize((200, 150)),
    "by another filter": lambda picture: picture.resize((128, 96), Image.Resampling.NEAREST),
    "softer": lambda picture: picture.filter(ImageFilter.GaussianBlur(1)),
    "a little lighter": lambda picture: picture.point([min(255, value + 6) for value in range(256)] * 3),
}
OTHER: dict[str, Change] = {
    "half of it missing": half_grey,
    "upside down": ImageOps.flip,
    "turned": lambda picture: picture.rotate(90, expand=True),
    "moved": moved,
    "red for blue": swapped,
    "blank": lambda picture: Image.new("RGB", picture.size, (128, 128, 128)),
    "green": lambda picture: Image.new("RGB", picture.size, (0, 255, 0)),
    "cut out": lambda _picture: cut_out(),
}


@pytest.mark.parametrize("name", [*SAME, *OTHER])
def test_it_tells_the_same_picture_from_another(name: str, tmp_path: Path) -> None:
    picture = photograph()
    picture.save(tmp_path / "one.png")
    {**SAME, **OTHER}[name](picture).save(tmp_path / "other.png")
    assert compare(tmp_path / "one.png", tmp_path / "other.png").is_alike == (name in SAME)
