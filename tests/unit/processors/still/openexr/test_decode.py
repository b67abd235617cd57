"""OpenEXR pictures that FFmpeg has no way for, and what OpenEXR means by the numbers of the others. Seen beside libvips' by hand."""

import random
import struct

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.colour.linear_light import srgb_to_light
from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError
from tests.doubles.corpus_kinds import photograph
from tests.doubles.corpus_openexr import HEIGHT, WIDTH, by_openexr, deep, luminance_and_chroma, openexr, scene
from tests.doubles.sources import BytesSource, pixels_of

XYZ = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def make(content: bytes) -> ThumbnailSet:
    return create_thumbnails(BytesSource(content), ThumbnailSpec())


def shown(made: ThumbnailSet, mode: str = "RGBA") -> NDArray[np.int64]:
    return pixels_of(made.renditions[2], mode).astype(np.int64)


def codes(light: NDArray[np.floating]) -> NDArray[np.float64]:
    light = np.clip(light.astype(np.float64), 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def rgb(light: NDArray[np.floating]) -> dict[str, tuple[NDArray[np.float16], int]]:
    return {name: (light[..., number].astype(np.float16), 1) for number, name in enumerate("RGB")}


def photographed() -> NDArray[np.float64]:
    return srgb_to_light(np.asarray(photograph()) / 255)


def test_luminance_and_chroma_are_shown_in_their_colours() -> None:
    light = photographed()
    made = make(luminance_and_chroma(light))
    assert (made.source.codec, made.frame.method, made.degraded) == ("exr", "image", False)
    assert (made.source.width, made.source.height) == (light.shape[1], light.shape[0])
    assert np.abs(shown(made, "RGB") - codes(light)).mean() < 4


@pytest.mark.parametrize("name", ["R", "G", "B"])
def test_one_colour_alone_is_shown_in_grey(name: str) -> None:
    light = photographed()[..., 1]
    made = make(openexr({name: (light.astype(np.float32), 1)}))
    assert (made.frame.method, made.degraded) == ("image", False)
    assert np.abs(shown(made, "RGB") - codes(light)[..., None]).mean() < 4


def test_of_a_deep_picture_is_shown_what_is_seen_from_the_front() -> None:
    """A white veil before the upper half, and nothing in the first columns: as libvips shows it."""
    made = make(by_openexr("DEEP"))
    seen = shown(made)
    expected = scene().astype(float)
    expected[: HEIGHT // 2] = 0.5 + expected[: HEIGHT // 2] / 2
    assert (made.source.width, made.source.height, made.degraded) == (WIDTH, HEIGHT, False)
    assert (seen[:, :3, 3] < 8).all()
    assert (seen[:, 5:, 3] > 247).all()
    assert np.abs(seen[:, 6:, :3] - codes(expected)[:, 6:]).mean() < 3


def test_samples_hide_what_lies_behind_them_in_whatever_order_they_are_stored() -> None:
    red, green = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0)
    behind, before = 7.0, 2.0
    pixels = [(*red, before), (*green, behind)]
    made = make(deep([[pixels] * 8 + [pixels[::-1]] * 8] * 16))
    assert shown(made)[8, [3, 12]].tolist() == [[255, 0, 0, 255]] * 2


def test_colours_that_are_multiplied_with_their_alpha_are_divided_again() -> None:
    """By FFmpeg, which hands them out as they are."""
    light = np.full((32, 32, 3), 0.25)
    made = make(
        openexr(
            {**rgb(light), "A": (np.full((32, 32), 0.5, np.float16), 1)}, data=(0, 0, 31, 31), display=(0, 0, 31, 31)
        )
    )
    assert np.abs(shown(made)[16, 16] - [188, 188, 188, 128]).max() <= 2


@pytest.mark.parametrize("is_chroma", [False, True])
def test_other_primaries_become_those_of_srgb(is_chroma: bool) -> None:
    """Those of XYZ itself, whose white is kept as it is: as OpenEXR's own pair of test pictures."""
    light = scene().astype(np.float64)
    stored = light @ TO_XYZ.T
    if is_chroma:
        luminance = stored[..., 1]
        planes = {
            "Y": (luminance.astype(np.float16), 1),
            "RY": ((stored[..., 0] / luminance - 1).astype(np.float16)[::2, ::2], 2),
            "BY": ((stored[..., 2] / luminance - 1).astype(np.float16)[::2, ::2], 2),
        }
    else:
        planes = rgb(stored)
    made = make(openexr(planes, chromaticities=XYZ))
    away = np.abs(shown(made, "RGB") - codes(light))
    assert away[:14, :15].mean() < 3
    assert away[22:, 23:].mean() < 3


@pytest.mark.parametrize("names", [("R", "G", "B"), ("Y", "RY", "BY")])
def test_the_display_window_is_shown_and_not_what_lies_around_it(names: tuple[str, ...]) -> None:
    """Data from 30, 40 on, 400 x 300, in a window of 500 x 400 from 0, 0 on: a frame around it, and its end cut off."""
    white = np.ones((300, 400), np.float16)
    planes = dict.fromkeys(names, (white, 1))
    if names[0] == "Y":
        planes |= {name: (np.zeros((150, 200), np.float16), 2) for name in names[1:]}
    made = make(openexr(planes, data=(30, 40, 429, 339), display=(0, 0, 399, 319)))
    seen = shown(made, "RGB")
    assert (made.source.width, made.source.height) == (400, 320)
    assert seen[20, 200].max() < 8
    assert seen[200, 15].max() < 8
    assert seen[200, 60].min() > 247
    assert seen[315, 395].min() > 247


def test_of_a_window_without_data_the_data_are_shown() -> None:
    made = make(openexr({"Y": (np.ones((30, 30), np.float16), 1), **{name: (np.zeros((15, 15), np.float16), 2) for name in ("RY", "BY")}},
                        data=(0, 0, 29, 29), display=(100, 0, 129, 29)))  # fmt: skip
    assert (made.source.width, made.source.height) == (30, 30)
    assert shown(made, "RGB").min() > 247


def test_of_a_cut_file_the_part_that_came_is_shown() -> None:
    content = luminance_and_chroma(photographed())
    made = make(content[: len(content) * 2 // 3])
    seen = shown(made)
    assert (made.frame.method, made.degraded) == ("image-damaged", True)
    height = len(seen)
    assert (seen[: height // 2, :, 3] == 255).all()
    assert (seen[height * 3 // 4 :, :, 3] == 0).all()
    with pytest.raises(PermanentError) as caught:
        make(content[: len(content) // 30])
    assert caught.value.code in (ErrorCode.MEDIA_CORRUPT, ErrorCode.MEDIA_UNSUPPORTED)


def test_one_that_claims_more_than_can_be_held_is_refused() -> None:
    content = luminance_and_chroma(photographed())
    height, width = photographed().shape[:2]
    huge = content.replace(struct.pack("<4i", 0, 0, width - 1, height - 1), struct.pack("<4i", 0, 0, 24_999, 4_999))
    with pytest.raises(PermanentError) as caught:
        make(huge)
    assert caught.value.code is ErrorCode.MEDIA_TOO_MANY_PIXELS


def test_damage_of_any_kind_ends_as_a_picture_or_as_an_error_of_ours() -> None:
    rng = random.Random(20)
    files = [luminance_and_chroma(scene().astype(float)), by_openexr("DEEP"), by_openexr("PIZ")]
    for number in range(300):
        content = bytearray(files[number % len(files)])
        for _ in range(rng.choice((1, 3, 30))):
            content[rng.randrange(8, min(len(content), rng.choice((500, 20000))))] = rng.choice((0, 1, 127, 128, 255))
        try:
            make(bytes(content))
        except PermanentError as error:
            assert error.code in (ErrorCode.MEDIA_CORRUPT, ErrorCode.MEDIA_UNSUPPORTED, ErrorCode.MEDIA_TOO_MANY_PIXELS)
