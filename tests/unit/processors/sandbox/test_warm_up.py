"""Holes in the heap are taken, so that a forked child's pictures lie in fresh memory."""

import subprocess
import sys

import pytest

from processors.sandbox.process import _ENVIRONMENT

_HOLES = """
import ctypes, sys
from processors.sandbox.warm_up import _MallInfo2, fill_holes

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = _MallInfo2
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
blocks = [libc.malloc(100_000) for _ in range(200)]
for block in blocks[::2]:  # a block in use on each side: none of these holes is the heap's end
    libc.free(block)
before = libc.mallinfo2()
fill_holes()
after = libc.mallinfo2()
print(before.fordblks - before.keepcost, after.fordblks - after.keepcost)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc's heap is filled")
def test_the_holes_that_a_warm_up_has_left_are_taken() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HOLES], env=_ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60
    )
    free_before, free_after = map(int, done.stdout.split())
    assert free_before > 100 * 99_000
    assert free_after < free_before / 4


def test_decoding_loads_nothing_that_a_locked_child_would_lack() -> None:
    program = """
import sys
from processors.sandbox.warm_up import load_decoders, use_decoders
load_decoders()
before = set(sys.modules)
use_decoders()
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
