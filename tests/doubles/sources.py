"""Sources in memory, and readers of pictures."""

import io
import os
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.types import Rendition


class BytesSource:
    """A source that counts what is read of it, and does what `on_read` says before each read."""

    def __init__(self, content: bytes, on_read: Callable[[], None] | None = None) -> None:
        self._content = content
        self._on_read = on_read
        self.size = len(content)
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        if self._on_read is not None:
            self._on_read()
        return self._content[offset : offset + length]


def pixels_of(rendition: Rendition, mode: str = "RGB") -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(rendition.content)) as picture:
        return np.asarray(picture.convert(mode))


def colour_at(pixels: NDArray[np.uint8], x_share: float, y_share: float) -> tuple[int, ...]:
    """The mean colour of a small patch around a place, given as shares of width and height."""
    height, width = pixels.shape[:2]
    x, y = int(x_share * (width - 1)), int(y_share * (height - 1))
    patch = pixels[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
    return tuple(int(value) for value in patch.reshape(-1, pixels.shape[2]).mean(axis=0))


def is_near(colour: tuple[int, ...], wanted: tuple[int, ...], tolerance: int = 30) -> bool:
    return all(abs(one - other) <= tolerance for one, other in zip(colour, wanted, strict=True))


def wait_until(what: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - a line of /proc
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the number
