"""Large pictures, a band of rows at a time: each band is averaged down before the next one is decoded."""

from collections.abc import Iterator
from typing import Final

from PIL import Image

from processors.limits import BAND_BYTES
from processors.readers import DamagedMediaError
from processors.still.decode import plain_mode

_COPIES: Final = 8
"""Of a band: unpacked, as rows, as a picture, with its transparency multiplied, and one more of each to come."""
_MODE_BYTES: Final = 4
"""Of a pixel in any mode that is scaled."""
_BANDS_IN_LIMIT: Final = 8
"""A band has so many bytes at the most that as many times its number would be the limit in pixels."""
_SPARE: Final = 2
"""Times the target that is left for the better filter of the last step."""

Bands = Iterator[Image.Image]
"""From the top down; each but the last has the rows that it was asked for."""


class BandPlan:
    """How a picture of `size` is read: bands of `rows` rows, of which blocks of `factor` x `factor` pixels become one.

    `row_bytes`: of one row as it is unpacked; `rows_at_once`: the fewest that can be. `held_bytes`: in memory at one time, at the most.
    """

    def __init__(
        self, size: tuple[int, int], max_pixels: int, target: tuple[int, int], row_bytes: int, rows_at_once: int = 1
    ) -> None:
        self.width, self.height = size
        self.factor: Final = max(1, int(min(self.width / target[0], self.height / target[1]) / _SPARE))
        widest = max(row_bytes, _MODE_BYTES * self.width)
        most_rows = min(BAND_BYTES, max_pixels // _BANDS_IN_LIMIT) // widest
        self.rows: Final = rows_at_once * max(1, most_rows // rows_at_once)
        self.smaller: Final = (-(-self.width // self.factor), -(-self.height // self.factor))
        band_bytes = min(self.rows + self.factor, self.height) * widest
        self.held_bytes: Final = _COPIES * band_bytes + 2 * _MODE_BYTES * self.smaller[0] * self.smaller[1]

    def row_counts(self) -> Iterator[tuple[int, int]]:
        """Yield each band's first row and its number of rows."""
        for top in range(0, self.height, self.rows):
            yield top, min(self.rows, self.height - top)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The part of the smaller picture that the picture covers: blocks at the right and at the bottom may be cut."""
        return 0, 0, self.width / self.factor, self.height / self.factor


def averaged(bands: Bands, plan: BandPlan, *, is_tolerant: bool = False) -> tuple[Image.Image, float]:
    """Return the smaller picture, and the share of its rows that is there: 1 unless `is_tolerant`, which stops at damage.

    Raises DamagedMediaError, and what the bands raise.
    """
    canvas: Image.Image | None = None
    left, done = _Rest(plan.factor), 0
    try:
        for band in bands:
            for small in left.add(plain_mode(band)):
                canvas = canvas or Image.new(small.mode, plan.smaller)
                canvas.paste(small, (0, done))
                done += small.height
    except DamagedMediaError:
        if not is_tolerant:
            raise
    for small in left.end():
        canvas = canvas or Image.new(small.mode, plan.smaller)
        canvas.paste(small, (0, done))
        done += small.height
    if canvas is None:
        raise DamagedMediaError("Of the picture nothing can be decoded.")
    return canvas, min(1.0, done / plan.smaller[1])


def as_opened(band: Image.Image, opened: Image.Image) -> None:
    """Have the numbers of a band mean what those of the file mean: by its palette, and its transparent colours."""
    band.palette = None if opened.palette is None else opened.palette.copy()  # a picture marks its own as taken
    band.info = opened.info


class _Rest:
    """Averages bands of any number of rows: rows that fill no block wait for the next band."""

    def __init__(self, factor: int) -> None:
        self._factor: Final = factor
        self._rest: Image.Image | None = None

    def add(self, band: Image.Image) -> Iterator[Image.Image]:
        """Yield the blocks that are whole now."""
        if self._rest is not None:
            joined = Image.new(band.mode, (band.width, self._rest.height + band.height))
            joined.paste(self._rest)
            joined.paste(band, (0, self._rest.height))
            band = joined
        whole = band.height // self._factor * self._factor
        self._rest = band.crop((0, whole, band.width, band.height)) if whole < band.height else None
        if whole:
            yield band.reduce(self._factor, (0, 0, band.width, whole))  # Pillow multiplies by the transparency for it

    def end(self) -> Iterator[Image.Image]:
        """Yield the last blocks, of fewer rows."""
        if self._rest is not None:
            yield self._rest.reduce(self._factor)
