"""Photographs' colours, kinds of pixels, alpha and orientation, read back from what is handed to the encoders."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from processors.source_file import SourceFile
from processors.still.ladder import decode_still
from processors.thumbnails import create_thumbnails
from processors.types import PictureFormat, RenditionSpec, ThumbnailSpec
from processors.video.pyav import take_deep
from service.demo.media import CORNERS, scene
from tests.doubles import coded_clips as coded
from tests.doubles import profiles
from tests.doubles.coded_clips import Coding, deep_avif, light_of, pq_of, srgb_of
from tests.doubles.containers import with_chunk, with_code_points
from tests.doubles.decoded import shown_by
from tests.doubles.sources import BytesSource, colour_at, is_near

BANDS = ((255, 255, 255), (118, 118, 118), (200, 60, 30), (40, 170, 60), (40, 80, 220), (20, 20, 20))
GREYS = (255, 118, 60, 0)

# Light of sRGB as light of wider gamuts: Lindbloom's tables.
IN_ADOBE = np.array([[0.71512, 0.28488, 0.0], [0.0, 1.0, 0.0], [0.0, 0.04116, 0.95884]])
_SRGB_AT_D50 = np.array([(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]).T
IN_PROPHOTO = np.linalg.inv(np.array(profiles.PROPHOTO).T) @ _SRGB_AT_D50


def bands(colours: Sequence[Any] = BANDS, size: int = 240) -> NDArray[np.uint8]:
    """One band of each colour, from the top down."""
    return np.repeat(np.array(colours, np.uint8), size // len(colours), axis=0)[:, None].repeat(size, axis=1)


def taken(content: bytes, box: int = 480) -> Image.Image:
    spec = ThumbnailSpec((RenditionSpec("only", box, box),))
    return shown_by(decode_still(SourceFile(BytesSource(content)), spec, take_deep))


def encoded(image: Image.Image, picture_format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, picture_format, **options)
    return out.getvalue()


def assert_bands(image: Image.Image, wanted: Sequence[tuple[int, ...]] = BANDS, tolerance: int = 4) -> None:
    assert image.mode == "RGB"
    pixels = np.asarray(image)
    for number, colour_wanted in enumerate(wanted):
        found = colour_at(pixels, 0.5, (number + 0.5) / len(wanted))
        assert is_near(found, colour_wanted, tolerance), (found, colour_wanted)


def in_gamut(matrix: NDArray[np.float64], gamma: float) -> Image.Image:
    """The bands with other primaries and a plain exponent."""
    light = np.clip(light_of(bands()) @ matrix.T, 0, 1)
    return Image.fromarray(np.rint(255 * light ** (1 / gamma)).astype(np.uint8))


WIDE = {
    "Display P3": (profiles.DISPLAY_P3, coded.IN_P3, 2.2),
    "Adobe RGB": (profiles.ADOBE_RGB, IN_ADOBE, 563 / 256),
    "ProPhoto": (profiles.PROPHOTO, IN_PROPHOTO, 1.8),
}


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("name", WIDE)
def test_an_embedded_profile_is_undone(name: str, picture_format: str) -> None:
    columns, matrix, gamma = WIDE[name]
    options: dict[str, Any] = {
        "JPEG": {"quality": 98, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 98},
    }
    content = encoded(
        in_gamut(matrix, gamma),
        picture_format,
        icc_profile=profiles.rgb_profile(columns, gamma),
        **options.get(picture_format, {}),
    )
    assert_bands(taken(content), tolerance=8)


def test_an_embedded_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert_bands(taken(encoded(Image.fromarray(bands()), icc_profile=profile)), tolerance=1)


def test_a_profile_is_applied_beside_alpha() -> None:
    image = in_gamut(*WIDE["Adobe RGB"][1:])
    image.putalpha(128)
    found = taken(encoded(image, icc_profile=profiles.rgb_profile(profiles.ADOBE_RGB, 563 / 256)))
    assert found.mode == "RGBA"
    assert found.getchannel("A").getextrema() == (128, 128)
    assert_bands(found.convert("RGB"), tolerance=6)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "RGB"])
def test_a_grey_profile_is_undone(mode: str) -> None:
    linear = np.rint(255 * light_of(bands([(grey,) * 3 for grey in GREYS]))[..., 0]).astype(np.uint8)
    image = Image.fromarray(linear)
    if mode == "I;16":
        image = Image.fromarray(linear.astype(np.uint16) * 257)
    elif mode != "L":
        image = image.convert(mode)
    content = encoded(image, icc_profile=profiles.grey_profile(1.0))
    assert_bands(taken(content), [(grey,) * 3 for grey in GREYS])


def test_a_colour_profile_on_a_grey_picture_is_applied() -> None:
    grey = Image.fromarray(bands([(grey,) * 3 for grey in GREYS])[..., 0])
    content = encoded(grey, "JPEG", quality=98, icc_profile=profiles.rgb_profile(profiles.ADOBE_RGB, 563 / 256))
    assert_bands(taken(content), [(grey,) * 3 for grey in GREYS])


@pytest.mark.parametrize("bits", [24, 32])
def test_a_profile_in_a_bitmap_is_heeded(bits: int) -> None:
    """In Windows' fifth header, as Chromium has it; with 32 bits a pixel by masks, which Pillow does not read."""
    picture = in_gamut(IN_PROPHOTO, 1.8)
    red, green, blue = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).split()
    other = [] if bits == 24 else [Image.new("L", picture.size, 255)]
    pixels = np.dstack([np.asarray(band) for band in (*other, blue, green, red)]).tobytes()
    profile = profiles.rgb_profile(profiles.PROPHOTO, 1.8)
    masks = (0, 0, 0, 0) if bits == 24 else (0xFF000000, 0xFF0000, 0xFF00, 0xFF)
    info = struct.pack(
        "<LllHHL5L4L4s", 124, *picture.size, 1, bits, 0 if bits == 24 else 3, 0, 0, 0, 0, 0, *masks, b"DEBM"
    )
    info += bytes(48) + struct.pack("<4L", 0, 124 + len(pixels), len(profile), 0)
    content = b"BM" + struct.pack("<3L", 138 + len(pixels) + len(profile), 0, 138) + info + pixels + profile
    assert_bands(taken(content))
    assert taken(content[:-1]).getpixel((0, 200)) != taken(content).getpixel((0, 200))


