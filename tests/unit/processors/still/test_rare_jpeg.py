"""JPEGs of twelve bits: the pixels that libjpeg-turbo's encoder was given, upright; what FFmpeg would mix up is not read."""

import struct

import numpy as np
import pytest
from imagecodecs import jpeg8_encode
from numpy.typing import NDArray
from PIL import Image

from processors.sandbox.pool import DecodeSlots
from schemas.errors import ErrorCode, PermanentError
from service.demo.media import scene
from tests.doubles.sources import BytesSource, pixels_of
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import make

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


def test_it_is_read_in_the_cage() -> None:
    async def body(slots: DecodeSlots) -> None:
        assert (await make_caged(slots, BytesSource(twelve_bits(SCENE)))).source.codec == "jpeg"

    with_slots(body)
