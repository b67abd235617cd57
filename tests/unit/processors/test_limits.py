"""Every limit has a setting and a code, and what is far beyond one is refused before it costs anything."""

import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from processors.limits import MAX_FRAMES_FORWARD
from processors.sandbox.pool import DecodeSlots
from processors.source_file import SourceFile
from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from service.demo.media import scene
from tests.doubles.clips import clip
from tests.doubles.giants import (
    ANIMATIONS,
    PICTURES,
    VIDEOS,
    apng_of,
    av1_frames,
    gif_of,
    h264_frames,
    hevc_frames,
    png,
    webp_of,
)
from tests.doubles.sources import BytesSource
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import assert_upright, code_of, encoded, make


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_hundreds_of_megapixels_is_refused_by_its_header(name: str) -> None:
    assert refused_fast(PICTURES[name]()) is ErrorCode.MEDIA_TOO_MANY_PIXELS


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_that_claims_to_be_huge_is_refused_whoever_says_it(name: str) -> None:
    assert refused_fast(VIDEOS[name]()) is ErrorCode.MEDIA_TOO_MANY_PIXELS


@pytest.mark.parametrize("made", [h264_frames, hevc_frames, av1_frames])
def test_a_video_above_our_own_limit_but_not_above_ffmpegs_is_refused_too(made: Any) -> None:
    assert refused_fast(made(12_000)) is ErrorCode.MEDIA_TOO_MANY_PIXELS


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_animation_of_a_hundred_thousand_frames_shows_its_first_one(name: str) -> None:
    content = ANIMATIONS[name](100_000)
    before = time.process_time()
    assert make(content).frame.candidates <= MAX_FRAMES_FORWARD
    assert time.process_time() - before < 2, "only the first ones were decoded"


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_operator_may_refuse_it(name: str) -> None:
    assert refused_fast(ANIMATIONS[name](100_000), max_frames=10_000) is ErrorCode.MEDIA_TOO_MANY_FRAMES


def refused_fast(content: bytes, **spec: Any) -> ErrorCode:
    before = time.process_time()
    code: ErrorCode = code_of(content, **spec)
    assert time.process_time() - before < 1
    return code


def test_giants_are_refused_in_the_cage_as_well() -> None:
    contents = [made() for made in (*PICTURES.values(), *VIDEOS.values())]

    async def body(slots: DecodeSlots) -> None:
        for content in contents:
            assert await caged_code(slots, content) is ErrorCode.MEDIA_TOO_MANY_PIXELS
        assert await caged_code(slots, gif_of(100_000), max_frames=10_000) is ErrorCode.MEDIA_TOO_MANY_FRAMES

    with_slots(body, cpu_s=1)  # whatever computed for longer would be a timeout


async def caged_code(slots: DecodeSlots, content: bytes, **spec: Any) -> ErrorCode:
    try:
        await slots.create_thumbnails(BytesSource(content), ThumbnailSpec(**spec), kind=None)
    except ThumbnailError as error:
        return error.code
    raise AssertionError("it should have been refused")


def test_pixels_are_bounded_exactly() -> None:
    picture, video = encoded(Image.new("RGB", (200, 200), (9, 99, 199))), clip([scene(320, 180, 0.5)] * 3)
    assert len(make(picture, max_pixels=40_000).renditions) == 3
    assert code_of(picture, max_pixels=39_999) is ErrorCode.MEDIA_TOO_MANY_PIXELS
    assert len(make(video, max_pixels=320 * 192).renditions) == 3  # as decoded, in whole blocks
    assert code_of(video, max_pixels=320 * 180 - 1) is ErrorCode.MEDIA_TOO_MANY_PIXELS
    assert code_of(png(30_000)) is ErrorCode.MEDIA_TOO_MANY_PIXELS


