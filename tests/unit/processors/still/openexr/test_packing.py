"""The chunks of OpenEXR files, against what OpenEXR itself has packed."""

import numpy as np
import pytest

from processors.readers import DamagedMediaError
from processors.still.openexr import header as exr
from processors.still.openexr.packing import Block, unpack, unpack_bytes
from tests.doubles.corpus_openexr import HEIGHT, WIDTH, by_openexr, scene

SQUARES_OF_B44 = 0.03
"""Its error, of numbers up to 1."""


def unpacked(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    part = exr.read_first_part(content)
    assert part is not None
    found = []
    for number, at in enumerate(part.chunks):
        cursor = exr.Cursor(content, at)
        first, size = cursor.numbers("iI")
        assert first == number * part.rows
        block = Block(part.channels, (WIDTH,) * 3, range(first, min(first + part.rows, HEIGHT)))
        found.append(unpack(cursor.take(size), block, part.compression))
    assert [channel.name for channel in part.channels] == [b"B", b"G", b"R"]
    return np.stack([np.concatenate([planes[number] for planes in found]) for number in (2, 1, 0)], axis=2)


@pytest.mark.parametrize("name", ["RLE", "ZIPS", "ZIP", "PIZ"])
def test_every_number_is_as_it_was_packed(name: str) -> None:
    assert np.array_equal(unpacked(by_openexr(name)), scene())


@pytest.mark.parametrize("name", ["B44", "B44A"])
def test_squares_lose_as_little_as_they_may_in_linear_channels_too(name: str) -> None:
    assert np.abs(unpacked(by_openexr(name)).astype(float) - scene()).max() < SQUARES_OF_B44


@pytest.mark.parametrize("name", ["RLE", "ZIPS", "ZIP", "PIZ", "B44", "B44A"])
def test_a_damaged_chunk_is_said_to_be_damaged(name: str) -> None:
    content = by_openexr(name)
    part = exr.read_first_part(content)
    assert part is not None
    cursor = exr.Cursor(content, part.chunks[0])
    packed = cursor.take(cursor.numbers("iI")[1])
    block = Block(part.channels, (WIDTH,) * 3, range(part.rows))
    for length in range(0, len(packed) - 1, 13):
        with pytest.raises(DamagedMediaError):
            unpack(packed[:length], block, part.compression)


def test_run_lengths_and_a_bomb_of_zip_give_no_more_than_is_asked_for() -> None:
    with pytest.raises(DamagedMediaError):
        unpack_bytes(b"\x7f\0" * 4, 100, exr.RLE)
