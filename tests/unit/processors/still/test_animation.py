"""Animated pictures: a good frame of them, composed as a browser would, and asserted on pixels and times."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from processors.sandbox.pool import DecodeSlots
from processors.types import ThumbnailSpec
from service.demo.media import scene
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import assert_upright, encoded, make

FORMATS: dict[str, dict[str, Any]] = {"GIF": {}, "PNG": {}, "WEBP": {"lossless": True}, "AVIF": {"quality": 90}}


def a_busy_scene(share: float) -> Image.Image:
    pixels = scene(320, 240, share).copy()
    pixels[60:180, 60:260] = np.random.default_rng(7).integers(0, 256, (15, 25, 3)).repeat(8, axis=0).repeat(8, axis=1)
    return Image.fromarray(pixels)


SCENES = [a_busy_scene(share) for share in (0.3, 0.35, 0.4)]


def plain(colour: tuple[int, int, int], count: int = 1) -> list[Image.Image]:
    """Of one colour each, but not all the same: equal frames would be made one."""
    return [Image.new("RGB", (320, 240), tuple(min(255, part + number) for part in colour)) for number in range(count)]


def animated(frames: list[Image.Image], picture_format: str, ms: int = 100, **options: Any) -> bytes:
    options = {"loop": 0, **FORMATS[picture_format], **options}
    return encoded(frames[0], picture_format, save_all=True, append_images=frames[1:], duration=ms, **options)


@pytest.mark.parametrize("picture_format", FORMATS)
@pytest.mark.parametrize("leader", [(0, 0, 0), (250, 250, 250), (200, 30, 30)])
def test_a_blank_beginning_is_passed_over(picture_format: str, leader: tuple[int, int, int]) -> None:
    made = make(animated(plain(leader, 4) + SCENES, picture_format))
    assert_upright(made)
    assert made.frame.time_s == pytest.approx(0.4)
    assert made.frame.method == "image-smart"
    assert made.frame.score > 0.7
    assert made.frame.candidates == 5
    assert (made.source.kind, made.source.codec) == ("image", picture_format.lower())


@pytest.mark.parametrize("picture_format", FORMATS)
def test_a_good_first_frame_ends_the_search(picture_format: str) -> None:
    made = make(animated(SCENES, picture_format))
    assert (made.frame.time_s, made.frame.candidates) == (0.0, 1)


@pytest.mark.parametrize("picture_format", FORMATS)
def test_fixed_takes_the_first_frame(picture_format: str) -> None:
    made = make(animated(plain((0, 0, 60), 2) + SCENES, picture_format), strategy="fixed")
    assert (made.frame.time_s, made.frame.method, made.frame.candidates) == (0.0, "image-fixed", 1)
    assert is_near(colour_at(pixels_of(made.renditions[1]), 0.5, 0.5), (0, 0, 60), 12)


@pytest.mark.parametrize("picture_format", FORMATS)
@pytest.mark.parametrize(("wanted_s", "shown_s", "blue"), [(0.0, 0.0, 0), (0.55, 0.5, 200), (9.0, 0.5, 200)])
def test_the_uploaders_own_moment_is_shown(picture_format: str, wanted_s: float, shown_s: float, blue: int) -> None:
    frames = [Image.new("RGB", (64, 48), (0, 0, 40 * number)) for number in range(6)]
    made = make(animated(frames, picture_format), frame_time_s=wanted_s)
    assert made.frame.time_s == pytest.approx(shown_s)
    assert made.frame.method == "image-chosen"
    assert is_near(colour_at(pixels_of(made.renditions[1]), 0.5, 0.5), (0, 0, blue), 12)


def test_what_shows_nothing_at_all_is_shown_as_it_is() -> None:
    made = make(animated(plain((0, 0, 0), 5), "GIF"))
    assert (made.frame.time_s, made.frame.score, made.frame.candidates) == (0.0, 0.0, 5)


@pytest.mark.parametrize("picture_format", ["GIF", "PNG", "WEBP"])
def test_a_transparent_beginning_is_blank_too(picture_format: str) -> None:
    clear = [Image.new("RGBA", (320, 240), (0, 0, 0, 0))]
    made = make(animated(clear + [one.convert("RGBA") for one in SCENES], picture_format))
    assert_upright(made)
    assert made.frame.time_s == pytest.approx(0.1)


def a_moving_square(background: tuple[int, ...], count: int = 4) -> list[Image.Image]:
    frames = []
    for number in range(count):
        frame = Image.new("RGBA", (160, 120), background)
        frame.paste((255, 0, 0, 255), (40 * number, 40, 40 * number + 40, 80))
        frames.append(frame)
    return frames


@pytest.mark.parametrize("disposal", [0, 1, 2])
@pytest.mark.parametrize("picture_format", ["GIF", "PNG"])
def test_frames_are_composed_as_they_are_shown(picture_format: str, disposal: int) -> None:
    """What a frame leaves behind is there in the next one, or is not, as the file says."""
    background = (0, 0, 255, 255) if disposal < 2 else (0, 0, 0, 0)
    content = animated(a_moving_square(background), picture_format, disposal=disposal)
    made = make(content, frame_time_s=0.2)
    shown = pixels_of(made.renditions[1], "RGBA")
    assert is_near(colour_at(shown, 0.625, 0.5), (255, 0, 0, 255), 40)
    for x in (0.125, 0.375, 0.875):
        assert is_near(colour_at(shown, x, 0.5)[3:], background[3:], 10), "no trace of the earlier squares"
        assert background[3] == 0 or is_near(colour_at(shown, x, 0.5), background, 60)


def test_the_still_of_an_apng_is_not_one_of_its_frames() -> None:
    still = Image.fromarray(np.asarray(SCENES[0])[::-1, ::-1])
    content = animated([still, *plain((0, 0, 0)), *SCENES], "PNG", default_image=True)
    made = make(content)
    assert_upright(made)
    assert (made.frame.time_s, made.frame.candidates) == (pytest.approx(0.1), 2)


def test_what_is_drawn_in_black_on_nothing_shows_on_the_background() -> None:
    clear, drawn = Image.new("RGBA", (320, 240), (0, 0, 0, 0)), Image.new("RGBA", (320, 240), (0, 0, 0, 0))
    for number in range(48):
        x, y = number % 8 * 40, number // 8 * 40
        drawn.paste((0, 0, 0, 255), (x, y, x + 20 + number % 3 * 5, y + 25))
    content = animated([clear, drawn], "WEBP")
    assert make(content).frame.time_s == pytest.approx(0.1)
    assert make(content, background="000000").frame.score == 0.0


def test_a_broken_end_does_not_spoil_what_came_before() -> None:
    content = animated(plain((0, 0, 0), 2) + SCENES, "GIF")
    broken = content[: content.rindex(b"\x2c") + 400]
    assert_upright(make(broken))


def test_pages_and_other_sizes_are_no_animation() -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (0, 0, 200)).save(out, "TIFF", save_all=True, append_images=SCENES)
    made = make(out.getvalue())
    assert (made.frame.method, made.frame.time_s) == ("image", None)
    assert is_near(colour_at(pixels_of(made.renditions[1]), 0.5, 0.5), (0, 0, 200), 8)


@pytest.mark.parametrize("picture_format", FORMATS)
def test_a_frame_is_chosen_in_the_cage_as_well(picture_format: str) -> None:
    content = animated(plain((0, 0, 0), 2) + SCENES, picture_format)

    async def body(slots: DecodeSlots) -> Any:
        return await slots.create_thumbnails(BytesSource(content), ThumbnailSpec(), kind=None)

    made = with_slots(body)
    assert_upright(made)
    assert (made.frame.time_s, made.frame.candidates) == (pytest.approx(0.2), 3)


def test_a_long_animation_is_judged_by_its_first_frames() -> None:
    rng = np.random.default_rng(1)
    dull = [Image.fromarray(rng.integers(0, 8, (24, 32), dtype=np.uint8), "L") for _ in range(400)]
    made = make(animated(dull, "GIF", ms=20))
    assert made.frame.candidates <= 300
