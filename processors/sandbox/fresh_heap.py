"""Memory that a forked child takes in large fresh pages, instead of copying its parent's used ones page by page."""

import ctypes
import sys
from typing import Final

_HOLE_BYTES: Final = (1 << 20, 1 << 18, 1 << 16, 1 << 14)
"""Sizes that holes are filled with, largest first; what remains is too small for a picture."""
_KEPT_TOP_BYTES: Final = 1 << 16
_MAX_FILLED_BYTES: Final = 64 * 1024**2


class _MallInfo2(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")),
        *((name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")),
    )


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