INKS = ((0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 0, 255))


@pytest.mark.parametrize("picture_format", ["JPEG", "TIFF"])
def test_ink_goes_through_its_own_profile(picture_format: str) -> None:
    image = Image.fromarray(bands(INKS), "CMYK")
    options: dict[str, Any] = {"quality": 98} if picture_format == "JPEG" else {}
    content = encoded(image, picture_format, icc_profile=profiles.ink_profile(), **options)
    assert_bands(taken(content), [(255, 255, 255), (118, 118, 118), (198, 198, 198), (0, 0, 0)], 6)


def test_ink_without_a_profile_is_plainly_subtracted() -> None:
    # Pillow writes Adobe's inverted numbers, as Photoshop does.
    content = encoded(Image.fromarray(bands(INKS), "CMYK"), "JPEG", quality=98)
    assert b"Adobe" in content
    assert_bands(taken(content), [(255, 255, 255), (0, 255, 255), (255, 0, 255), (0, 0, 0)], 8)


@pytest.mark.parametrize(
    "profile", [b"not a profile", b"\0" * 5000, profiles.ink_profile(), profiles.grey_profile(1.0)]
)
def test_profiles_that_are_broken_or_for_other_pictures_leave_the_plain_numbers(profile: bytes) -> None:
    assert_bands(taken(encoded(Image.fromarray(bands()), icc_profile=profile)), tolerance=1)
    half = profiles.rgb_profile(profiles.ADOBE_RGB, 2.2)[:300]
    assert_bands(taken(encoded(Image.fromarray(bands()), icc_profile=half)), tolerance=1)


