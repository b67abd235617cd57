"""Pictures of rare kinds: content decides what they are, whatever the upload says, and their corners and holes are right."""

import struct

import numpy as np
import pytest
from PIL import Image

from processors.colour.linear_light import srgb_to_light
from processors.sandbox.pool import DecodeSlots
from processors.sniff import HEAD_BYTES, is_targa
from processors.thumbnails import create_thumbnails
from processors.types import Kind, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError
from tests.doubles.corpus_kinds import HEIGHT, WIDTH, photograph, saved
from tests.doubles.corpus_rare import RARE, RARE_GREY, RARE_WITH_ALPHA, eps_with_preview, psd, radiance, tiff, xbm, xpm
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_large import tiff as tiff_of_parts
from tests.unit.processors.still.test_pictures import assert_upright, make

DECLARED: list[Kind | None] = [None, "video", "image"]


@pytest.mark.parametrize("name", RARE)
def test_it_is_shown_as_the_picture_that_it_is(name: str) -> None:
    content = RARE[name]()
    for declared in DECLARED:
        made = create_thumbnails(BytesSource(content), ThumbnailSpec(), kind=declared)
        assert (made.source.kind, made.frame.method, made.degraded) == ("image", "image", False)
        assert (made.source.width, made.source.height) == (WIDTH, HEIGHT)
        assert_upright(made)


@pytest.mark.parametrize("name", RARE_GREY)
def test_it_is_shown_in_grey(name: str) -> None:
    made = make(RARE_GREY[name]())
    assert (made.source.kind, made.frame.method, made.degraded) == ("image", "image", False)
    assert (made.source.width, made.source.height) == (WIDTH, HEIGHT)
    shown, scene = pixels_of(made.renditions[2]).astype(int), np.asarray(photograph().convert("L").convert("RGB"))
    assert np.abs(shown - scene).mean() < 5


@pytest.mark.parametrize("name", RARE_WITH_ALPHA)
def test_its_transparency_is_kept(name: str) -> None:
    made = make(RARE_WITH_ALPHA[name]())
    pixels = pixels_of(made.renditions[2], "RGBA")
    assert colour_at(pixels, 0.2, 0.5)[3] == 0
    assert colour_at(pixels, 0.8, 0.5)[3] == 255
    assert (made.source.kind, made.degraded) == ("image", False)


def test_of_a_cursor_the_largest_is_shown() -> None:
    made = make(RARE_WITH_ALPHA["windows cursor"]())
    assert (made.source.width, made.source.height) == (48, 36)


@pytest.mark.parametrize("type_of", [1, 2])
@pytest.mark.parametrize("bits", [1, 8, 24, 32])
def test_an_icons_mask_is_found_whatever_its_directory_says(bits: int, type_of: int) -> None:
    """White above black above two that the mask hides, or the alpha of 32 bits; the directory's length and bits are nonsense."""
    greys, is_hidden = (0, 255, 0, 255), (True, True, False, False)  # from the lowest up
    steps = [0, 255] if bits == 1 else range(256)
    palette = b"".join(bytes([grey, grey, grey, 0]) for grey in steps) if bits <= 8 else b""
    alphas = [b"\0" if hidden else b"\xff" for hidden in is_hidden]
    stored = {1: [b"\0", b"\x80"] * 2, 8: [bytes([grey]) for grey in greys], 24: [bytes([grey] * 3) for grey in greys]}
    stored[32] = [colour + alpha for colour, alpha in zip(stored[24], alphas, strict=True)]
    mask = [b"\x80" if hidden else b"\0" for hidden in is_hidden]
    rows = b"".join(row.ljust(4, b"\0") for row in stored[bits] + mask)
    info = struct.pack("<L2l2H6L", 40, 1, 8, 1, bits, 0, 0, 0, 0, 0, 0)
    entry = struct.pack("<4B2H2L", 1, 4, 0, 0, 1, 3, 8, 22)
    content = struct.pack("<3H", 0, type_of, 1) + entry + info + palette + rows
    shown = pixels_of(make(content).renditions[2], "RGBA")[:, 0]
    assert shown[:, 3].tolist() == [255, 255, 0, 0]
    assert shown[:2].tolist() == [[255] * 4, [0, 0, 0, 255]]


