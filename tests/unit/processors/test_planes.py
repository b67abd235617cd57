"""Pictures in planes show the same colours and the same edges as in RGB: judged by Pillow's decoder and Pillow's scaler."""

import io
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from processors.output.render import encode, render
from processors.planes import YuvPicture
from processors.sandbox.encoded import check_picture
from processors.types import PictureFormat, RenditionSpec, ThumbnailSpec
from processors.video.pixels import FrameShape, upright_picture

PATCHES = ((200, 30, 30), (30, 180, 40), (40, 60, 210), (250, 250, 250), (5, 5, 5), (128, 128, 128), (230, 200, 20))
SIDE = 32
BT709, BT601 = 1, 5


def patches() -> Image.Image:
    """A row of flat colours, and another one below it in the opposite order: no turn of it is like another."""
    image = Image.new("RGB", (SIDE * len(PATCHES), SIDE * 2))
    for number, colour in enumerate(PATCHES):
        image.paste(colour, (SIDE * number, 0, SIDE * (number + 1), SIDE))
        image.paste(colour, (image.width - SIDE * (number + 1), SIDE, image.width - SIDE * number, SIDE * 2))
    return image


def decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def assert_patches(shown: Image.Image, wanted: Image.Image, most: int) -> None:
    """In the middle of each patch, where no colour of a neighbour comes to."""
    assert shown.size == wanted.size
    step = SIDE * shown.width // max(wanted.size) if shown.width == max(shown.size) else SIDE
    difference = np.abs(np.asarray(shown, np.int16) - np.asarray(wanted, np.int16))
    assert difference[step // 2 :: step, step // 2 :: step].max() <= most


def yuv_frame(matrix: int, pixels: str) -> VideoFrame:
    frame = VideoFrame.from_ndarray(np.asarray(patches()), "rgb24").reformat(
        format=pixels, dst_colorspace=matrix, dst_color_range=1, interpolation="LANCZOS", threads=1
    )
    frame.colorspace, frame.color_range = matrix, 1
    return frame


@pytest.mark.parametrize("turn", [None, *Image.Transpose])
def test_every_turn_keeps_the_colours_in_their_places(turn: Image.Transpose | None) -> None:
    picture, wanted = YuvPicture.from_rgb(patches(), patches().size), patches()
    if turn is not None:
        picture, wanted = picture.turned(turn), wanted.transpose(turn)
    assert_patches(decoded(picture.webp(95, 2)), wanted, 6)
    assert_patches(picture.rgb(), wanted, 3)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv422p10le"])
@pytest.mark.parametrize("matrix", [BT709, BT601])
def test_a_frame_has_its_colours_by_either_matrix(matrix: int, pixels: str) -> None:
    made, turn = upright_picture(
        yuv_frame(matrix, pixels), FrameShape("h264", None, None), (RenditionSpec("all", 640, 480),), in_planes=True
    )
    assert isinstance(made, YuvPicture)
    assert turn is None
    assert_patches(decoded(made.webp(95, 2)), patches(), 6)


def test_a_full_range_frame_is_as_bright_as_it_is_meant() -> None:
    frame = yuv_frame(BT709, "yuv420p").reformat(format="yuvj420p", threads=1)
    frame.colorspace, frame.color_range = BT709, 2
    picture = YuvPicture.from_frame(frame, patches().size)
    assert_patches(decoded(picture.webp(95, 2)), patches(), 6)


def test_what_planes_cannot_hold_stays_in_rgb() -> None:
    shape, sizes = FrameShape("h264", None, None), (RenditionSpec("all", 640, 480),)
    wide = yuv_frame(BT709, "yuv420p")
    wide.color_primaries = 9  # BT.2020
    for frame in (wide, VideoFrame.from_ndarray(np.asarray(patches().convert("RGBA")), "rgba")):
        assert isinstance(upright_picture(frame, shape, sizes, in_planes=True)[0], Image.Image)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (41, 1), (33, 17), (320, 240)])
def test_any_size_is_a_plain_webp_file(size: tuple[int, int]) -> None:
    content = YuvPicture.from_rgb(patches(), size).webp(80, 2)
    check_picture(content, PictureFormat.WEBP, *size)
    assert decoded(content).size == size


def test_scaling_is_as_sharp_as_pillows() -> None:
    grid = np.indices((480, 640)).sum(axis=0) % 16 * 16
    image = Image.fromarray(np.dstack([grid, grid, grid]).astype(np.uint8))
    scaled = np.asarray(YuvPicture.from_rgb(image, image.size).scaled((400, 300)).rgb(), float)
    wanted = np.asarray(image.resize((400, 300), Image.Resampling.LANCZOS), float)
    assert np.abs(scaled - wanted).mean() < 3
    assert scaled.std() > 0.98 * wanted.std()


@pytest.mark.parametrize("mode", ["fit", "fill"])
def test_each_rendition_shows_what_pillow_would_show(mode: Any) -> None:
    sizes = (RenditionSpec("medium", 112, 32, mode), RenditionSpec("small", 40, 40, mode))
    made = render(YuvPicture.from_rgb(patches(), patches().size), ThumbnailSpec(renditions=sizes), "video")
    by_pillow = render(patches(), ThumbnailSpec(renditions=sizes, format=PictureFormat.JPEG, quality=95), "video")
    for planes, rgb in zip(made.renditions, by_pillow.renditions, strict=True):
        assert (planes.width, planes.height) == (rgb.width, rgb.height)
        difference = np.asarray(decoded(planes.content), float) - np.asarray(decoded(rgb.content), float)
        assert np.abs(difference).mean() < 8
    assert max(made.main.size) <= 100
    picture = YuvPicture.from_rgb(patches(), (64, 48))
    assert encode(picture, PictureFormat.JPEG, 80).startswith(b"\xff\xd8")
