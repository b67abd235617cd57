"""Dolby Vision of profile 5: its pictures are no YCbCr, and look purple and green where they are taken for it.

They are IPT-PQ-C2 (SMPTE ST 2128; 15 of H.273's matrices): two fixed matrices and the curve of PQ lead to light. Every
picture also brings curves that bend its codes a little; these are not followed.
"""

import re
from typing import Final, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from processors.colour.linear_light import BT2020, Codes, Matrix, to_bt709
from processors.colour.tone_map import pq_light, tone_map_light
from processors.readers import reading
from processors.source_file import SourceFile
from processors.video.sample_entry import entry_boxes, is_mp4

_PROFILE: Final = 5
_HEAD_BYTES: Final = 256 * 1024
_CONFIGURATION: Final = re.compile(
    # Matroska's mapping of additions: its type, its content, which begins with version 1.0
    rb"\x41\xe7\x84dvcC.{0,64}?\x41\xed.\x01\0(.)"
    # Transport streams' descriptors: registration, Dolby Vision
    rb"|\x05\x04DOVI.{0,64}?\xb0.\x01\0(.)",
    re.DOTALL,
)

_TO_LMS: Final = np.array([[8192, 799, 1681], [8192, -933, 1091], [8192, 267, -5545]], np.float32) / 8192
_MIDDLE: Final = np.array([0.0, 0.5, 0.5], np.float32)
_WITHOUT_CROSSTALK: Final = (np.array([[17081, -349, -349], [-349, 17081, -349], [-349, -349, 17081]]) / 16384).astype(
    np.float32
)
_TO_BT2020: Final = np.array(
    [
        [3.06441879, -2.16597676, 0.10155818],
        [-0.65612108, 1.78554118, -0.12943749],
        [0.01736321, -0.04725154, 1.03004253],
    ],
    np.float32,
)
"""Hunt, Pointer and Estevez's, of BT.2020's primaries."""
_TO_BT709: Final[Matrix] = (to_bt709(BT2020) @ _TO_BT2020 @ _WITHOUT_CROSSTALK).astype(np.float32)


def is_ipt(file: SourceFile, film: int) -> bool:
    """Return whether a film is of profile 5, by its configuration: of an MP4 the film with this index, of the others the first one."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if not is_mp4(head[:8]):
        said = _CONFIGURATION.search(head)
        return said is not None and (said[1] or said[2])[0] >> 1 == _PROFILE
    found = next((box for box in entry_boxes(file, film) if box.kind == b"dvcC"), None)
    content = b"" if found is None else found.read(file, 3)
    return len(content) == 3 and content[2] >> 1 == _PROFILE


def ipt_picture(frame: VideoFrame, width: int, height: int) -> Codes:
    """Return the frame as sRGB, scaled."""
    lms = np.clip((_ipt_codes(frame, width, height).astype(np.float32) / 65535 - _MIDDLE) @ _TO_LMS.T, 0, 1)
    return tone_map_light(pq_light(np.rint(lms * 65535).astype(np.uint16)), _TO_BT709)


@reading("video")
def _ipt_codes(frame: VideoFrame, width: int, height: int) -> NDArray[np.uint16]:
    """Return the three planes as they are coded, in 16 bits; their range is always the full one."""
    # The same marks on both sides, so that swscale converts nothing. It refuses matrices that it does not know.
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.JPEG
    codes = frame.reformat(
        width,
        height,
        "yuv444p16le",
        Colorspace.ITU709,
        Colorspace.ITU709,
        Interpolation.BICUBIC,
        ColorRange.JPEG,
        ColorRange.JPEG,
        threads=1,
    )
    return cast(NDArray[np.uint16], codes.to_ndarray())
