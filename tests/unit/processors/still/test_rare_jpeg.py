"""JPEGs of twelve bits: the pixels that libjpeg-turbo's encoder was given, upright; what FFmpeg would mix up is not read.
And JPEGs with strange parts: what libjpeg, here OpenCV's, makes of them.
"""

import struct
import time

import numpy as np
import pytest
from imagecodecs import jpeg8_decode, jpeg8_encode
from numpy.typing import NDArray
from PIL import Image

from processors.sandbox.pool import DecodeSlots
from processors.still.rare_jpeg import without_strange_parts
from schemas.errors import ErrorCode, PermanentError
from service.demo.media import scene
from tests.doubles.sources import BytesSource, pixels_of
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import encoded, make

SCENE = scene(320, 240, 0.3)
GREY = np.asarray(Image.fromarray(SCENE).convert("L"))
TO_THE_RIGHT = 6
"""EXIF's orientation."""


def twelve_bits(pixels: NDArray[np.uint8], **options: str) -> bytes:
    return bytes(jpeg8_encode(pixels.astype(np.uint16) << 4 | pixels >> 4, 95, bitspersample=12, **options))  # type: ignore[arg-type]


def with_orientation(content: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = TO_THE_RIGHT
    body = exif.tobytes()
    return content[:2] + struct.pack(">BBH", 0xFF, 0xE1, 2 + len(body)) + body + content[2:]


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_one_of_twelve_bits_is_shown(subsampling: str) -> None:
    made = make(twelve_bits(SCENE, subsampling=subsampling))
    assert (made.source.codec, made.source.width, made.source.height, made.degraded) == ("jpeg", 320, 240, False)
    shown = pixels_of(made.renditions[2]).astype(int)
    assert np.abs(shown - SCENE).mean() < 6  # WebP's coarse chroma takes 4 of them


def test_a_grey_one_is_shown() -> None:
    shown = pixels_of(make(twelve_bits(GREY)).renditions[2]).astype(int)
    assert np.abs(shown - GREY[..., None]).mean() < 3


def test_its_orientation_is_followed() -> None:
    made = make(with_orientation(twelve_bits(SCENE)))
    assert (made.source.width, made.source.height, made.source.rotation) == (320, 240, 90)
    shown = pixels_of(made.renditions[2]).astype(int)
    assert np.abs(shown - np.rot90(SCENE, -1)).mean() < 5


def test_one_of_red_green_and_blue_planes_is_not_read() -> None:
    with pytest.raises(PermanentError) as caught:
        make(twelve_bits(SCENE, colorspace="RGB", outcolorspace="RGB"))
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED
    assert "a JPEG of 12 bits" in caught.value.message


JUNK = bytes(range(256))
JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def with_strange_parts(case: str) -> bytes:
    content = encoded(Image.fromarray(SCENE), "JPEG", quality=95)
    assert content[2:20] == JFIF
    at = content.index(b"\xff\xdb")
    junk = content[:2] + JUNK + content[2:at] + JUNK + content[at:]
    return {
        "bytes between the segments": junk,
        "an empty JFIF segment": b"\xff\xd8\xff\xe0\0\x07JFIF\0" + content[20:],
        "bytes, and an orientation": content[:2] + JUNK + with_orientation(content)[2:],
        "the second marker is spoilt": content[:2] + b"\0\xe0" + content[4:],
        "the second marker is none": content[:2] + b"\xfe\xdc" + content[4:],
    }[case]


@pytest.mark.parametrize(
    "case",
    ["bytes between the segments", "an empty JFIF segment", "the second marker is spoilt", "the second marker is none"],
)
def test_strange_parts_are_stepped_over(case: str) -> None:
    made = make(with_strange_parts(case))
    assert (made.source.codec, made.frame.method, made.degraded) == ("jpeg", "image", False)
    by_libjpeg = jpeg8_decode(with_strange_parts(case)).astype(int)
    assert np.abs(pixels_of(made.renditions[2]) - by_libjpeg).mean() < 6


def test_behind_strange_bytes_the_orientation_is_followed() -> None:
    assert make(with_strange_parts("bytes, and an orientation")).source.rotation == 90


@pytest.mark.parametrize("case", ["strange parts", "twelve bits"])
def test_one_whose_pixels_are_damaged_as_well_is_not_shown_in_wrong_colours(case: str) -> None:
    content = with_strange_parts("the second marker is none") if case == "strange parts" else twelve_bits(SCENE)
    middle = content.index(b"\xff\xda") + 400
    with pytest.raises(PermanentError):
        make(content[:middle] + bytes(range(0, 250, 3)) + content[middle + 84 :])


def test_one_whose_pixels_do_not_come_is_damaged() -> None:
    with pytest.raises(PermanentError) as caught:
        make(b"\xff\xd8" + JUNK * 4)
    assert caught.value.code is ErrorCode.MEDIA_CORRUPT
    assert "picture" in caught.value.message


def test_one_without_any_marker_is_given_up_at_its_end() -> None:
    """It was begun again, twenty thousand times."""
    table = b"\xff\xdb\xff\xff" + bytes(0xFFFD)
    content = b"\xff\xd8\0\x10" + bytes(14) + table + bytes(1000)
    started = time.process_time()
    assert without_strange_parts(content) == content
    assert time.process_time() - started < 1


def test_it_is_read_in_the_cage() -> None:
    async def body(slots: DecodeSlots) -> None:
        assert (await make_caged(slots, BytesSource(twelve_bits(SCENE)))).source.codec == "jpeg"

    with_slots(body)