@pytest.mark.parametrize("made", [gif_of, webp_of, apng_of])
def test_frames_are_bounded_exactly(made: Any) -> None:
    assert code_of(made(31), max_frames=30) is ErrorCode.MEDIA_TOO_MANY_FRAMES
    if made is not apng_of:  # this one only says that it has frames
        assert len(make(made(30), max_frames=30).renditions) == 3


def test_counting_frames_reads_no_more_than_it_must() -> None:
    still = encoded(Image.fromarray(np.random.default_rng(4).integers(0, 255, (900, 900, 3), dtype=np.uint8)), "GIF")
    source = BytesSource(still + bytes(30_000_000))
    create_thumbnails(source, ThumbnailSpec(max_frames=10_000))
    assert sum(length for _, length in source.reads) < 4_000_000


def test_counting_ends_at_the_limit() -> None:
    source = BytesSource(gif_of(100_000))
    with pytest.raises(PermanentError):
        create_thumbnails(source, ThumbnailSpec(max_frames=10_000))
    assert sum(length for _, length in source.reads) < source.size / 2


def test_a_source_is_bounded_by_its_size() -> None:
    picture = encoded(Image.new("RGB", (20, 20)))
    assert len(make(picture, max_source_bytes=len(picture)).renditions) == 3
    assert code_of(picture, max_source_bytes=len(picture) - 1) is ErrorCode.SOURCE_TOO_LARGE


def a_big_picture() -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (800, 800, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels))


@pytest.mark.parametrize("limit", [{"max_reads": 1}, {"max_bytes_read": 300_000}])
@pytest.mark.parametrize("kind", ["picture", "video"])
def test_reads_are_bounded_by_number_and_by_bytes(limit: dict[str, int], kind: str) -> None:
    frames = list(np.random.default_rng(3).integers(0, 255, (12, 180, 320, 3), dtype=np.uint8))
    content = a_big_picture() if kind == "picture" else clip(frames, crf="5")
    assert len(content) > 600_000
    assert len(make(content).renditions) == 3
    assert code_of(content, **limit) is ErrorCode.MEDIA_CORRUPT

    async def body(slots: DecodeSlots) -> None:
        assert await caged_code(slots, content, **limit) is ErrorCode.MEDIA_CORRUPT

    with_slots(body)


def test_a_source_that_is_read_again_and_again_is_given_up() -> None:
    file = SourceFile(BytesSource(bytes(40_000_000)), max_reads=10_000)

    def read_on() -> None:
        for number in range(20_000):
            file.seek(number * 2_000_000 % 40_000_000)
            file.read(1_000_000)

    with pytest.raises(PermanentError, match="more reads"):
        read_on()
    assert file.bytes_read <= 2 * 40_000_000 + 64 * 1024**2


def test_the_processor_time_of_a_decode_is_bounded() -> None:
    """An animation that is black throughout is searched for longer than one second."""
    large = encoded(Image.new("P", (3000, 3000)), "GIF")
    frame = large[large.index(b"\x2c") : -1]
    dark = BytesSource(large[:-1] + frame * 299 + b";")

    async def body(slots: DecodeSlots) -> None:
        with pytest.raises(TransientError, match="processor time") as caught:
            await slots.create_thumbnails(dark, ThumbnailSpec(), kind=None)
        assert caught.value.code is ErrorCode.MEDIA_TIMEOUT

    with_slots(body, cpu_s=1)


def test_an_animation_within_the_limits_is_shown() -> None:
    assert_upright(make(gif_of(200)))


def test_a_library_that_reads_in_circles_is_stopped_though_the_source_is_not_asked_again() -> None:
    source = BytesSource(bytes(1_000_000))
    file = SourceFile(source)

    def in_circles() -> None:
        for _ in range(1000):
            file.seek(0)
            file.read()

    with pytest.raises(PermanentError, match="more reads") as caught:
        in_circles()
    assert caught.value.code is ErrorCode.MEDIA_CORRUPT
    assert len(source.reads) < 10
