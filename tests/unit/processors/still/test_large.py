"""Pictures of more pixels than are held at a time look like small ones of the same kind, and what would hold too much is refused."""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.orientation import EXIF_TURNS
from processors.sandbox.pool import DecodeSlots
from processors.types import RenditionSpec, ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, ThumbnailError
from tests.doubles.giants import png_chunk
from tests.doubles.sources import BytesSource, colour_at, pixels_of
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import code_of, encoded, make

WIDTH, HEIGHT = 1299, 899
"""Of no use for blocks of any size: the last ones are cut."""
LIMIT: Final = 1_000_000
"""Pixels: fewer than the picture's."""
BOX: Final = RenditionSpec("medium", 160, 120)


@cache
def picture() -> Image.Image:
    """Soft colours under a grain, in which a wrong row or column shows."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    values = np.dstack([255 * x, 255 * y, 128 + 100 * np.sin(9 * x * y + 4 * y)])
    values += np.random.default_rng(1).normal(0, 12, (HEIGHT, WIDTH, 1))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@cache
def see_through() -> Image.Image:
    """The same, with holes that hide bright green."""
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, : WIDTH * 2 // 3] = 255
    alpha[HEIGHT // 3 : HEIGHT // 2] = 128
    values = np.asarray(picture()).copy()
    values[alpha == 0] = (0, 255, 0)
    return Image.fromarray(np.dstack([values, alpha]))


def grey() -> Image.Image:
    return picture().convert("L")


def deep() -> Image.Image:
    return Image.fromarray(np.asarray(grey()).astype(np.uint16) * 257)


def palette() -> Image.Image:
    return picture().convert("P", palette=Image.Palette.WEB)


def turned(number: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = number
    return tags


def tiled() -> bytes:
    """A TIFF of tiles of 64 x 64, each packed on its own."""
    values = np.asarray(picture())
    across, down = -(-WIDTH // 64), -(-HEIGHT // 64)
    padded = np.zeros((down * 64, across * 64, 3), np.uint8)
    padded[:HEIGHT, :WIDTH] = values
    tiles = [
        zlib.compress(padded[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64].tobytes(), 1)
        for row in range(down)
        for column in range(across)
    ]
    return tiff({256: [WIDTH], 257: [HEIGHT], 258: [8] * 3, 259: [8], 262: [2], 277: [3], 322: [64], 323: [64]}, tiles)


def planes(bits: int = 8) -> bytes:
    """A TIFF that holds all red, then all green, then all blue, in strips of 64 rows."""
    values = np.asarray(picture()).astype(f"<u{bits // 8}") * (((1 << bits) - 1) // 255)
    strips = [values[top : top + 64, :, plane].tobytes() for plane in range(3) for top in range(0, HEIGHT, 64)]
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [bits] * 3, 259: [1], 262: [2], 277: [3], 278: [64], 284: [2]}
    return tiff(tags, strips)


def palette_of_eight_bits() -> bytes:
    """A TIFF whose colours are written without their lower halves, as by some scanners."""
    colours = np.asarray(palette().getpalette(), np.uint8).reshape(-1, 3).T.flatten()
    tags = {256: [WIDTH], 257: [HEIGHT], 258: [8], 259: [1], 262: [3], 277: [1], 278: [HEIGHT], 320: colours.tolist()}
    return tiff(tags, [palette().tobytes()])


def half_clear(bits: int, clear: int) -> bytes:
    """A PNG of grey in `bits` bits, black beside white; the value `clear` is transparent."""
    row_bytes = -(-WIDTH * bits // 8)
    row = b"\0" + bytes(row_bytes // 2) + b"\xff" * (row_bytes - row_bytes // 2)
    parts = {b"IHDR": struct.pack(">LLBBBBB", WIDTH, HEIGHT, bits, 0, 0, 0, 0), b"tRNS": struct.pack(">H", clear)}
    parts |= {b"IDAT": zlib.compress(row * HEIGHT, 1), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts.items())


def tiff(tags: dict[int, list[int]], parts: list[bytes]) -> bytes:
    """A little-endian file with one directory, whose `tags` may say another place of the parts."""
    places = [8 + sum(map(len, parts[:number])) for number in range(len(parts))]
    kinds = (324, 325) if 322 in tags else (273, 279)
    tags = dict(sorted(({kinds[0]: places, kinds[1]: [len(part) for part in parts]} | tags).items()))
    at = 8 + sum(map(len, parts))
    behind, entries = b"", b""
    for number, numbers in tags.items():
        data = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            place = at + 6 + 12 * len(tags) + len(behind)
            data, behind = struct.pack("<I", place), behind + data
        entries += struct.pack("<HHI", number, 4, len(numbers)) + data
    directory = struct.pack("<H", len(tags)) + entries
    return b"II*\0" + struct.pack("<I", at) + b"".join(parts) + directory + bytes(4) + behind


def interlaced(image: Image.Image) -> bytes:
    """A PNG in seven passes, which Pillow does not write."""
    values = np.asarray(image).reshape(image.height, image.width, -1)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for left, top, across, down in passes:
        part = values[top::down, left::across]
        stored = np.packbits(part[..., 0], axis=1) if image.mode == "1" else part.reshape(len(part), -1)
        rows += b"".join(b"\0" + row.tobytes() for row in stored)
    colour, depth = {"RGB": (2, 8), "L": (0, 8), "RGBA": (6, 8), "P": (3, 8), "1": (0, 1)}[image.mode]
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", image.width, image.height, depth, colour, 0, 0, 1))
    colours = png_chunk(b"PLTE", bytes(image.getpalette() or [])) if image.mode == "P" else b""
    return (
        b"\x89PNG\r\n\x1a\n" + header + colours + png_chunk(b"IDAT", zlib.compress(rows, 1)) + png_chunk(b"IEND", b"")
    )


OPAQUE: Final[dict[str, Callable[[], bytes]]] = {
    "jpeg": lambda: encoded(picture(), "JPEG", quality=92),
    "progressive jpeg": lambda: encoded(picture(), "JPEG", quality=92, progressive=True),
    "png": lambda: encoded(picture(), compress_level=1),
    "png of palette": lambda: encoded(palette(), compress_level=1),
    "interlaced png": lambda: interlaced(picture()),
    "interlaced png of palette": lambda: interlaced(palette()),
    "bmp": lambda: encoded(picture(), "BMP"),
    "bmp of palette": lambda: encoded(palette(), "BMP"),
    "ppm": lambda: encoded(picture(), "PPM"),
    "targa": lambda: encoded(picture(), "TGA"),
    "webp": lambda: encoded(picture(), "WEBP", quality=92, method=0),
    "lossless webp": lambda: encoded(picture(), "WEBP", lossless=True, quality=0, method=0),
    "jpeg 2000": lambda: encoded(picture(), "JPEG2000"),
    "jpeg 2000 with two smaller resolutions": lambda: encoded(picture(), "JPEG2000", num_resolutions=3),
    "lossy jpeg 2000 in tiles": lambda: encoded(picture(), "JPEG2000", irreversible=True, tile_size=(256, 256)),
    "tiff": lambda: encoded(picture(), "TIFF"),
    "tiff in one strip": lambda: encoded(picture(), "TIFF", strip_size=1 << 30),
    "tiff, lzw": lambda: encoded(picture(), "TIFF", compression="tiff_lzw"),
    "tiff, jpeg": lambda: encoded(picture(), "TIFF", compression="jpeg", quality=92),
    "tiff of palette": lambda: encoded(palette(), "TIFF", compression="packbits"),
    "tiff in tiles": tiled,
    "tiff in planes": planes,
    "tiff of palette of eight bits": palette_of_eight_bits,
    "bigtiff": lambda: encoded(picture(), "TIFF", compression="tiff_lzw", big_tiff=True),
}
GREY: Final[dict[str, Callable[[], bytes]]] = {
    "jpeg": lambda: encoded(grey(), "JPEG", quality=92),
    "png": lambda: encoded(grey(), compress_level=1),
    "png of 16 bits": lambda: encoded(deep(), compress_level=1),
    "interlaced png": lambda: interlaced(grey()),
    "interlaced png of one bit": lambda: interlaced(grey().convert("1")),
    "pgm": lambda: encoded(grey(), "PPM"),
    "jpeg 2000": lambda: encoded(grey(), "JPEG2000"),
    "jpeg 2000 of 16 bits": lambda: encoded(deep(), "JPEG2000"),
    "tiff of 16 bits": lambda: encoded(deep(), "TIFF", compression="tiff_lzw"),
    "tiff of one bit": lambda: encoded(grey().convert("1"), "TIFF", compression="group4", strip_size=4096),
    "png of one bit": lambda: encoded(grey().convert("1")),
    "bmp of one bit": lambda: encoded(grey().convert("1"), "BMP"),
}
WITH_ALPHA: Final[dict[str, Callable[[], bytes]]] = {
    "png": lambda: encoded(see_through(), compress_level=1),
    "tiff": lambda: encoded(see_through(), "TIFF", compression="tiff_lzw"),
    "lossless webp": lambda: encoded(see_through(), "WEBP", lossless=True, quality=0, method=0, exact=True),
}


def taken_from(content: bytes, **spec: Any) -> ThumbnailSet:
    made: ThumbnailSet = make(content, renditions=(BOX,), quality=100, **({"max_pixels": LIMIT} | spec))
    assert (made.source.kind, made.frame.method, made.degraded) == ("image", "image", False)
    return made


def shown(made: ThumbnailSet, mode: str = "RGB") -> NDArray[np.float64]:
    return pixels_of(made.renditions[0], mode).astype(np.float64)


def expected(image: Image.Image) -> NDArray[np.float64]:
    """What all pixels of the picture come to, without any of our code."""
    scale = min(160 / image.width, 120 / image.height)
    size = round(image.width * scale), round(image.height * scale)
    averaged: Any = cv2.resize(np.asarray(image).astype(np.float64), size, interpolation=cv2.INTER_AREA)
    return np.asarray(averaged, np.float64)


@pytest.mark.parametrize("name", OPAQUE)
def test_a_picture_that_is_decoded_in_parts_looks_like_itself(name: str) -> None:
    made = taken_from(OPAQUE[name]())
    assert (made.source.width, made.source.height) == (WIDTH, HEIGHT)
    wanted = expected((palette() if "palette" in name else picture()).convert("RGB"))
    assert shown(made).shape == wanted.shape
    difference = np.abs(shown(made) - wanted)
    assert difference.mean() < 2.5
    assert difference.mean(axis=(1, 2)).max() < 6, "every row is in its place"
    assert difference.mean(axis=(0, 2)).max() < 6


@pytest.mark.parametrize("name", GREY)
def test_one_without_colours_does_so_too(name: str) -> None:
    content = GREY[name]()
    wanted = expected(grey().convert("1").convert("L") if "one bit" in name else grey())
    assert np.abs(shown(taken_from(content), "L") - wanted).mean() < 3.5


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_its_transparency_is_kept_and_what_it_hides_does_not_show(name: str) -> None:
    found = shown(taken_from(WITH_ALPHA[name]()), "RGBA")
    wanted = expected(Image.fromarray(np.asarray(see_through())[..., 3]))
    assert np.abs(found[..., 3] - wanted).mean() < 2
    top, wanted_top = found[:20], expected(picture())[:20]
    is_edge = (top[..., 3] > 30) & (top[..., 3] < 225)
    assert is_edge.sum() >= 20
    too_green = top[is_edge][:, 1] - wanted_top[is_edge][:, 1]
    assert too_green.mean() < 12, "no green runs out of the holes"


@pytest.mark.parametrize(("bits", "clear"), [(2, 3), (4, 0xF), (16, 0xFFFF)])
def test_the_transparent_value_of_a_png_is_that_of_its_pixels(bits: int, clear: int) -> None:
    """It is named in the file's bits, and looked for in eight."""
    found = shown(taken_from(half_clear(bits, clear)), "RGBA")
    assert found[:, :75, 3].min() == 255
    assert found[:, 85:, 3].max() == 0


