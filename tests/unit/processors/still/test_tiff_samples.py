"""TIFFs of halves, of more samples than colours, and of tiles that are pictures: the scene that they were made of."""

import struct
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.types import ThumbnailSet
from schemas.errors import ErrorCode, PermanentError
from tests.doubles.corpus_kinds import HEIGHT, WIDTH, photograph, saved
from tests.doubles.corpus_rare import light, pixels, tiff
from tests.doubles.profiles import ink_profile
from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_large import tiff as tiff_of_parts
from tests.unit.processors.still.test_pictures import assert_upright, make

TILE = 64


def difference(made: ThumbnailSet, expected: NDArray[Any]) -> float:
    return float(np.abs(pixels_of(made.renditions[2]).astype(int) - expected).mean())


def assert_whole(made: ThumbnailSet) -> None:
    assert (made.source.codec, made.source.width, made.source.height) == ("tiff", WIDTH, HEIGHT)
    assert (made.frame.method, made.degraded) == ("image", False)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_halves_are_light(predictor: int, order: Literal["<", ">"]) -> None:
    halves = light().astype(np.float16)
    if predictor == 2:
        numbers = halves.view(np.uint16).copy()
        numbers[:, 1:] -= halves.view(np.uint16)[:, :-1]
        halves = numbers.view(np.float16)
    made = make(tiff(halves, predictor=predictor, order=order))
    assert_whole(made)
    assert_upright(made)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_of_more_samples_than_colours_the_first_are_the_colours(kind: type) -> None:
    more: NDArray[Any] = np.dstack([pixels(), np.full((HEIGHT, WIDTH, 2), 99, np.uint8)]).astype(kind)
    made = make(tiff(more * 257 if kind is np.uint16 else more, t338=0))
    assert_whole(made)
    assert_upright(made)


@pytest.mark.parametrize("profile", [None, ink_profile()])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_inks_with_transparency_are_those_without_it_and_transparent(kind: type, profile: bytes | None) -> None:
    """As Photoshop saves a CMYK document with a layer's mask. The judge is Pillow's way with the four inks alone."""
    inks, alpha = photograph().convert("CMYK"), np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, : WIDTH // 2] = 0
    values: NDArray[Any] = np.dstack([np.asarray(inks), alpha]).astype(kind)
    tags = {
        256: [WIDTH],
        257: [HEIGHT],
        258: [8 * values.itemsize] * 5,
        259: [1],
        262: [5],
        277: [5],
        278: [HEIGHT],
        338: [2],
    }
    content = tiff_of_parts(
        tags | ({34675: list(profile)} if profile else {}), [(values * 257 if kind is np.uint16 else values).tobytes()]
    )
    made, judge = make(content), make(saved(inks, "TIFF", icc_profile=profile))
    assert_whole(made)
    shown = pixels_of(made.renditions[2], "RGBA").astype(int)
    assert shown[:, : WIDTH // 2 - 4, 3].max() == 0
    assert shown[:, WIDTH // 2 + 4 :, 3].min() == 255
    right = np.s_[:, WIDTH // 2 + 4 :, :3]
    assert np.abs(shown[right] - pixels_of(judge.renditions[2])[right]).mean() < 3


def test_inks_of_another_set_are_not_taken_for_the_usual_ones() -> None:
    assert make(tiff(np.dstack([pixels(), pixels()[..., :2]]), photometric=5, t332=2)).degraded


@pytest.mark.parametrize("photometric", [0, 1])
def test_of_more_samples_than_grey_the_first_is_the_grey(photometric: int) -> None:
    grey = np.asarray(photograph().convert("L"))
    made = make(tiff(np.dstack([grey, *(pixels()[..., :1],) * 4]), photometric=photometric, t338=0))
    assert_whole(made)
    assert difference(made, (grey if photometric else 255 - grey)[..., None]) < 3


def test_a_palette_of_65536_colours_is_followed() -> None:
    numbers = (np.arange(WIDTH * HEIGHT, dtype=np.uint32) % 65536).reshape(HEIGHT, WIDTH)
    colours = np.zeros((65536, 3), np.uint8)
    colours[numbers[HEIGHT // 2]] = pixels()[HEIGHT // 2]
    strip = numbers.astype("<u2").tobytes()
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [16], 259: [1], 262: [3], 277: [1], 278: [HEIGHT]}
    content = tiff_of_parts(tags | {320: [257 * int(value) for value in colours.T.reshape(-1)]}, [strip])
    made = make(content)
    assert_whole(made)
    assert difference(made, colours[numbers]) < 6


@pytest.mark.parametrize(("form", "compression"), [("WEBP", 50001), ("PNG", 34933), ("JPEG2000", 34712)])
def test_tiles_that_are_pictures_are_put_together(form: str, compression: int) -> None:
    options: dict[str, Any] = {"WEBP": {"lossless": True}, "JPEG2000": {"no_jp2": True}}.get(form, {})
    places = [(left, top) for top in range(0, HEIGHT, TILE) for left in range(0, WIDTH, TILE)]
    tiles = [saved(photograph().crop((left, top, left + TILE, top + TILE)), form, **options) for left, top in places]
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [8] * 3, 259: [compression], 262: [2], 277: [3], 322: [TILE], 323: [TILE]}
    made = make(tiff_of_parts(tags, tiles))
    assert_whole(made)
    assert_upright(made)
    cut = make(tiff_of_parts(tags, [*tiles[:-1], b"no picture"]))
    assert (cut.frame.method, cut.degraded) == ("image-damaged", True)
    assert pixels_of(cut.renditions[2], "RGBA")[-1, -1, 3] == 0


def test_tiles_whose_places_are_called_those_of_strips_are_tiles() -> None:
    """As programs wrote them before TIFF 6.0; Pillow alone draws them as strips."""
    scene = np.asarray(photograph().resize((4 * TILE, 3 * TILE)))
    places = [(top, left) for top in range(0, 3 * TILE, TILE) for left in range(0, 4 * TILE, TILE)]
    parts = [scene[top : top + TILE, left : left + TILE].tobytes() for top, left in places]
    tags = {
        256: [4 * TILE],
        257: [3 * TILE],
        258: [8] * 3,
        259: [1],
        262: [2],
        277: [3],
        278: [TILE],
        322: [TILE],
        323: [TILE],
    }
    content = tiff_of_parts(tags, parts)
    for tile, strip in ((324, 273), (325, 279)):
        content = content.replace(struct.pack("<HH", tile, 4), struct.pack("<HH", strip, 4))
    made = make(content)
    assert (made.frame.method, made.degraded) == ("image", False)
    assert difference(made, scene) < 4


def test_one_whose_tags_contradict_each_other_is_not_read() -> None:
    """Its height is there twice: Pillow takes the one, and this program the other."""
    content = tiff(light().astype(np.float16))
    twice = content.replace(struct.pack("<HHL", 262, 4, 1), struct.pack("<HHL", 257, 4, 1), 1)
    with pytest.raises(PermanentError) as caught:
        make(twice)
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED
