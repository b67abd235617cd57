"""The work of a slot before its first job: each of its children then starts warm, and with a fresh heap."""

import ctypes
import io
import sys
from fractions import Fraction
from typing import Final

_HOLE_BYTES: Final = tuple(1 << bits for bits in (20, 18, 16, 14, 12, 10))
"""Sizes that holes are filled with, largest first; what remains is too small to be worth it."""
_KEPT_TOP_BYTES: Final = 1 << 16
_MAX_FILLED_BYTES: Final = 64 * 1024**2


class _MallInfo2(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")),
        *((name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")),
    )


def load_decoders() -> None:
    """Import the decoders: a child, which is locked, cannot."""
    import cv2
    import numpy.ma  # noqa: F401 - NumPy does so at the first percentile
    from PIL import Image

    import processors.thumbnails  # noqa: F401

    cv2.setNumThreads(1)
    Image.init()  # loads the plugins


def use_decoders() -> None:
    """Decode a little of each kind: the decoders' tables then exist in every child from its start."""
    import av
    import numpy as np
    from PIL import Image

    from processors.source_file import BytesInMemory
    from processors.thumbnails import create_thumbnails
    from processors.types import ThumbnailSpec

    pixels = np.tile(np.arange(128, dtype=np.uint8)[None, :, None], (96, 1, 3))
    for picture_format in ("JPEG", "PNG", "WEBP"):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, picture_format)
        create_thumbnails(BytesInMemory(out.getvalue()), ThumbnailSpec())
    clip = io.BytesIO()
    with av.open(clip, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(5), options={"preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    create_thumbnails(BytesInMemory(clip.getvalue()), ThumbnailSpec())


def fill_holes() -> None:
    """Take all the memory that malloc has freed and kept, and never touch it again.

    A child that decodes into such holes first copies what lies there, 4 KiB a fault; that is 1,500 faults and 5 ms of a
    video's thumbnail. With the holes taken its heap grows, by 2 MiB a fault where the kernel has such pages. Does
    nothing where the C library is not glibc 2.33 or later.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallinfo2"):
        return
    libc.mallinfo2.restype = _MallInfo2
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    filled = 0
    for size in _HOLE_BYTES:
        found = libc.mallinfo2()
        while found.fordblks - found.keepcost >= size and filled < _MAX_FILLED_BYTES:
            libc.malloc(size)
            filled += size
            top_before, found = found.keepcost, libc.mallinfo2()
            if found.keepcost != top_before:
                break  # it came from the heap's end: no hole is this large any more
    if (top := libc.mallinfo2().keepcost) > 2 * _KEPT_TOP_BYTES:
        libc.malloc(top - _KEPT_TOP_BYTES)