def test_an_ordinary_jpeg_2000_is_decoded_at_a_smaller_resolution_and_looks_like_itself() -> None:
    """That it is can be told by the values between the pixels of one column: a wavelet's average is not a mean of four."""
    content = encoded(picture(), "JPEG2000")
    made = taken_from(content, max_pixels=100_000_000)
    assert np.abs(shown(made) - expected(picture())).mean() < 2.5
    ordinary, whole = shown(taken_from(content)), shown(taken_from(encoded(picture()), max_pixels=100_000_000))
    assert np.abs(shown(made) - ordinary).mean() < 0.8 * np.abs(ordinary - whole).mean()


@pytest.mark.parametrize("number", EXIF_TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_it_comes_out_upright(kind: str, number: int) -> None:
    options: dict[str, Any] = {"tiffinfo": {274: number}} if kind == "TIFF" else {"exif": turned(number)}
    made = taken_from(encoded(picture(), kind, **options, **({"compress_level": 1} if kind == "PNG" else {})))
    wanted = expected(picture().transpose(EXIF_TURNS[number]))
    assert shown(made).shape == wanted.shape
    assert np.abs(shown(made) - wanted).mean() < 3.5


def test_of_a_pyramid_the_smallest_that_is_large_enough_is_read() -> None:
    smaller, smallest = picture().reduce(3), picture().reduce(20)
    # Three directories: strips of noise that would show, and overviews behind them.
    tags = {258: [8] * 3, 259: [1], 262: [2], 277: [3], 278: [1 << 16]}

    def level(image: Image.Image, subfile: int) -> tuple[dict[int, list[int]], bytes]:
        return {254: [subfile], 256: [image.width], 257: [image.height], **tags}, image.tobytes()

    noise = Image.effect_noise((WIDTH, HEIGHT), 200).convert("RGB")
    made = taken_from(chained([level(noise, 0), level(smaller, 1), level(smallest, 1)]))
    assert (made.source.width, made.source.height) == (WIDTH, HEIGHT)
    assert np.abs(shown(made) - expected(picture())).mean() < 3


def chained(levels: list[tuple[dict[int, list[int]], bytes]]) -> bytes:
    """One file of several directories, each of one strip."""
    content = b"II*\0" + struct.pack("<I", 0)
    link = 4
    for tags, pixels in levels:
        tags = dict(sorted((tags | {273: [len(content)], 279: [len(pixels)]}).items()))
        content += pixels
        at = len(content)
        entries, behind = b"", b""
        for number, numbers in tags.items():
            data = struct.pack(f"<{len(numbers)}I", *numbers)
            if len(numbers) > 1:
                data, behind = struct.pack("<I", at + 6 + 12 * len(tags) + len(behind)), behind + data
            entries += struct.pack("<HHI", number, 4, len(numbers)) + data
        content += struct.pack("<H", len(tags)) + entries + bytes(4) + behind
        content = content[:link] + struct.pack("<I", at) + content[link + 4 :]
        link = at + 2 + 12 * len(tags)
    return content


def test_a_cut_one_shows_the_rows_that_are_there() -> None:
    content = encoded(picture(), compress_level=1)
    made: ThumbnailSet = make(content[: len(content) // 2], renditions=(BOX,), max_pixels=LIMIT)
    assert (made.frame.method, made.degraded) == ("image-damaged", True)
    found = shown(made, "RGBA")
    assert colour_at(found.astype(np.uint8), 0.5, 0.2)[3] == 255
    assert colour_at(found.astype(np.uint8), 0.5, 0.8)[3] == 0
    wanted = expected(picture())
    assert np.abs(found[:40, :, :3] - wanted[:40]).mean() < 5


def test_a_cut_one_in_passes_is_shown_as_coarse_as_it_came() -> None:
    """Of blocks of eight pixels, something is there in the first pass."""
    content = interlaced(picture())
    made = make(content[: len(content) // 3], renditions=(BOX,), quality=100, max_pixels=LIMIT)
    assert (made.frame.method, made.degraded) == ("image-damaged", True)
    assert np.abs(shown(made) - expected(picture())).mean() < 12


REFUSED: Final[dict[str, tuple[Callable[[], bytes], str]]] = {
    "a JPEG 2000 without smaller resolutions": (
        lambda: encoded(picture(), "JPEG2000", num_resolutions=1),
        "a JPEG 2000 picture with so few smaller resolutions",
    ),
    "a packed Targa": (lambda: encoded(picture(), "TGA", compression="tga_rle"), "a TGA picture"),
    "a GIF": (lambda: encoded(palette(), "GIF"), "a GIF picture"),
    "a TIFF in planes": (lambda: planes(16), "a TIFF in planes of 16 bits"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_kind_that_is_held_as_a_whole_is_refused_by_name(name: str) -> None:
    made, said = REFUSED[name]
    with pytest.raises(ThumbnailError, match=said) as caught:
        make(made(), renditions=(BOX,), max_pixels=LIMIT)
    assert caught.value.code is ErrorCode.MEDIA_TOO_MANY_PIXELS
    assert code_of(encoded(picture(), "JPEG"), max_pixels=WIDTH * HEIGHT // 3 - 1) is ErrorCode.MEDIA_TOO_MANY_PIXELS


# What is really large, in the cage, whose memory is the limit.


def large_jpeg(width: int, height: int) -> bytes:
    """Left half red, right half blue: the coded blocks of a small one, again and again between restart markers."""
    row = Image.new("RGB", (width, 16), "red")
    row.paste("blue", (width // 2, 0, width, 16))
    small = encoded(row, "JPEG", quality=80, subsampling="4:2:0", restart_marker_rows=1)
    scan = small.index(b"\xff\xda")
    start = scan + 2 + int.from_bytes(small[scan + 2 : scan + 4])
    size = small.index(b"\xff\xc0") + 5
    head = small[:size] + struct.pack(">H", height) + small[size + 2 : start]
    rows = height // 16
    data = b"".join(small[start:-2] + bytes((0xFF, 0xD0 + number % 8)) for number in range(rows - 1))
    return head + data + small[start:-2] + b"\xff\xd9"


GREEN_AND_WHITE: Final = bytes((0, 255, 0, 255, 255, 255))
ROWS: Final = 256
"""Of the packed pieces that large files are made of."""


def large_png(width: int, height: int) -> bytes:
    """The upper half green, the lower half white: two packed pieces, again and again."""
    pieces = []
    for number in (0, 1):
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        pieces.append(packer.compress((b"\0" + bytes([number]) * width) * ROWS) + packer.flush(zlib.Z_FULL_FLUSH))
    half = height // ROWS // 2
    data = b"\x78\x01" + pieces[0] * half + pieces[1] * half + b"\3\0" + bytes(4)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, half * 2 * ROWS, 8, 3, 0, 0, 0))
    chunks = header + png_chunk(b"PLTE", GREEN_AND_WHITE) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def large_tiff(width: int, height: int) -> bytes:
    """The same in strips: two of them are in the file, and named again and again."""
    strips = [zlib.compress(bytes([number]) * width * ROWS, 1) for number in (0, 1)]
    half = height // ROWS // 2
    colours = [GREEN_AND_WHITE[value % 2 * 3 + value // 256] * 257 if value % 256 < 2 else 0 for value in range(768)]
    tags = {256: [width], 257: [half * 2 * ROWS], 258: [8], 259: [8], 262: [3], 277: [1], 278: [ROWS], 320: colours}
    places = {273: [8] * half + [8 + len(strips[0])] * half, 279: [len(strips[0])] * half + [len(strips[1])] * half}
    return tiff(tags | places, strips)


LARGE: Final[dict[str, tuple[Callable[[], bytes], tuple[float, float, float, float]]]] = {
    "a JPEG of 200 megapixels": (lambda: large_jpeg(16384, 12288), (0.25, 0.5, 0.75, 0.5)),
    "a PNG of 130 megapixels": (lambda: large_png(12800, 10240), (0.5, 0.25, 0.5, 0.75)),
    "a TIFF of 130 megapixels": (lambda: large_tiff(12800, 10240), (0.5, 0.25, 0.5, 0.75)),
}
COLOURS: Final = {"JPEG": ((254, 0, 0), (0, 0, 254)), "PNG": ((0, 255, 0), (255, 255, 255))}
MEMORY_MB: Final = 224
"""Of the cage, 400 less than the pixels of the smallest of them would take."""


@pytest.mark.parametrize("name", LARGE)
def test_a_large_one_is_made_in_a_cage_that_its_pixels_would_not_fit_into(name: str) -> None:
    made, (x1, y1, x2, y2) = LARGE[name]
    content = made()

    async def body(slots: DecodeSlots) -> ThumbnailSet:
        return await slots.create_thumbnails(BytesSource(content), ThumbnailSpec(), kind=None)

    found = with_slots(body, memory_mb=MEMORY_MB, timeout_s=120)
    assert found.source.width * found.source.height > 130_000_000 - 1
    assert not found.degraded
    pixels = pixels_of(found.renditions[2])
    for colour, place in zip(COLOURS.get(name[2:6].strip(), COLOURS["PNG"]), ((x1, y1), (x2, y2)), strict=True):
        assert colour_at(pixels, *place) == pytest.approx(colour, abs=8)