def test_a_transform_is_built_once_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []
    real = ImageCms.profileToProfile

    def counted(*values: Any, **named: Any) -> Any:
        built.append(values)
        return real(*values, **named)

    monkeypatch.setattr(ImageCms, "profileToProfile", counted)
    content = encoded(in_gamut(*WIDE["Adobe RGB"][1:]), icc_profile=profiles.rgb_profile(profiles.ADOBE_RGB, 2.2))
    create_thumbnails(BytesSource(content), ThumbnailSpec())
    assert len(built) == 1


def test_lab_pictures_are_shown() -> None:
    lab = ImageCms.profileToProfile(
        Image.fromarray(bands()), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    assert_bands(taken(encoded(lab, "TIFF")), tolerance=8)


@pytest.mark.parametrize("how", ["space 2", "R03"])
def test_a_camera_says_adobe_rgb_by_exif_alone(how: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 2 if how == "space 2" else 0xFFFF
    if how == "R03":
        exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    content = encoded(in_gamut(IN_ADOBE, 563 / 256), "JPEG", quality=98, subsampling=0, exif=exif)
    assert_bands(taken(content), tolerance=8)


def test_srgb_by_exif_is_believed() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 1
    content = encoded(Image.fromarray(bands()), "JPEG", quality=98, subsampling=0, exif=exif)
    assert_bands(taken(content), tolerance=6)


def test_the_gamma_of_a_png_is_undone_and_its_srgb_chunk_goes_first() -> None:
    content = with_chunk(encoded(in_gamut(np.eye(3), 1.0)), b"gAMA", (100000).to_bytes(4))
    assert_bands(taken(content), tolerance=8)  # eight bits of plain light are coarse in the dark
    plain = with_chunk(encoded(Image.fromarray(bands())), b"gAMA", (100000).to_bytes(4))
    assert_bands(taken(with_chunk(plain, b"sRGB", b"\0")), tolerance=1)


def test_the_primaries_of_a_png_are_undone() -> None:
    wide = Image.fromarray(np.rint(255 * srgb_of(light_of(bands()) @ IN_ADOBE.T)).astype(np.uint8))
    content = with_chunk(encoded(wide), b"gAMA", (45455).to_bytes(4))
    points = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    assert_bands(taken(with_chunk(content, b"cHRM", struct.pack(">8I", *points))), tolerance=6)
    assert_bands(taken(with_chunk(encoded(Image.fromarray(bands())), b"cHRM", bytes(32))), tolerance=1)


def test_another_white_in_a_png_becomes_white() -> None:
    content = with_chunk(encoded(in_gamut(IN_PROPHOTO, 1.8)), b"gAMA", (55556).to_bytes(4))
    points = (34570, 35850, 73470, 26530, 15960, 84040, 3660, 10)  # ProPhoto's, by the light of D50
    assert_bands(taken(with_chunk(content, b"cHRM", struct.pack(">8I", *points))), tolerance=6)


def test_the_code_points_of_a_png_go_before_its_profile() -> None:
    light = light_of(bands()) @ coded.IN_BT2020.T
    hdr = Image.fromarray(np.rint(255 * pq_of(light * 203)).astype(np.uint8))
    content = encoded(hdr, icc_profile=profiles.rgb_profile(profiles.ADOBE_RGB, 2.2))
    assert_bands(taken(with_chunk(content, b"cICP", bytes((9, 16, 0, 1)))), tolerance=10)
    wide = Image.fromarray(np.rint(255 * srgb_of(light_of(bands()) @ coded.IN_P3.T)).astype(np.uint8))
    content = encoded(wide, icc_profile=profiles.rgb_profile(profiles.ADOBE_RGB, 2.2))
    assert_bands(taken(with_chunk(content, b"cICP", bytes((12, 13, 0, 1)))))


@pytest.mark.parametrize("transfer", [coded.PQ, coded.HLG])
def test_an_hdr_avif_of_ten_bits_looks_like_the_sdr_of_it(transfer: int) -> None:
    light = light_of(bands()) @ coded.IN_BT2020.T * 203
    rgb = pq_of(light) if transfer == coded.PQ else coded.hlg_of(light)
    coding = Coding("2020", False, 10, coded.BT2020, coded.LIMITED, coded.BT2020, transfer)
    assert_bands(taken(deep_avif(rgb, coding)), tolerance=12)


def test_a_wide_gamut_of_an_avif_is_undone() -> None:
    wide = Image.fromarray(np.rint(255 * srgb_of(light_of(bands()) @ coded.IN_P3.T)).astype(np.uint8))
    assert_bands(taken(with_code_points(encoded(wide, "AVIF", quality=98), 12, 13)), tolerance=8)


def rgb16_png(values: NDArray[np.uint16]) -> bytes:
    """A PNG of 16 bits a channel (2, 3 or 4 channels: grey with alpha, RGB, RGBA), which Pillow cannot write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bits_a_channel_are_kept_in_their_high_bytes() -> None:
    deep = bands().astype(np.uint16) * 257
    assert_bands(taken(rgb16_png(deep)), tolerance=1)
    alpha = np.full(deep.shape[:2], 0x8080, np.uint16)
    found = taken(rgb16_png(np.dstack([deep, alpha])))
    assert found.mode == "RGBA"
    assert_bands(found.convert("RGB"), tolerance=2)
    grey = np.dstack([deep[..., 0], alpha])
    assert is_near(colour_at(np.asarray(taken(rgb16_png(grey))), 0.5, 0.25), (118, 118, 118, 128), 2)


def test_one_transparent_colour_of_a_deep_png_is_transparent() -> None:
    content = with_chunk(
        rgb16_png(bands().astype(np.uint16) * 257), b"tRNS", struct.pack(">3H", 200 * 257, 60 * 257, 30 * 257)
    )
    found = np.asarray(taken(content))
    assert colour_at(found, 0.5, 2.5 / 6)[3] == 0
    assert colour_at(found, 0.5, 0.5 / 6) == (255, 255, 255, 255)


@pytest.mark.parametrize(
    "kind", ["uint16", "int32 of 8 bits", "int32 of 16", "float to 1", "float to 255", "float to 9000"]
)
def test_deep_grey_is_scaled_to_what_it_means(kind: str) -> None:
    grey = bands([(grey,) * 3 for grey in GREYS])[..., 0]
    values: Any = {
        "uint16": grey.astype(np.uint16) * 257,
        "int32 of 8 bits": grey.astype(np.int32),
        "int32 of 16": grey.astype(np.int32) * 257,
        "float to 1": (grey / 255).astype(np.float32),
        "float to 255": grey.astype(np.float32),
        "float to 9000": (grey / 255 * 300000).astype(np.float32),
    }[kind]
    assert_bands(taken(encoded(Image.fromarray(values), "TIFF")), [(grey,) * 3 for grey in GREYS], 1)


def test_numbers_that_are_none_are_black() -> None:
    values = np.full((64, 64), 0.5, np.float32)
    values[:32] = np.nan
    values[:8] = np.inf
    pixels = np.asarray(taken(encoded(Image.fromarray(values), "TIFF")))
    assert colour_at(pixels, 0.5, 0.05) == (0, 0, 0)
    assert is_near(colour_at(pixels, 0.5, 0.8), (128, 128, 128), 2)


def kinds_of_transparency() -> dict[str, bytes]:
    """The same picture: its upper half invisible, its lower half red."""
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[32:] = (255, 0, 0, 255)
    rgba = Image.fromarray(picture)
    palette = Image.new("P", rgba.size)
    palette.putpalette([0, 255, 0, 255, 0, 0])
    palette.paste(1, (0, 32, 64, 64))
    keyed = Image.new("RGB", rgba.size, (0, 255, 0))
    keyed.paste((255, 0, 0), (0, 32, 64, 64))
    return {
        "RGBA": encoded(rgba),
        "palette, one colour": encoded(palette, transparency=0),
        "palette, a table": encoded(palette, transparency=b"\0\xff"),
        "TIFF": encoded(rgba, "TIFF"),
        "RGB, one colour": encoded(keyed, transparency=(0, 255, 0)),
        "GIF": encoded(palette, "GIF", transparency=0),
        "WebP": encoded(rgba, "WEBP", lossless=True),
        "AVIF": encoded(rgba, "AVIF", quality=95),
    }


@pytest.mark.parametrize("kind", kinds_of_transparency())
def test_every_kind_of_transparency_becomes_straight_alpha(kind: str) -> None:
    found = taken(kinds_of_transparency()[kind])
    assert found.mode == "RGBA"
    pixels = np.asarray(found)
    assert colour_at(pixels, 0.5, 0.2)[3] < 4
    assert is_near(colour_at(pixels, 0.5, 0.8), (255, 0, 0, 255), 6)


def test_grey_with_alpha_and_one_bit_are_shown() -> None:
    half = Image.new("LA", (64, 64), (118, 100))
    assert is_near(colour_at(np.asarray(taken(encoded(half))), 0.5, 0.5), (118, 118, 118, 100), 1)
    checks = np.indices((640, 640)).sum(axis=0) % 2 == 0
    found = taken(encoded(Image.fromarray(checks)), box=64)
    assert is_near(colour_at(np.asarray(found), 0.5, 0.5), (128, 128, 128), 4), "bits are mixed to greys"


def test_alpha_that_hides_nothing_is_dropped() -> None:
    assert taken(encoded(Image.new("RGBA", (64, 64), (9, 9, 9, 255)))).mode == "RGB"
    assert taken(encoded(Image.new("LA", (64, 64), (9, 255)))).mode == "RGB"


@pytest.mark.parametrize("box", [60, 61, 300])
@pytest.mark.parametrize("picture_format", ["PNG", "WEBP", "TIFF"])
def test_a_red_disc_on_invisible_green_has_no_green_rim(picture_format: str, box: int) -> None:
    picture = np.zeros((480, 480, 4), np.uint8)
    picture[..., 1] = 255
    y, x = np.mgrid[:480, :480] - 240
    picture[x * x + y * y < 200**2] = (255, 0, 0, 255)
    options: Any = {"lossless": True, "exact": True} if picture_format == "WEBP" else {}
    found = np.asarray(taken(encoded(Image.fromarray(picture), picture_format, **options), box))
    assert found.shape == (box, box, 4)
    rim = found[(found[..., 3] > 0) & (found[..., 3] < 255)]
    assert len(rim) > 20
    assert rim[:, 1].max() < 16
    assert rim[rim[:, 3] > 8][:, 0].min() > 230


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("picture_format", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientations_of_other_formats_are_undone(orientation: int, picture_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(scene(256, 192, 0.5)).transpose(TURNS[orientation])
    options: Any = {"lossless": True} if picture_format == "WEBP" else {}
    found = taken(encoded(stored, picture_format, exif=exif, **options))
    assert found.size == (256, 192)
    pixels = np.asarray(found)
    places = {
        "top_left": (0.03, 0.03),
        "top_right": (0.97, 0.03),
        "bottom_left": (0.03, 0.97),
        "bottom_right": (0.97, 0.97),
    }
    for name, place in places.items():
        assert is_near(colour_at(pixels, *place), CORNERS[name], 25), name


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_nothing_but_pixels_is_handed_on(picture_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "SECRET description"
    exif.get_ifd(0x8825)[1] = "N"
    content = encoded(
        Image.fromarray(scene(256, 192, 0.5)),
        picture_format,
        exif=exif,
        icc_profile=profiles.rgb_profile(profiles.DISPLAY_P3, 2.2),
    )
    image = taken(content)
    assert image.info == {}
    assert not image.getexif()
    for wanted in PictureFormat:
        made = create_thumbnails(BytesSource(content), ThumbnailSpec(format=wanted))
        for rendition in made.renditions:
            assert b"SECRET" not in rendition.content
            with Image.open(io.BytesIO(rendition.content)) as opened:
                assert not set(opened.info) & {"exif", "icc_profile", "xmp", "comment"}