@pytest.mark.parametrize("bits", [[4, 24, 8], [32, 4], [8, 32]])
def test_of_an_icons_pictures_of_one_size_the_one_of_most_colours_is_shown(bits: list[int]) -> None:
    """As browsers choose; Pillow alone takes the first one of the fewest colours. Only the deepest picture is red."""
    bitmaps = []
    for one in bits:
        palette = bytes(4 << one) if one <= 8 else b""
        red = b"\0\0\xff\xff"[: one // 8] if one == max(bits) else bytes(one // 8)
        row = (red * 8 if one >= 8 else bytes(4)).ljust(4, b"\0")
        info = struct.pack("<L2l2H6L", 40, 8, 16, 1, one, 0, 0, 0, 0, 0, 0)
        bitmaps.append(info + palette + row * 8 + bytes(4 * 8))
    at, directory = 6 + 16 * len(bits), struct.pack("<3H", 0, 1, len(bits))
    for one, bitmap in zip(bits, bitmaps, strict=True):
        directory, at = directory + struct.pack("<4B2H2L", 8, 8, 0, 0, 1, one, len(bitmap), at), at + len(bitmap)
    shown = pixels_of(make(directory + b"".join(bitmaps)).renditions[2])
    assert shown.reshape(-1, 3).tolist() == [[255, 0, 0]] * 64


def test_a_selection_that_photoshop_kept_hides_nothing() -> None:
    shown = pixels_of(make(psd(fourth=True, layers=1)).renditions[1], "RGBA")
    assert shown[..., 3].min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_radiance_picture_whose_rows_go_elsewhere_is_upright(orientation: int) -> None:
    """FFmpeg takes them to go from the top down, and mixes up the sides where columns are stored."""
    made = make(radiance(orientation=orientation))
    assert not made.degraded
    assert made.renditions[2].width > made.renditions[2].height
    assert_upright(made)


@pytest.mark.parametrize("bits", [8, 16])
def test_what_shows_through_a_photoshop_document_is_not_white(bits: int) -> None:
    """Photoshop lays its composite on white before it stores it, and the transparency beside it; psd-tools undoes that, too."""
    painted = np.zeros((48, 64, 4), np.uint8)
    painted[:, :32], painted[:, 32:] = (255, 0, 0, 128), (0, 60, 120, 64)
    alpha = painted[..., 3:] / 255
    on_white = np.rint(painted[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    made = make(psd(channels=np.dstack([on_white, painted[..., 3]]), layers=-1, bits=bits))
    shown = pixels_of(made.renditions[2], "RGBA").astype(int)
    assert np.abs(shown - painted).max() <= 5, "a step of alpha counts four times in what is a quarter there"


@pytest.mark.parametrize(("order", "scale"), [("<", "-1.0"), (">", "1.0")])
def test_grey_halves_are_as_bright_as_they_are_stored(order: str, scale: str) -> None:
    grey = np.asarray(photograph().convert("L"))
    stored = srgb_to_light(grey[::-1] / 255).astype(order + "f2").tobytes()
    made = make(f"Ph\n{WIDTH} {HEIGHT}\n{scale}\n".encode() + stored)
    assert np.abs(pixels_of(made.renditions[2]).astype(int) - grey[..., None]).mean() < 3


@pytest.mark.parametrize(
    ("depth", "most"), [(1, 1), (1, 4095), (2, 255), (2, 4095), (3, 100), (3, 65535), (4, 100), (4, 4095)]
)
def test_the_values_of_an_arbitrary_map_count_by_the_largest_one_that_it_names(depth: int, most: int) -> None:
    """The left half is bright and half transparent, the right half dark and opaque; judged by the numbers themselves."""
    left, right = np.full(depth, most), np.full(depth, most // 3)
    if depth in (2, 4):
        left[-1], right[-1] = most // 2, most
    values = np.repeat([left, right], 32, axis=0)[None].repeat(48, axis=0)
    head = f"P7\nWIDTH 64\nHEIGHT 48\nDEPTH {depth}\nMAXVAL {most}\nENDHDR\n"
    made = make(head.encode() + values.astype("u1" if most < 256 else ">u2").tobytes())
    shown = pixels_of(made.renditions[2], "RGBA").astype(int)
    colours = 1 if depth < 3 else 3
    for x, stored in ((10, left), (50, right)):
        alpha = stored[-1] * 255 / most if depth in (2, 4) else 255
        assert abs(shown[24, x, 3] - alpha) <= 2
        if alpha:
            assert np.abs(shown[24, x, :3] - stored[:colours] * 255 / most).max() <= 3


def test_pictures_that_are_text_are_read() -> None:
    bitmap, pixmap = make(xbm()), make(xpm())
    assert is_near(colour_at(pixels_of(bitmap.renditions[2]), 0.5, 0.2), (0, 0, 0), 12) != is_near(
        colour_at(pixels_of(bitmap.renditions[2]), 0.5, 0.8), (0, 0, 0), 12
    )
    red, green, blue = np.asarray(photograph().resize((2, 2)))[0, 0].tolist()
    assert is_near(colour_at(pixels_of(pixmap.renditions[2]), 0.25, 0.25), (red, green, blue), 30)
    assert (bitmap.source.codec, pixmap.source.codec) == ("xbm", "xpm")


def test_a_drawing_of_microsoft_paint_is_black_and_white() -> None:
    half = Image.new("1", (64, 48), 1)
    half.paste(0, (0, 0, 64, 24))
    made = make(saved(half, "MSP"))
    shown = pixels_of(made.renditions[2])
    assert (made.source.codec, shown[:24].max(), shown[24:].min()) == ("msp", 0, 255)


@pytest.mark.parametrize("key", ["s", "m", "g4", "g"])
def test_a_pixmap_whose_colours_have_names_for_other_screens_alone_is_read(key: str) -> None:
    """X's own names of colours: DarkSlateGray is 47, 79, 79."""
    rows = ",\n".join(['"ac"' for _ in range(2)])
    content = f'/* XPM */\nstatic char *n[] = {{\n"2 2 2 1",\n"a {key} DarkSlateGray",\n"c c #ff0000",\n{rows}\n}};\n'
    shown = pixels_of(make(content.encode()).renditions[2])
    assert shown[:, 0].tolist() == [[47, 79, 79]] * 2
    assert shown[:, 1].tolist() == [[255, 0, 0]] * 2


def test_all_are_decoded_in_the_cage() -> None:
    async def body(slots: DecodeSlots) -> None:
        for name, content in (*RARE.items(), *RARE_GREY.items(), *RARE_WITH_ALPHA.items()):
            made = await make_caged(slots, BytesSource(content()))
            assert made.source.kind == "image", name

    with_slots(body)


def test_a_targa_picture_is_known_by_its_head() -> None:
    """No video is taken for one: test_shapes.py."""
    assert is_targa(saved(photograph(), "TGA")[:HEAD_BYTES])


def test_planes_of_ten_bits_are_unsupported_and_not_shown_as_noise() -> None:
    content = tiff(np.zeros((48, 64, 3), np.uint16), planar=2)
    assert content.count(struct.pack("<3L", 16, 16, 16)) == 1
    ten_bits = content.replace(struct.pack("<3L", 16, 16, 16), struct.pack("<3L", 10, 10, 10))
    with pytest.raises(PermanentError, match="a TIFF picture of a rare depth or compression") as caught:
        make(ten_bits)
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED


@pytest.mark.parametrize("compression", [34712, 34934, 34933], ids=["jpeg 2000", "jpeg xr", "png"])
def test_tiles_that_only_others_unpack_are_unsupported_and_not_shown_black(compression: int) -> None:
    """OpenCV leaves them black, and says nothing."""
    tags = {256: [128], 257: [128], 258: [8] * 3, 259: [compression], 262: [2], 277: [3], 322: [64], 323: [64]}
    content = tiff_of_parts(tags, [b"not read" * 10] * 4)
    with pytest.raises(PermanentError, match="a TIFF picture of a rare depth or compression") as caught:
        make(content)
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED


def test_of_an_eps_drawing_the_preview_is_shown_and_called_one() -> None:
    made = make(eps_with_preview(saved(photograph(), "TIFF")))
    assert (made.source.kind, made.source.format, made.frame.method, made.degraded_reason) == (
        "image",
        "eps",
        "image-preview",
        "preview",
    )
    assert_upright(made)


def test_an_eps_drawing_whose_preview_is_none_is_unsupported_by_its_name() -> None:
    for content in (eps_with_preview(b""), eps_with_preview(saved(photograph(), "TIFF"))[:-100]):
        with pytest.raises(PermanentError, match="an EPS drawing without a preview") as caught:
            make(content)
        assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED
