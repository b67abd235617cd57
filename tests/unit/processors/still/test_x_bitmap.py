"""X bitmaps: a set bit is black, as in FFmpeg and ImageMagick, in the bytes of version 11 and in the words of version 10."""

from typing import Any

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from schemas.errors import ErrorCode, PermanentError
from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_pictures import make

WIDTH, HEIGHT = 20, 4
WORDS = (0x0F01, 0x0008, 0xF0FF, 0x0004, 0xAAAA, 0x0005, 0x1234, 0x000C)


def document(kind: str, numbers: str) -> bytes:
    return (
        f"/* made by hand */\n#define cross_width {WIDTH}\n#define cross_height {HEIGHT}\n"
        f"static {kind} cross_bits[] = {{\n {numbers}}};\n"
    ).encode()


def of_words(kind: str = "short") -> bytes:
    return document(kind, ", ".join(f"0x{word:04x}" for word in WORDS))


def of_bytes(kind: str = "char") -> bytes:
    """The same picture: the fourth byte of each row holds none of its twenty pixels."""
    rows = [WORDS[at : at + 2] for at in range(0, len(WORDS), 2)]
    return document(kind, ", ".join(f"0x{low & 255:02x},0x{low >> 8:02x},0x{high & 255:02x}" for low, high in rows))


def by_ffmpeg(content: bytes) -> NDArray[Any]:
    context = VideoCodecContext.create("xbm", "r")
    frames: list[VideoFrame] = context.decode(av.Packet(content)) or context.decode(None)
    return frames[0].reformat(format="gray").to_ndarray()


@pytest.mark.parametrize(
    "content",
    [of_bytes(), of_bytes("unsigned char"), of_words(), of_words("unsigned short")],
    ids=["bytes", "unsigned bytes", "words", "unsigned words"],
)
def test_a_set_bit_is_black(content: bytes) -> None:
    made = make(content)
    assert (made.source.codec, made.source.width, made.source.height, made.degraded) == ("xbm", WIDTH, HEIGHT, False)
    np.testing.assert_array_equal(pixels_of(made.renditions[2])[..., 0], by_ffmpeg(of_bytes()))


def test_one_whose_text_is_too_long_is_not_read() -> None:
    with pytest.raises(PermanentError) as caught:
        make(document("char", "0x00," * (16 * 1024**2 // 5)))
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED
    assert "X bitmap" in caught.value.message
