"""Bitmaps that few programs write: fax rows, two bits a pixel, run lengths that are cut. The scene that was written is the judge."""

import numpy as np
import pytest

from schemas.errors import ErrorCode
from tests.doubles.corpus_kinds import HEIGHT, WIDTH, photograph
from tests.doubles.corpus_rare import bitmap, bmp_of_runs, fax_bitmap, indexed, indexed_bmp, masked_bmp
from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_pictures import code_of, make

MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0x8000), 32: (0xFF0000, 0xFF00, 0xFF, 0xFF000000)}
"""The usual ones, so that a file may also leave them out."""


def transparent_bmp(bits: int, compression: int, *, is_all: bool = False) -> bytes:
    """The scene with its left half transparent, or all of it."""
    content = bytearray(masked_bmp(bits, MASKS[bits]))
    content[30] = compression
    words = np.frombuffer(content, f"<u{bits // 8}", offset=14 + 56).reshape(HEIGHT, WIDTH)
    words[:, : WIDTH if is_all else WIDTH // 2] &= sum(MASKS[bits][:3])
    return bytes(content)


@pytest.mark.parametrize("low_bit_first", [False, True])
def test_fax_rows_are_shown(low_bit_first: bool) -> None:
    content, picture = fax_bitmap(low_bit_first=low_bit_first)
    made = make(content)
    assert (made.source.codec, made.frame.method, made.degraded) == ("bmp", "image", False)
    shown = pixels_of(made.renditions[2]).astype(int)
    assert np.abs(shown - np.asarray(picture.convert("RGB"))).mean() < 2


def test_two_bits_a_pixel_are_shown() -> None:
    numbers = np.asarray(photograph().convert("L")) >> 6
    first, second, third, fourth = (numbers[::-1, place::4] << (6 - 2 * place) for place in range(4))
    packed = first | second | third | fourth
    greys = b"".join(bytes([grey, grey, grey, 0]) for grey in (0, 85, 170, 255))
    shown = pixels_of(make(bitmap(packed.astype(np.uint8).tobytes(), 2, palette=greys, colours=4)).renditions[2])
    assert np.abs(shown.astype(int) - numbers[..., None] * 85).mean() < 2


@pytest.mark.parametrize("bits", [4, 8])
def test_run_lengths_that_are_cut_show_their_rows_and_nothing_above(bits: int) -> None:
    content = bmp_of_runs(bits)
    made = make(content[: len(content) * 6 // 10])
    assert (made.frame.method, made.degraded, made.degraded_reason) == ("image-damaged", True, "damaged")
    shown = pixels_of(made.renditions[2], "RGBA").astype(int)
    assert shown[: HEIGHT // 4, :, 3].max() == 0, "the rows above are stored last"
    lower = slice(HEIGHT * 3 // 4, HEIGHT)
    numbers, palette = indexed()
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 4)[:, 2::-1]
    assert shown[lower, :, 3].min() == 255
    assert np.abs(shown[lower, :, :3] - colours[numbers][lower]).mean() < 4


@pytest.mark.parametrize(("bits", "compression"), [(16, 0), (16, 3), (32, 0), (32, 3)])
def test_a_mask_for_transparency_is_heeded_with_masks_for_colours_and_without(bits: int, compression: int) -> None:
    """As Chromium does, which alone of the readers has the files of image-rs as their makers mean them."""
    shown = pixels_of(make(transparent_bmp(bits, compression)).renditions[2], "RGBA").astype(int)
    left, right = shown[:, : WIDTH // 2 - 4], shown[:, WIDTH // 2 + 4 :]
    assert left[..., 3].max() == 0
    assert right[..., 3].min() == 255
    scene = np.asarray(photograph())[:, WIDTH // 2 + 4 :].astype(int)
    assert np.abs(right[..., :3] - scene).mean() < 6


def test_transparency_that_leaves_nothing_to_be_seen_is_not_meant() -> None:
    shown = pixels_of(make(transparent_bmp(32, 3, is_all=True)).renditions[2], "RGBA").astype(int)
    assert shown[..., 3].min() == 255
    assert np.abs(shown[..., :3] - np.asarray(photograph())).mean() < 4


def test_of_masked_ones_that_are_cut_the_upper_rows_are_missing() -> None:
    content = masked_bmp(32, (0xFF000000, 0xFF0000, 0xFF00, 0))
    shown = pixels_of(make(content[: len(content) // 2]).renditions[2], "RGBA").astype(int)
    assert shown[: HEIGHT // 3, :, 3].max() == 0
    assert shown[HEIGHT * 2 // 3 :, :, 3].min() == 255
    assert np.abs(shown[HEIGHT * 2 // 3 :, :, :3] - np.asarray(photograph())[HEIGHT * 2 // 3 :]).mean() < 4


def test_a_jump_over_pixels_leaves_them_transparent() -> None:
    numbers, palette = indexed()
    row = b"\0\xc8" + numbers[0, :200].tobytes()
    jumping = b"\0\2\x64\0" + row + b"\0\0"
    content = bitmap(jumping * HEIGHT, 8, 1, palette=palette, colours=512)  # which Pillow refuses
    shown = pixels_of(make(content).renditions[2], "RGBA")
    assert shown[:, :96, 3].max() == 0
    assert shown[:, 104:296, 3].min() == 255


def test_what_makes_no_sense_is_damage() -> None:
    for spoilt in (
        bitmap(b"", 8, 1),
        bitmap(bytes(9), 7),
        indexed_bmp(8, info_bytes=16)[:40],
        bitmap(bytes(WIDTH), 24, 4, info_bytes=64),
    ):
        assert code_of(spoilt) is ErrorCode.MEDIA_CORRUPT
