"""The colours of a campaign's uploads: no two alike, found again in pictures and placeholders, and never in another's."""

import io
from itertools import combinations

import pytest
from PIL import Image

from processors.output.thumbhash import thumbhash
from tests.campaign.chaos.pictures import (
    AVERAGE_TOLERANCE,
    PHOTO_SIZE,
    TOLERANCE,
    a_photo_of,
    colours_of,
    distance,
    measure,
    placeholder_distance,
)

NUMBERS = (0, 1, 2, 77, 4_001)


def as_webp(content: bytes) -> bytes:
    """As small and as lossy as the smallest thumbnail."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.resize((150, 112), Image.Resampling.LANCZOS).save(out, "WEBP", quality=60)
    return out.getvalue()


def test_no_two_uploads_of_a_campaign_have_the_same_colours_or_similar_ones() -> None:
    colours = [colours_of(number) for number in range(8_000)]
    assert len(set(colours)) == len(colours)
    assert min(distance(one, other) for one, other in combinations(colours[:200], 2)) > 2 * TOLERANCE


@pytest.mark.parametrize("number", NUMBERS)
def test_the_colours_are_found_again_in_a_thumbnail(number: int) -> None:
    found = measure(as_webp(a_photo_of(colours_of(number))))
    assert found is not None
    assert (found.width, found.height, found.format) == (150, 112, "webp")
    assert distance(found.colours, colours_of(number)) <= TOLERANCE
    assert all(distance(found.colours, colours_of(other)) > TOLERANCE for other in NUMBERS if other != number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_average_is_found_again_in_a_placeholder(number: int) -> None:
    with Image.open(io.BytesIO(a_photo_of(colours_of(number)))) as picture:
        assert picture.size == PHOTO_SIZE
        placeholder = thumbhash(picture)
    assert placeholder_distance(placeholder, colours_of(number)) <= AVERAGE_TOLERANCE


@pytest.mark.parametrize("placeholder", [None, "", "garbage", "AAAA", "A" * 400])
def test_what_is_no_placeholder_is_far_off(placeholder: str | None) -> None:
    assert placeholder_distance(placeholder, colours_of(1)) > AVERAGE_TOLERANCE


@pytest.mark.parametrize("content", [b"", b"no picture", a_photo_of(colours_of(1))[:200]])
def test_what_is_no_picture_is_not_measured(content: bytes) -> None:
    assert measure(content) is None
