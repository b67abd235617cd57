"""JPEGs whose end is missing: whole ones are ready, cut ones are called degraded, and what lacks more is refused."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from processors.types import ThumbnailSet
from schemas.errors import ErrorCode, PermanentError
from service.demo.media import scene
from tests.doubles.sources import BytesSource, pixels_of
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import code_of, encoded, make

KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 7},
    "progressive with restart markers": {"progressive": True, "restart_marker_rows": 1},
    "full colour": {"subsampling": 0},
}
SIZES = {"small": (400, 300), "large": (1600, 1200)}
"""The large one is decoded at a fraction of its size by OpenCV, the small one by Pillow."""


@cache
def jpeg(kind: str = "baseline", size: str = "small", mode: str = "RGB") -> bytes:
    """The scene under fine grain, so that every part of the picture has its share of the bytes."""
    width, height = SIZES[size]
    grain = np.random.default_rng(3).integers(-25, 25, (height, width, 1))
    pixels = (scene(width, height, 0.3).astype(np.int16) + grain).clip(0, 255).astype(np.uint8)
    return encoded(Image.fromarray(pixels).convert(mode), "JPEG", quality=90, **KINDS[kind])


def pictures(made: ThumbnailSet) -> list[bytes]:
    return [rendition.content for rendition in made.renditions]


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_one_that_lacks_only_its_end_marker_is_simply_ready(kind: str, size: str, missing: int) -> None:
    whole, endless = make(jpeg(kind, size)), make(jpeg(kind, size)[:-missing])
    assert not endless.degraded
    assert pictures(endless) == pictures(whole)
    assert endless.source == whole.source


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_so_is_one_in_grey_or_in_ink(mode: str) -> None:
    endless = make(jpeg(mode=mode)[:-2])
    assert not endless.degraded
    assert pictures(endless) == pictures(make(jpeg(mode=mode)))


@pytest.mark.parametrize("behind", [bytes(5000), b"\xff" * 3, b"\xff\xd8\xff\xe0 and another picture", b"GIF89a"])
def test_what_stands_where_the_end_should_be_does_not_matter(behind: bytes) -> None:
    made = make(jpeg()[:-2] + behind)
    assert not made.degraded or behind == b"GIF89a", "bytes that could be pixels make no difference to be sure of"
    assert pictures(made) == pictures(make(jpeg()))


def test_it_is_ready_in_the_cage_too() -> None:
    made = with_slots(lambda slots: make_caged(slots, BytesSource(jpeg("progressive", "large")[:-2])))
    assert (made.source.codec, made.degraded) == ("jpeg", False)


def test_its_orientation_and_colours_are_kept() -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    turned = encoded(Image.fromarray(scene(640, 480, 0.3)), "JPEG", exif=tags)
    assert make(turned[:-2]).source.rotation == 90
    assert pictures(make(turned[:-2])) == pictures(make(turned))


def rows_alike(one: ThumbnailSet, other: ThumbnailSet) -> float:
    """The share of the rows, from the first on, that look the same."""
    difference = np.abs(pixels_of(one.renditions[1]).astype(int) - pixels_of(other.renditions[1])).mean(axis=(1, 2))
    differing = np.flatnonzero(difference > 8)
    return float(differing[0] / len(difference)) if len(differing) else 1.0


@pytest.mark.parametrize("padding", [0, 100_000])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_cut_a_little_is_shown_but_called_degraded(kind: str, size: str, padding: int) -> None:
    """A broken transfer leaves the last bytes out, or zeros in their place."""
    content = jpeg(kind, size)
    made = make(content[: len(content) * 19 // 20] + bytes(padding))
    assert made.degraded
    assert rows_alike(made, make(content)) > 0.85


@pytest.mark.parametrize("missing", [4, 40])
def test_a_few_bytes_of_pixels_are_missed(missing: int) -> None:
    assert make(jpeg()[:-missing]).degraded
    assert make(jpeg("restart markers")[:-missing]).degraded


def test_one_that_is_cut_at_a_restart_marker_is_not_taken_for_whole() -> None:
    content = jpeg("restart markers")
    at = content.rindex(b"\xff\xd3")
    assert make(content[:at]).degraded
    assert make(content[: at + 2]).degraded


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("padding", [0, 1_000_000])
@pytest.mark.parametrize("kind", ["baseline", "restart markers", "full colour"])
def test_one_that_lacks_much_shows_what_there_is(kind: str, padding: int, share: float) -> None:
    content = jpeg(kind)
    made = make(content[: int(len(content) * share)] + bytes(padding))
    assert (made.degraded, made.frame.method) == (True, "image-damaged")
    assert rows_alike(made, make(content)) > share - 0.1


@pytest.mark.parametrize("padding", [0, 1_000_000])
@pytest.mark.parametrize("kind", ["baseline", "restart markers", "full colour"])
def test_one_of_which_next_to_nothing_is_there_is_refused(kind: str, padding: int) -> None:
    content = jpeg(kind)
    assert code_of(content[: len(content) // 25] + bytes(padding)) is ErrorCode.MEDIA_CORRUPT


def test_a_progressive_one_is_shown_as_far_as_its_scans_go() -> None:
    """All of it is there, only coarser; without its first scan, which every later one builds on, nothing is."""
    content = jpeg("progressive", "large")
    starts = [at for at in range(len(content)) if content.startswith(b"\xff\xda", at)]
    without_the_last = make(content[: starts[-1]])
    assert without_the_last.degraded
    assert rows_alike(without_the_last, make(content)) == 1.0
    assert make(content[: starts[-1] + 5]).degraded, "cut within a scan's header"
    assert code_of(content[: starts[0] + (starts[1] - starts[0]) // 30]) is ErrorCode.MEDIA_CORRUPT
    assert code_of(content[: starts[0]]) is ErrorCode.MEDIA_CORRUPT


@pytest.mark.parametrize("behind", [b"", b"\xff\xd8 and the beginning of another file"])
def test_the_end_of_the_small_picture_in_its_tags_is_not_its_own(behind: bytes) -> None:
    """A few kilobytes of a large photograph, which hold a small one whole: no grey picture comes of it."""
    small = encoded(Image.fromarray(scene(160, 120, 0.3)), "JPEG")
    tags = b"Exif\0\0II*\0\x08\0\0\0\0\0" + (len(small)).to_bytes(4, "little") + small
    segment = b"\xff\xe1" + (len(tags) + 2).to_bytes(2) + tags
    content = jpeg("baseline", "large")
    photograph = content[:2] + segment + content[2:]
    assert not make(photograph).degraded
    assert code_of(photograph[:20_000] + behind) is ErrorCode.MEDIA_CORRUPT


def test_every_cut_of_a_jpeg_is_ready_or_a_code() -> None:
    content = encoded(Image.fromarray(scene(48, 40, 0.3)), "JPEG", progressive=True, restart_marker_rows=1)
    whole = pictures(make(content))
    for end in {*range(3, len(content), 17), *range(len(content) - 30, len(content))}:
        try:
            made = make(content[:end])
        except PermanentError as error:
            assert error.code is ErrorCode.MEDIA_CORRUPT, end
        else:
            assert made.degraded or pictures(made) == whole, end


def test_a_strip_of_a_single_row_of_blocks_is_measured_by_its_length() -> None:
    strip = encoded(Image.fromarray(scene(1200, 16, 0.3)), "JPEG", quality=95)
    pixels = strip.index(b"\xff\xda")
    assert code_of(strip[: pixels + (len(strip) - pixels) // 20]) is ErrorCode.MEDIA_CORRUPT
    assert make(strip[:-20]).degraded


def test_zeros_that_are_pixels_are_not_taken_for_padding() -> None:
    """An even area in a file with tables of its own is nothing but zeros."""
    even = Image.new("L", (1600, 1200), 128)
    even.paste(Image.fromarray(scene(1600, 300, 0.3)).convert("L"))
    content = encoded(even, "JPEG", optimize=True)
    assert content[:-3].endswith(bytes(100)), "the case is as described"
    assert not make(content[:-2]).degraded
    assert pictures(make(content[:-2])) == pictures(make(content))
