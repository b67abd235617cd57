"""Large interlaced PNGs: the seven passes one after the other, band by band, each pixel added to the block that it belongs to.

Source: Portable Network Graphics, 8.2 (Adam7).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from processors.limits import BAND_BYTES
from processors.readers import DamagedMediaError, reading
from processors.still.bands import BandPlan, as_opened
from processors.still.decode import plain_mode
from processors.still.png_bands import DAMAGED, Pieces, PngRows

_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and the steps to the next ones."""
BLOCK_BYTES: Final = 24
"""Of a block: its sums, how many pixels it has, and what becomes of it."""


class PngPasses:
    """The still picture of an interlaced PNG, averaged by the blocks of a plan."""

    def __init__(self, rows: PngRows, opened: Image.Image, plan: BandPlan) -> None:
        self._rows: Final = rows
        self._opened: Final = opened
        self._plan: Final = plan
        self._sums: NDArray[np.uint32] | None = None
        self._counts: Final = np.zeros((plan.smaller[1], plan.smaller[0]), np.uint32)

    def averaged(self) -> Image.Image:
        """Return the picture, as large as the plan's. Raises DamagedMediaError.

        Where Pillow is told to go on behind damage, the passes that came are enough, if they show something of each block.
        """
        unpacked = self._rows.unpacked()
        try:
            for columns in _PASSES:
                self._add_pass(columns, unpacked)
        except DamagedMediaError:
            if not ImageFile.LOAD_TRUNCATED_IMAGES:
                raise
        if self._sums is None or not self._counts.all():
            raise DamagedMediaError("Of the picture nothing can be decoded.")
        means = self._sums / self._counts[..., None]
        if means.shape[2] == 4:
            means[..., :3] *= 255 / np.maximum(means[..., 3:], 1e-3)
        codes = np.rint(np.clip(means, 0, 255)).astype(np.uint8)
        return Image.fromarray(codes if codes.shape[2] > 1 else codes[..., 0])

    def _add_pass(self, steps: tuple[int, int, int, int], unpacked: Pieces) -> None:
        left, top, across, down = steps
        width, height = -(-(self._plan.width - left) // across), -(-(self._plan.height - top) // down)
        if width < 1 or height < 1:
            return
        row_bytes = self._rows.bytes_of(width)
        above = bytes(row_bytes)
        x_blocks = (left + across * np.arange(width)) // self._plan.factor
        at_once = max(1, BAND_BYTES // max(row_bytes, 4 * width))
        for first in range(0, height, at_once):
            rows = min(at_once, height - first)
            filtered = unpacked.take(rows * (1 + row_bytes))
            if len(filtered) < rows * (1 + row_bytes):
                raise DamagedMediaError(DAMAGED)
            values = self._rows.unfiltered(filtered, rows, above)
            above = values[-row_bytes:]
            y_blocks = (top + down * np.arange(first, first + rows)) // self._plan.factor
            self._add(self._pixels(values, (width, rows)), x_blocks, y_blocks)

    def _pixels(self, values: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return rows x columns x 1, 3 or 4; with transparency, multiplied with it."""
        raw_mode = self._opened.tile[0].args  # type: ignore[attr-defined]  # of the class that PNGs are opened as
        with reading("picture"):
            band = Image.frombuffer(self._opened.mode, size, values, "raw", raw_mode, 0, 1)
            as_opened(band, self._opened)
            plain = plain_mode(band)
            pixels = np.asarray(plain.convert("RGBa") if plain.mode == "RGBA" else plain)
        return pixels.reshape(size[1], size[0], -1)

    def _add(self, pixels: NDArray[np.uint8], x_blocks: NDArray[np.int64], y_blocks: NDArray[np.int64]) -> None:
        x_found, x_starts, x_counts = np.unique(x_blocks, return_index=True, return_counts=True)
        y_found, y_starts, y_counts = np.unique(y_blocks, return_index=True, return_counts=True)
        by_row = np.add.reduceat(pixels, y_starts, axis=0, dtype=np.uint32)
        sums = np.add.reduceat(by_row, x_starts, axis=1)
        if self._sums is None:
            self._sums = np.zeros((*self._counts.shape, pixels.shape[2]), np.uint32)
        self._sums[np.ix_(y_found, x_found)] += sums
        self._counts[np.ix_(y_found, x_found)] += np.outer(y_counts, x_counts).astype(np.uint32)
