"""JPEG 2000 whose colours have fewer values than its brightness, as FFmpeg writes it. The bars that were written are the judge."""

from fractions import Fraction
from typing import Literal

import av
import numpy as np
import pytest

from processors.source_file import BytesInMemory
from processors.thumbnails import create_thumbnails
from processors.types import RenditionSpec, ThumbnailSpec
from tests.doubles.sources import colour_at, is_near, pixels_of

BARS = [(220, 30, 30), (30, 160, 40), (20, 20, 200), (230, 200, 40)]


def jpeg_2000(width: int, pixel_format: Literal["yuv422p", "yuv444p"]) -> bytes:
    bars = np.repeat(np.asarray(BARS, np.uint8), -(-width // len(BARS)), axis=0)[:width]
    codec = av.CodecContext.create("jpeg2000", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = width, 576, pixel_format, Fraction(1, 25)
    codec.options = {"format": "jp2", "pred": "dwt53"}
    frame = av.VideoFrame.from_ndarray(np.tile(bars, (576, 1, 1)), format="rgb24").reformat(format=pixel_format)
    return b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p"])
@pytest.mark.parametrize("width", [640, 764, 765, 766])
@pytest.mark.parametrize("side", [120, 256, 640])
def test_its_colours_stand_where_they_were(width: int, pixel_format: Literal["yuv422p", "yuv444p"], side: int) -> None:
    """The smaller resolutions of some widths have rows of a length that Pillow does not expect, and odd widths all of them."""
    spec = ThumbnailSpec(renditions=(RenditionSpec("only", side, side),))
    shown = pixels_of(create_thumbnails(BytesInMemory(jpeg_2000(width, pixel_format)), spec, kind=None).renditions[0])
    for number, colour in enumerate(BARS):
        for share in (0.1, 0.5, 0.9):
            assert is_near(colour_at(shown, (number + 0.5) / len(BARS), share), colour, 24)
