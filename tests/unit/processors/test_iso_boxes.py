"""Boxes of ISO files are hostile: sizes lie, parents hide their children, and some files hold nothing else."""

import random
import struct

import pytest

from processors.iso_boxes import MAX_BOXES, Box, walk_boxes
from processors.source_file import SourceFile
from processors.still.claims import check_claims
from processors.types import ThumbnailSpec
from processors.video.clean_aperture import Crop, find_crop
from schemas.errors import ErrorCode, PermanentError
from tests.doubles.sources import BytesSource

ALL = frozenset({b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl"})
FTYP = struct.pack(">I4s4sI4s", 20, b"ftyp", b"avif", 0, b"mif1")
GIANT = 20_000


def box(kind: bytes, content: bytes = b"", claimed: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(content) if claimed is None else claimed, kind) + content


def wide_box(kind: bytes, content: bytes, claimed: int) -> bytes:
    return struct.pack(">I4sQ", 1, kind, claimed) + content


def ispe(side: int, padding: int = 0) -> bytes:
    return box(b"ispe", struct.pack(">III", 0, side, side) + bytes(padding))


def tkhd(version: int, side: int, padding: int = 0) -> bytes:
    before = 88 if version else 76
    return box(
        b"tkhd", bytes([version]).ljust(before, b"\0") + struct.pack(">II", side << 16, side << 16) + bytes(padding)
    )


def walked(content: bytes, inside: frozenset[bytes] = ALL) -> list[Box]:
    return list(walk_boxes(SourceFile(BytesSource(content)), inside))


def kinds(content: bytes) -> list[bytes]:
    return [found.kind for found in walked(content)]


def is_refused(content: bytes) -> bool:
    try:
        check_claims(SourceFile(BytesSource(content)), ThumbnailSpec())
    except PermanentError as error:
        assert error.code is ErrorCode.MEDIA_TOO_MANY_PIXELS
        return True
    return False


@pytest.mark.parametrize("claimed", [0, 8, 9, 20, 2**31, 2**32 - 1])
@pytest.mark.parametrize("liar", [b"meta", b"iprp", b"ipco"])
def test_no_parent_hides_a_giant_by_its_size(liar: bytes, claimed: int) -> None:
    def parent(kind: bytes, content: bytes) -> bytes:
        return box(kind, content, claimed if kind == liar else None)

    content = parent(b"meta", bytes(4) + parent(b"iprp", parent(b"ipco", ispe(GIANT))))
    assert is_refused(FTYP + content)
    assert not is_refused(FTYP + content.replace(struct.pack(">I", GIANT), struct.pack(">I", 64)))


@pytest.mark.parametrize("claimed", [0, 16, 17, 2**40, 2**64 - 1])
def test_no_parent_hides_a_giant_by_a_size_of_64_bits(claimed: int) -> None:
    assert is_refused(FTYP + wide_box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", ispe(GIANT))), claimed))


@pytest.mark.parametrize("padding", [0, 8, 1000, 100_000])
def test_a_box_that_is_longer_than_usual_hides_no_giant(padding: int) -> None:
    assert is_refused(FTYP + box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", ispe(GIANT, padding)))))
    for version in (0, 1):
        assert is_refused(FTYP + box(b"moov", box(b"trak", tkhd(version, GIANT, padding))))
        assert not is_refused(FTYP + box(b"moov", box(b"trak", tkhd(version, 64, padding))))


def test_the_second_picture_and_the_second_film_count_too() -> None:
    assert is_refused(FTYP + box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", ispe(64) + ispe(64) + ispe(GIANT)))))
    assert is_refused(FTYP + box(b"moov", box(b"trak", tkhd(0, 64)) + box(b"trak", tkhd(0, GIANT))))


@pytest.mark.parametrize("bomb", [box(b"free"), box(b"meta", bytes(4), 2**31), box(b"moov", b"", 0)])
def test_a_walk_ends_after_so_many_boxes_however_deep_they_lie(bomb: bytes) -> None:
    source = BytesSource(FTYP + bomb * 50_000)
    assert sum(1 for _ in walk_boxes(SourceFile(source), ALL)) == MAX_BOXES
    assert sum(length for _, length in source.reads) <= 2 * 256 * 1024


def test_the_last_box_within_the_limit_is_seen() -> None:
    assert MAX_BOXES >= 4096, "a giant behind fewer boxes was always refused"
    assert is_refused(FTYP + box(b"free") * (MAX_BOXES - 2) + ispe(GIANT))
    assert not is_refused(FTYP + box(b"free") * (MAX_BOXES - 1) + ispe(GIANT)), "a walk has one limit"


@pytest.mark.parametrize("claimed", [2, 3, 7])
def test_a_box_smaller_than_its_own_header_ends_the_walk(claimed: int) -> None:
    assert kinds(FTYP + box(b"free", b"", claimed) + box(b"skip")) == [b"ftyp"]
    assert kinds(FTYP + wide_box(b"free", b"", claimed) + box(b"skip")) == [b"ftyp"]


def test_a_box_ends_where_the_file_ends_whatever_it_claims() -> None:
    for last in (box(b"mdat", b"1234", 0), box(b"mdat", b"1234", 2**31), wide_box(b"mdat", b"1234", 2**64 - 1)):
        content = FTYP + last
        assert walked(content)[-1] == Box(b"mdat", len(content) - 4, len(content))
        assert walked(content)[-1].read(SourceFile(BytesSource(content)), 100) == b"1234"


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_are_walked_to_an_end_and_never_left(seed: int) -> None:
    rng = random.Random(seed)
    content = bytearray(with_films(b"soun", b"vide", b"vide") + box(b"meta", bytes(4) + box(b"iprp", ispe(64))))
    for _ in range(rng.randrange(1, 40)):
        content[rng.randrange(len(content))] = rng.choice((0, 1, 8, 255, rng.randrange(256)))
    whole = bytes(content[: rng.randrange(len(content))]) if seed % 2 else bytes(content)
    found = walked(whole)
    assert len(found) <= MAX_BOXES
    assert all(8 <= one.start <= one.end <= len(whole) for one in found)
    assert [one.start for one in found] == sorted({one.start for one in found})
    is_refused(whole)
    find_crop(SourceFile(BytesSource(whole)), 1, 1000, 1000)


def entry(crop: int | None) -> bytes:
    clap = b"" if crop is None else box(b"clap", struct.pack(">8i", 1000 - 2 * crop, 1, 1000 - 2 * crop, 1, 0, 1, 0, 1))
    return box(b"stsd", bytes(8) + box(b"avc1", bytes(78) + box(b"avcC", bytes(7)) + clap))


def hdlr(kind: bytes) -> bytes:
    return box(b"hdlr", bytes(8) + kind + bytes(13))


def track(kind: bytes, crop: int | None, claimed: int | None = None) -> bytes:
    table = box(b"minf", box(b"vmhd", bytes(12)) + box(b"stbl", entry(crop) + box(b"stts", bytes(8))))
    return box(b"trak", tkhd(0, 64) + box(b"mdia", hdlr(kind) + table), claimed)


def with_films(*tracks: bytes) -> bytes:
    """A movie whose n-th track, from 1, is cropped by 10 * n."""
    return FTYP + box(b"moov", b"".join(track(kind, 10 * number) for number, kind in enumerate(tracks, 1)))


def crop_of(content: bytes, film: int) -> Crop | None:
    return find_crop(SourceFile(BytesSource(content)), film, 1000, 1000)


def test_the_crop_is_that_of_the_film_that_is_shown() -> None:
    content = with_films(b"soun", b"vide", b"soun", b"vide")
    assert [crop_of(content, film) for film in range(3)] == [Crop(20, 20, 20, 20), Crop(40, 40, 40, 40), None]


@pytest.mark.parametrize("claimed", [0, 8, 50, 2**31])
def test_a_track_that_lies_about_its_size_shifts_no_other_film_s_crop(claimed: int) -> None:
    content = FTYP + box(b"moov", track(b"vide", 10, claimed) + track(b"vide", 20))
    assert [crop_of(content, film) for film in range(2)] == [Crop(10, 10, 10, 10), Crop(20, 20, 20, 20)]


def test_a_film_without_a_crop_or_a_description_does_not_take_the_next_one_s() -> None:
    bare = box(b"trak", box(b"mdia", hdlr(b"vide")))
    assert crop_of(FTYP + box(b"moov", bare + track(b"vide", 20)), 0) is None
    assert crop_of(FTYP + box(b"moov", bare + track(b"vide", 20)), 1) == Crop(20, 20, 20, 20)
    assert crop_of(FTYP + box(b"moov", track(b"vide", None) + track(b"vide", 20)), 0) is None


def test_quicktime_s_handlers_of_data_do_not_count_and_the_order_in_a_track_does_not_either() -> None:
    alias = box(b"hdlr", b"\0\0\0\0dhlralis" + bytes(13))
    turned = box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", entry(10)) + alias) + hdlr(b"vide")))
    usual = [box(b"mdia", hdlr(kind) + box(b"minf", alias + box(b"stbl", entry(20)))) for kind in (b"soun", b"vide")]
    content = FTYP + box(b"moov", box(b"trak", usual[0]) + turned + box(b"trak", usual[1]))
    assert [crop_of(content, film) for film in range(3)] == [Crop(10, 10, 10, 10), Crop(20, 20, 20, 20), None]
