"""Opaque pictures as WebP has them inside: luma, and colours at half the size. Scaled and encoded so, and never made RGB.

Scaling such planes takes a fifth of what Pillow takes for RGB, at the same quality; the encoder would make them anyway.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, Self

import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.uint8]
"""Height x width: a view of a frame's memory, which writes through."""

_LIMITED: Final = ColorRange.MPEG
_EXACT: Final = Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
"""Colours of every pixel, and not of every other one; rounded, and not cut."""
_LANCZOS: Final = Interpolation.LANCZOS | _EXACT
_TO_BT601: Final = ((1.0, 0.0993, 0.1917), (0.0, 0.9899, -0.1107), (0.0, -0.0725, 0.9834))
"""From BT.709's luma and colours, both in limited range, with the colours counted from 128."""
_MIDDLE: Final = 128


class YuvPicture:
    """An upright opaque sRGB picture in planes of YUV 4:2:0, BT.601, limited range: what WebP's lossy kind stores.

    `draw_rgb` gives the same picture in mode RGB, as exact as it can be; without it, the planes are converted.
    """

    mode: Final = "RGB"

    def __init__(self, frame: VideoFrame, draw_rgb: Callable[[], Image.Image] | None = None) -> None:
        self._frame: Final = frame
        self._draw_rgb: Final = draw_rgb

    @classmethod
    def from_rgb(
        cls, image: Image.Image, size: tuple[int, int], draw_rgb: Callable[[], Image.Image] | None = None
    ) -> Self:
        """Return a picture of mode RGB, scaled to `size`."""
        frame = VideoFrame.from_ndarray(np.asarray(image), "rgb24")
        return cls(_reformat(frame, size, "yuv420p", _LANCZOS), draw_rgb)

    @classmethod
    def from_frame(cls, frame: VideoFrame, size: tuple[int, int]) -> Self:
        """Return a frame of any depth of YUV, whose matrix is BT.709's or BT.601's by its mark, scaled to `size`."""
        is_bt709 = frame.colorspace == Colorspace.ITU709
        matrix = Colorspace.ITU709 if is_bt709 else Colorspace.ITU601
        scaled = _reformat(frame, size, "yuv420p", Interpolation.BICUBIC, matrix)
        return cls(_as_bt601(scaled) if is_bt709 else scaled)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self._frame.width, self._frame.height

    @property
    def width(self) -> int:
        """In pixels."""
        return self._frame.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self._frame.height

    @property
    def luma(self) -> Plane:
        """The brightness alone, from 16 to 235."""
        return _plane(self._frame, 0)

    def scaled(self, size: tuple[int, int]) -> "YuvPicture":
        """Return it as large as `size`."""
        return self if size == self.size else YuvPicture(_reformat(self._frame, size, "yuv420p", _LANCZOS))

    def turned(self, turn: Image.Transpose) -> "YuvPicture":
        """Return it turned. Odd sides move its colours by half a pixel."""
        turned = [Image.fromarray(_plane(self._frame, number)).transpose(turn) for number in range(3)]
        draw_rgb = self._draw_rgb
        return YuvPicture(
            _from_planes(turned[0].size, [np.asarray(plane) for plane in turned]),
            None if draw_rgb is None else lambda: draw_rgb().transpose(turn),
        )

    def rgb(self, size: tuple[int, int] | None = None) -> Image.Image:
        """Return what the planes show, in mode RGB; as large as `size` where that is given."""
        converted = _reformat(self._frame, size or self.size, "rgb24", Interpolation.BILINEAR | _EXACT)
        return Image.fromarray(converted.to_ndarray())

    def exact_rgb(self) -> Image.Image:
        """Return the picture in mode RGB, with the colours that the planes have no room for."""
        return self.rgb() if self._draw_rgb is None else self._draw_rgb()

    def webp(self, quality: int, method: int) -> bytes:
        """Return it as a WebP file."""
        encoder = VideoCodecContext.create("libwebp", "w")
        encoder.width, encoder.height, encoder.pix_fmt = self._frame.width, self._frame.height, "yuv420p"
        encoder.thread_count = 1  # threads would not be caged
        encoder.time_base = Fraction(1)
        encoder.options = {"quality": str(quality), "compression_level": str(method)}
        packets = encoder.encode(self._frame) or encoder.encode(None)
        return bytes(packets[0])


def as_image(picture: Image.Image | YuvPicture) -> Image.Image:
    """Return the picture as an image of mode RGB or RGBA."""
    return picture.exact_rgb() if isinstance(picture, YuvPicture) else picture


def turned(picture: Image.Image | YuvPicture, turn: Image.Transpose) -> Image.Image | YuvPicture:
    """Return the picture turned."""
    return picture.turned(turn) if isinstance(picture, YuvPicture) else picture.transpose(turn)


def _reformat(
    frame: VideoFrame,
    size: tuple[int, int],
    pixels: str,
    interpolation: Interpolation,
    matrix: Colorspace = Colorspace.ITU601,
) -> VideoFrame:
    """Return the frame in another size and format, its colours by the same matrix."""
    is_rgb = pixels == "rgb24"
    return frame.reformat(
        *size,
        pixels,
        dst_colorspace=None if is_rgb else matrix,
        dst_color_range=None if is_rgb else _LIMITED,
        interpolation=interpolation,
        threads=1,
    )


def _as_bt601(frame: VideoFrame) -> VideoFrame:
    """Return a frame of BT.709 by the other matrix, at the size that it has: swscale would take the way over RGB for it."""
    luma, blue, red = (_plane(frame, number) for number in range(3))
    (_, by_blue, by_red), (_, *of_blue), (_, *of_red) = _TO_BT601
    difference = cv2.addWeighted(blue, by_blue, red, by_red, -_MIDDLE * (by_blue + by_red), dtype=cv2.CV_16S)
    height, width = luma.shape
    full = cv2.resize(difference, (2 * blue.shape[1], 2 * blue.shape[0]), interpolation=cv2.INTER_LINEAR)
    planes = (
        cv2.add(luma, np.ascontiguousarray(full[:height, :width]), dtype=cv2.CV_8U),
        cv2.addWeighted(blue, of_blue[0], red, of_blue[1], _MIDDLE * (1 - sum(of_blue))),
        cv2.addWeighted(blue, of_red[0], red, of_red[1], _MIDDLE * (1 - sum(of_red))),
    )
    return _from_planes((width, height), planes)


def _from_planes(size: tuple[int, int], planes: Any) -> VideoFrame:
    frame = VideoFrame(*size, "yuv420p")
    for number, pixels in enumerate(planes):
        _plane(frame, number)[:] = pixels
    frame.colorspace, frame.color_range = Colorspace.ITU601, _LIMITED
    return frame


def _plane(frame: VideoFrame, number: int) -> Plane:
    plane: Any = frame.planes[number]  # PyAV's types do not say that it is a buffer
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
