"""Drawings keep every pixel where that costs nothing, and photographs stay as they are: judged by Pillow and by FFmpeg."""

import io
from typing import Any, Final, cast

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from processors.output.lossless import may_be_cheap, may_be_cheap_by_luma
from processors.output.renditions import parse_renditions
from processors.types import PictureFormat, Rendition
from service.demo.media import scene
from tests.doubles.clips import clip
from tests.unit.processors.still.test_pictures import encoded, make

Pixels = NDArray[np.uint8]
_PALETTE: Final = np.random.default_rng(2).integers(0, 256, (12, 3), np.uint8)


def icon(side: int) -> Image.Image:
    """Antialiased and transparent, as icons are drawn."""
    large = Image.new("RGBA", (side * 8, side * 8))
    draw = ImageDraw.Draw(large)
    draw.ellipse((side * 0.4, side * 0.4, side * 7.6, side * 7.6), fill=(30, 120, 220, 255))
    draw.rectangle((side * 3, side * 2, side * 5, side * 6), fill=(255, 255, 255, 255))
    draw.line((0, 0, side * 8, side * 8), fill=(220, 20, 20, 180), width=side // 2)
    return large.resize((side, side), Image.Resampling.BOX)


def code(modules: int, scale: int) -> Image.Image:
    """Black and white squares at random, as QR codes look to an encoder."""
    squares = np.random.default_rng(3).integers(0, 2, (modules, modules), np.uint8) * 255
    return Image.fromarray(np.kron(squares, np.ones((scale, scale), np.uint8)))


def pixel_art(side: int, scale: int = 1) -> Image.Image:
    """Of twelve colours."""
    numbers = np.random.default_rng(4).integers(0, 12, (side, side))
    return Image.fromarray(_PALETTE[np.kron(numbers, np.ones((scale, scale), int))])


def red_line(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).line((0, height // 2, width, height // 2), fill=(255, 0, 0))
    return image


def screen() -> Image.Image:
    """Lines of text in three colours, with the grey rims of its letters."""
    image = Image.new("RGB", (480, 320), (30, 30, 36))
    draw = ImageDraw.Draw(image)
    for line in range(20):
        colour = [(220, 220, 220), (120, 200, 120), (200, 160, 90)][line % 3]
        draw.text(
            (8, 16 * line), f"{line:3} a line of the log of a program", fill=colour, font=ImageFont.load_default(13)
        )
    return image


def photograph(width: int = 320, height: int = 240) -> Image.Image:
    """With a sensor's noise."""
    noise = np.random.default_rng(5).normal(0, 3, (height, width, 3))
    return Image.fromarray((scene(width, height, 0.4) + noise).clip(0, 255).astype(np.uint8))


def clouds(width: int = 320, height: int = 240) -> Image.Image:
    """Detail at every scale."""
    generator, total = np.random.default_rng(6), np.zeros((height, width, 3))
    for patches, share in ((4, 90.0), (16, 50.0), (64, 26.0), (240, 9.0)):
        grain = Image.fromarray(generator.integers(0, 256, (patches, patches, 3), np.uint8))
        total += share * (np.asarray(grain.resize((width, height), Image.Resampling.BICUBIC)) / 127.5 - 1)
    return Image.fromarray((total + 118).clip(0, 255).astype(np.uint8))


def on_white() -> Image.Image:
    page = Image.new("RGB", (480, 400), "white")
    page.paste(clouds(220, 180), (130, 110))
    return page


def by_pillow(content: bytes) -> Pixels:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGBA"))


def by_ffmpeg(content: bytes) -> Pixels:
    context = VideoCodecContext.create("webp", "r")
    frames: list[Any] = context.decode(av.Packet(content)) or context.decode(None)
    return cast(Pixels, frames[0].reformat(format="rgba").to_ndarray())


def assert_same(shown: Pixels, image: Image.Image) -> None:
    """Every visible pixel is the picture's own; of those that are wholly transparent, that they are."""
    wanted = np.asarray(image.convert("RGBA"))
    assert shown.shape == wanted.shape
    assert (shown[..., 3] == wanted[..., 3]).all()
    visible = wanted[..., 3] > 0
    assert (shown[visible] == wanted[visible]).all()


def as_lossy(image: Image.Image, quality: int = 80) -> bytes:
    return encoded(image, "WEBP", quality=quality, method=2)


def is_lossless(rendition: Rendition) -> bool:
    """By the name of the chunk of pixels: VP8L, or the lossy VP8."""
    return b"VP8L" in rendition.content[:64]


def assert_like(made: Rendition, lossy: bytes) -> None:
    """Lossy, as large as Pillow's own file and with the same pixels, but for how the colours of two pixels become one."""
    assert not is_lossless(made)
    assert abs(len(made.content) - len(lossy)) <= max(0.07 * len(lossy), 64)
    difference = by_pillow(made.content).astype(int) - by_pillow(lossy)
    assert np.abs(difference).mean() < 4
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.7, "no colour shifts"


DRAWINGS: Final = {
    **{f"icon of {side}": icon(side) for side in (16, 24, 32, 48, 64, 128)},
    **{
        f"code of {modules} x {scale}": code(modules, scale) for modules, scale in ((21, 1), (33, 3), (33, 8), (101, 3))
    },
    **{f"pixel art of {side}": pixel_art(side) for side in (4, 6, 8, 16, 32, 64, 128, 300)},
    "pixel art enlarged": pixel_art(32, 8),
    "little red line": red_line(16, 16),
    "red line": red_line(600, 400),
    "one pixel high": Image.fromarray(_PALETTE[np.arange(200) // 20 % 12][None]),
    "one pixel wide": Image.fromarray(_PALETTE[np.arange(200) // 20 % 12][:, None]),
    "one pixel": Image.new("RGB", (1, 1), (200, 30, 30)),
    "one colour": Image.new("RGB", (640, 480), (200, 30, 30)),
    "nothing": Image.new("RGBA", (48, 48)),
    "black and white dots": clouds().convert("1"),
    "palette": photograph().quantize(8, dither=Image.Dither.NONE),
    "gradient": Image.fromarray(np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))),
    "screen": screen(),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_keeps_every_pixel(name: str) -> None:
    drawing = DRAWINGS[name]
    made = make(encoded(drawing)).renditions[2]
    assert_same(by_pillow(made.content), drawing)
    assert_same(by_ffmpeg(made.content), drawing)
    lossy = len(as_lossy(drawing.convert("RGBA" if drawing.mode == "RGBA" else "RGB")))
    assert len(made.content) <= max(lossy * 1.25, lossy + 512)


@pytest.mark.parametrize("picture_format", ["GIF", "BMP", "TIFF", "ICO", "TGA", "PCX", "WEBP"])
def test_whichever_file_holds_it(picture_format: str) -> None:
    drawing = pixel_art(64)
    options: dict[str, Any] = {"lossless": True} if picture_format == "WEBP" else {}
    if picture_format == "ICO":
        options = {"sizes": [(64, 64)]}
    assert_same(by_ffmpeg(make(encoded(drawing, picture_format, **options)).renditions[2].content), drawing)


def test_the_poster_of_an_animation_keeps_every_pixel() -> None:
    frames = [pixel_art(64), code(32, 2).convert("RGB")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    assert_same(by_ffmpeg(make(content).renditions[2].content), frames[0])


def test_what_is_flattened_is_exact_on_its_background() -> None:
    flat = Image.new("RGBA", (48, 48), (0x10, 0x20, 0x80, 255))
    flat.alpha_composite(icon(48))
    made = make(encoded(icon(48)), alpha="flatten", background="102080").renditions[2]
    assert is_lossless(made)
    assert np.abs(by_ffmpeg(made.content).astype(int) - np.asarray(flat)).max() <= 1, "rounded once"


def test_a_scaled_code_can_be_told_from_grey() -> None:
    made = make(encoded(code(33, 30))).renditions
    assert [rendition.width for rendition in made] == [112, 240, 480]
    assert is_lossless(made[2])
    squares, shown = np.asarray(code(33, 1)), by_ffmpeg(made[2].content)[..., 0]
    centres = ((np.arange(33) + 0.5) * 480 / 33).astype(int)
    assert (shown[np.ix_(centres, centres)] == squares).all()


@pytest.mark.parametrize("quality", [80, 95])
@pytest.mark.parametrize(
    "image",
    [photograph(), clouds(), clouds().convert("L"), clouds().point(lambda value: value // 6), on_white()],
    ids=["noise", "clouds", "grey", "dark", "on white"],
)
def test_a_photograph_is_encoded_as_ever_and_not_tried(image: Image.Image, quality: int) -> None:
    made = make(encoded(image), quality=quality).renditions[2]
    lossy = as_lossy(image.convert("RGB"), quality)
    assert_like(made, lossy)
    assert not may_be_cheap(image.convert("RGB"), len(lossy))
    if quality == 80:
        assert not may_be_cheap_by_luma(np.asarray(image.convert("L")), len(lossy)), "not even drawn in RGB for it"


@pytest.mark.parametrize("side", [24, 32, 64])
def test_a_tiny_photograph_is_encoded_as_ever(side: int) -> None:
    image = clouds().resize((side, side), Image.Resampling.BOX)
    assert_like(make(encoded(image)).renditions[2], as_lossy(image))


def test_a_palette_of_many_dithered_colours_is_no_drawing() -> None:
    dithered = clouds(480, 360).quantize(256)
    assert_like(make(encoded(dithered)).renditions[2], as_lossy(dithered.convert("RGB")))


def test_no_lossless_file_is_much_larger_than_the_lossy_one() -> None:
    for drawing in (pixel_art(300), code(33, 12), screen(), icon(256)):
        lossless = [made for made in make(encoded(drawing)).renditions if is_lossless(made)]
        lossy = {made.name: made for made in make(clip([np.asarray(drawing.convert("RGB"))] * 3)).renditions}
        assert lossless
        for made in lossless:
            bound = len(lossy[made.name].content)
            if drawing.mode == "RGBA":
                bound = len(as_lossy(Image.fromarray(by_pillow(made.content))))
            assert len(made.content) <= max(bound * 1.25, bound + 512), (made.name, made.width)


def test_a_frame_of_a_video_stays_lossy() -> None:
    made = make(clip([np.asarray(code(33, 8).convert("RGB"))] * 3)).renditions
    assert not any(is_lossless(rendition) for rendition in made)


@pytest.mark.parametrize("picture_format", [PictureFormat.JPEG, PictureFormat.AVIF])
def test_other_formats_are_encoded_as_ever(picture_format: PictureFormat) -> None:
    drawing = pixel_art(64)
    made = make(encoded(drawing), format=picture_format).renditions[2]
    assert made.content == encoded(drawing, picture_format.name, quality=80, **picture_format.options_by_effort["low"])


def test_a_lossless_file_stays_within_the_bytes_of_a_rendition() -> None:
    drawing = pixel_art(300)
    spec = {"renditions": parse_renditions("only:640x480")}
    free = len(make(encoded(drawing), **spec).renditions[0].content)
    exact = make(encoded(drawing), max_rendition_bytes=free, **spec).renditions[0]
    assert_same(by_pillow(exact.content), drawing)
    less = make(encoded(drawing), max_rendition_bytes=free - 1, **spec).renditions[0]
    assert len(less.content) < free


def test_a_lossless_file_has_nothing_but_pixels() -> None:
    exif = Image.Exif()
    exif[0x010E] = "48.8584N 2.2945E"
    made = make(encoded(pixel_art(32), exif=exif, icc_profile=b"")).renditions[2]
    assert is_lossless(made)
    assert b"48.8584N" not in made.content
    assert b"EXIF" not in made.content
