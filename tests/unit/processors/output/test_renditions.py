"""Renditions: boxes that are fitted into or filled, edges without halos, sizes within their bytes, nothing but pixels."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from pydantic import ValidationError

from processors.output.geometry import fill, needed_size
from processors.output.renditions import main_index, parse_renditions
from processors.output.thumbhash import thumbhash
from processors.types import STANDARD_RENDITIONS, PictureFormat, Rendition, RenditionSpec
from service.demo.media import CORNERS, scene
from service.roles.decoding import build_spec
from service.settings import DecodeSettings
from tests.doubles.clips import clip
from tests.doubles.sources import colour_at, is_near, pixels_of
from tests.unit.processors.still.test_pictures import UNTURN, encoded, make

FORMATS = list(PictureFormat)


def test_a_list_of_renditions_is_read_from_text() -> None:
    assert parse_renditions("small:150x112:fit, medium:320x240,large:640x480:fit") == STANDARD_RENDITIONS
    assert parse_renditions("tile_2-a:64x64:fill") == (RenditionSpec("tile_2-a", 64, 64, "fill"),)
    assert parse_renditions("a:9x9:jpeg:84,b:9x9:fill:avif,c:9x9:webp:1") == (
        RenditionSpec("a", 9, 9, "fit", PictureFormat.JPEG, 84),
        RenditionSpec("b", 9, 9, "fill", PictureFormat.AVIF),
        RenditionSpec("c", 9, 9, "fit", PictureFormat.WEBP, 1),
    )


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "no rendition"),
        ("a", "no rendition"),
        ("a:10x10:stretch", "no rendition"),
        ("../a:10x10", "no rendition"),
        ("A:10x10", "no rendition"),
        ("a:10x10,", "no rendition"),
        ("a:10x10:png", "no rendition"),
        ("a:10x10:84", "no rendition"),
        ("a:10x10:jpeg:101", "1 to 100"),
        ("a:10x10:jpeg:0", "1 to 100"),
        ("a:0x10", "1 to 4096"),
        ("a:10x4097", "1 to 4096"),
        ("a:10x10,a:20x20", "'a'"),
        (",".join(f"r{number}:9x9" for number in range(17)), "at most 16"),
    ],
)
def test_what_is_no_list_of_renditions_is_told(text: str, reported: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=reported):
        parse_renditions(text)
    if text:
        monkeypatch.setenv("THUMBNAIL_RENDITIONS", text)
        with pytest.raises(ValidationError, match=reported):
            DecodeSettings()


def test_settings_reach_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "THUMBNAIL_RENDITIONS": "tile:64x64:fill",
        "THUMBNAIL_FORMAT": "avif",
        "THUMBNAIL_QUALITY": "55",
        "THUMBNAIL_EFFORT": "high",
        "THUMBNAIL_MAX_BYTES": "2048",
        "THUMBNAIL_ALPHA": "flatten",
        "THUMBNAIL_BACKGROUND": "#102030",
        "DECODE_MAX_SOURCE_BYTES": "1000",
        "DECODE_MAX_PIXELS": "1001",
        "DECODE_MAX_FRAMES": "1002",
        "DECODE_MAX_READS": "1003",
        "DECODE_MAX_READ_BYTES": "2000000",
    }.items():
        monkeypatch.setenv(name, value)
    spec = build_spec(DecodeSettings())
    assert spec.renditions == (RenditionSpec("tile", 64, 64, "fill"),)
    assert (spec.format, spec.quality, spec.max_rendition_bytes) == ("avif", 55, 2048)
    assert (spec.alpha, spec.background, spec.effort) == ("flatten", "102030", "high")
    assert (spec.max_source_bytes, spec.max_pixels, spec.max_frames) == (1000, 1001, 1002)
    assert (spec.max_reads, spec.max_bytes_read) == (1003, 2_000_000)


def test_without_any_setting_the_spec_is_the_standard_one() -> None:
    from processors.types import ThumbnailSpec

    assert build_spec(DecodeSettings()) == ThumbnailSpec()


def test_medium_stands_for_the_whole_and_the_middle_one_where_there_is_none() -> None:
    assert main_index(["large", "small", "medium"]) == 2
    assert main_index(["s", "m", "l"]) == 1
    assert main_index(["s", "l"]) == 1
    assert main_index(["only"]) == 0


@pytest.mark.parametrize("size", [(1280, 960), (1920, 1080), (1080, 1920), (500, 500), (333, 90), (7, 300), (1, 1)])
@pytest.mark.parametrize("box", [(320, 240), (64, 64), (100, 400)])
def test_a_filled_box_shows_the_middle_and_is_never_larger_than_the_picture(
    size: tuple[int, int], box: tuple[int, int]
) -> None:
    (width, height), (left, top, right, bottom) = fill(*size, *box)
    assert (width, height) == box or (width < box[0] and right - left <= size[0] and bottom - top <= size[1])
    assert width <= max(1, right - left + 0.5)
    assert height <= max(1, bottom - top + 0.5)
    assert (left + right, top + bottom) == pytest.approx(size)
    assert (right - left) / (bottom - top) == pytest.approx(box[0] / box[1])
    assert left == pytest.approx(0, abs=1e-6) or top == pytest.approx(0, abs=1e-6)


def test_a_picture_is_taken_large_enough_for_every_rendition() -> None:
    both = parse_renditions("a:320x240,b:300x300:fill")
    assert needed_size(1920, 1080, both) == (533, 300)
    assert needed_size(1080, 1920, both, is_turned=True) == (300, 533)
    assert needed_size(1920, 1080, parse_renditions("a:100x400")) == (100, 56)
    assert needed_size(1080, 1920, parse_renditions("a:100x400"), is_turned=True) == (56, 100)
    assert needed_size(100, 50, both) == (100, 50)


@pytest.mark.parametrize("kind", ["picture", "video"])
def test_fill_cuts_the_sides_off_and_fit_keeps_them(kind: str) -> None:
    pixels = np.full((360, 960, 3), (0, 0, 200), np.uint8)
    pixels[:, 300:660] = (200, 0, 0)
    pixels[150:210, 450:510] = (0, 200, 0)
    content = encoded(Image.fromarray(pixels)) if kind == "picture" else clip([pixels] * 3)
    square, whole = make(content, renditions=parse_renditions("square:240x240:fill,whole:480x480")).renditions
    assert (square.width, square.height) == (240, 240)
    assert (whole.width, whole.height) == (480, 180)
    for x, y in ((0.03, 0.03), (0.97, 0.97), (0.03, 0.97)):
        assert is_near(colour_at(pixels_of(square), x, y), (200, 0, 0))
        assert is_near(colour_at(pixels_of(whole), x, y), (0, 0, 200))
    assert is_near(colour_at(pixels_of(square), 0.5, 0.5), (0, 200, 0))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_box_is_filled_after_the_picture_was_turned(orientation: int) -> None:
    upright = Image.fromarray(scene(1280, 960, 0.3))
    turn = UNTURN[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if turn is None else upright.transpose(turn)
    content = encoded(stored, "JPEG", quality=92, exif=exif)
    wide = make(content, renditions=parse_renditions("wide:640x100:fill")).renditions[0]
    assert (wide.width, wide.height) == (640, 100)
    assert not is_near(colour_at(pixels_of(wide), 0.03, 0.1), CORNERS["top_left"]), "the corners are cut off"
    same = make(content, renditions=parse_renditions("same:640x480:fill")).renditions[0]
    assert is_near(colour_at(pixels_of(same), 0.03, 0.03), CORNERS["top_left"])


def test_a_small_picture_fills_as_much_of_the_box_as_it_can() -> None:
    image = Image.new("RGB", (200, 100), (9, 99, 199))
    made = make(encoded(image), renditions=parse_renditions("square:320x320:fill,small:50x50:fill"))
    assert [(r.width, r.height) for r in made.renditions] == [(100, 100), (50, 50)]


def a_disc(side: int = 640) -> Image.Image:
    """Red, on a green that is wholly transparent."""
    across = np.arange(side) - side / 2 + 0.5
    inside = across[:, None] ** 2 + across[None, :] ** 2 < (side * 0.4) ** 2
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[:, :, 1] = 255
    pixels[inside] = (255, 0, 0, 255)
    return Image.fromarray(pixels, "RGBA")


def on(rendition: Rendition, background: tuple[int, int, int]) -> Any:
    with Image.open(io.BytesIO(rendition.content)) as picture:
        flat = Image.new("RGBA", picture.size, (*background, 255))
        flat.alpha_composite(picture.convert("RGBA"))
    return np.asarray(flat.convert("RGB")).astype(int)


@pytest.mark.parametrize("picture_format", [known for known in PictureFormat if known.keeps_alpha])
@pytest.mark.parametrize("mode", ["fit", "fill"])
def test_hidden_colours_do_not_run_into_edges(picture_format: PictureFormat, mode: str) -> None:
    spec = parse_renditions(f"medium:80x80:{mode}")
    made = make(encoded(a_disc()), renditions=spec, format=picture_format, quality=95).renditions[0]
    black, white = on(made, (0, 0, 0)), on(made, (255, 255, 255))
    assert black[:, :, 1].max() < 50, "green shines on black"
    assert (white[:, :, 1] - white[:, :, 2]).max() < 50, "green shines on white"
    assert white[:, :, 0].min() > 200, "a dark rim: red and white both have all the red"


@pytest.mark.parametrize("picture_format", FORMATS)
def test_transparency_is_laid_on_the_background_where_that_is_wanted(picture_format: PictureFormat) -> None:
    made = make(encoded(a_disc()), format=picture_format, alpha="flatten", background="102080").renditions[1]
    pixels = pixels_of(made, "RGBA")
    assert pixels[:, :, 3].min() == 255
    assert is_near(colour_at(pixels, 0.02, 0.02)[:3], (0x10, 0x20, 0x80), 12)
    assert is_near(colour_at(pixels, 0.5, 0.5)[:3], (255, 0, 0), 12)
    assert pixels[:, :, 1].max() < 90, "no green at the edge"


def test_alpha_that_hides_nothing_is_not_encoded() -> None:
    made = make(encoded(Image.new("RGBA", (300, 200), (9, 99, 199, 255)))).renditions[1]
    with Image.open(io.BytesIO(made.content)) as picture:
        assert picture.mode == "RGB"


def noise(side: int) -> bytes:
    pixels = np.random.default_rng(5).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels))


@pytest.mark.parametrize("picture_format", FORMATS)
def test_a_rendition_stays_within_its_bytes(picture_format: PictureFormat) -> None:
    content = noise(480)
    free = make(content, format=picture_format).renditions[2]
    worse = make(content, format=picture_format, max_rendition_bytes=len(free.content) * 2 // 3).renditions[2]
    least = make(content, format=picture_format, max_rendition_bytes=2048).renditions
    assert len(worse.content) <= len(free.content) * 2 // 3
    assert (worse.width, worse.height) == (480, 480), "quality goes first"
    assert all(len(rendition.content) <= 2048 for rendition in least)
    assert 1 < least[2].width == least[2].height < 480, "then pixels do, and the aspect stays"


def test_sixteen_large_renditions_are_no_more_than_a_worker_takes() -> None:
    from processors.limits import MAX_RESULT_BYTES
    from processors.sandbox.wire import pack_result, unpack_result
    from processors.types import ThumbnailSpec

    spec = ThumbnailSpec(
        tuple(RenditionSpec(f"r{n}", 400, 400) for n in range(16)), format=PictureFormat.JPEG, quality=100
    )
    made = make(noise(400), renditions=spec.renditions, format=PictureFormat.JPEG, quality=100)
    packed = pack_result(made)
    assert len(packed) <= MAX_RESULT_BYTES
    assert unpack_result(packed, spec, made.bytes_read) == made


def test_quality_is_what_the_setting_says() -> None:
    content = encoded(Image.fromarray(scene(800, 600, 0.4)))
    low, high = (len(make(content, quality=quality).renditions[2].content) for quality in (20, 95))
    assert low * 2 < high


def test_the_placeholder_is_of_what_is_shown() -> None:
    pixels = np.full((300, 900, 3), (0, 0, 200), np.uint8)
    pixels[:, 300:600] = (200, 0, 0)
    made = make(encoded(Image.fromarray(pixels)), renditions=parse_renditions("a:300x300,medium:300x300:fill"))
    assert made.placeholder == thumbhash(Image.new("RGB", (300, 300), (200, 0, 0)))


SECRET = b"48.8584N 2.2945E"


def told_everything(image: Image.Image, picture_format: str) -> bytes:
    """A picture with EXIF, GPS, XMP, a colour profile and comments, as far as the format knows them."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 29: SECRET.decode()})
    options: dict[str, Any] = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    if picture_format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", SECRET.decode())
        text.add_itxt("XML:com.adobe.xmp", f"<x>{SECRET.decode()}</x>")
        options |= {"pnginfo": text, "exif": exif}
    elif picture_format == "TIFF":
        options |= {"tiffinfo": {270: SECRET.decode(), 700: SECRET, 33432: SECRET.decode()}, "exif": exif}
    else:
        options |= {"exif": exif, "xmp": b"<x>" + SECRET + b"</x>"}
    if picture_format == "JPEG":
        options["comment"] = SECRET
    return encoded(image, picture_format, **options)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("picture_format", FORMATS)
def test_nothing_but_pixels_leaves(source: str, picture_format: PictureFormat) -> None:
    content = told_everything(Image.fromarray(scene(400, 300, 0.4)), source)
    assert SECRET in content
    for rendition in make(content, format=picture_format).renditions:
        assert SECRET not in rendition.content
        with Image.open(io.BytesIO(rendition.content)) as picture:
            picture.load()
            assert len(picture.getexif()) == 0
            assert not {"exif", "xmp", "icc_profile", "comment"} & set(picture.info)
        for mark in (b"Exif", b"EXIF", b"ICC", b"XMP ", b"adobe.com", b"mime"):
            assert mark not in rendition.content
