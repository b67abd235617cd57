"""Videos' colours: coded by the standards' formulas, read back from thumbnails."""

from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from processors.source_file import SourceFile
from processors.thumbnails import create_thumbnails
from processors.types import STANDARD_RENDITIONS, FrameDecoder, RenditionSpec, ThumbnailSpec
from processors.video.pixels import FrameShape, judged_luma, mark_matrix, upright_picture
from processors.video.pyav import decode_video
from tests.doubles import coded_clips as coded
from tests.doubles.clips import clip
from tests.doubles.coded_clips import Coding, alpha_clip, coded_clip, hdr_clip, light_of, srgb_of
from tests.doubles.decoded import shown_by
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of

DECODERS: list[FrameDecoder] = ["pyav", "opencv"]
BANDS = ((255, 255, 255), (118, 118, 118), (200, 60, 30), (40, 170, 60), (40, 80, 220), (20, 20, 20))
"""White, mid-grey (18 % of its light), three saturated colours, near black."""
MARKS = {"601": coded.BT601, "709": coded.BT709, "2020": coded.BT2020}


def bands(width: int = 320, height: int = 240) -> NDArray[np.uint8]:
    """One band of each colour, from the top down."""
    picture = np.zeros((height, width, 3), np.uint8)
    for number, colour in enumerate(BANDS):
        picture[number * height // len(BANDS) : (number + 1) * height // len(BANDS)] = colour
    return picture


def shown(content: bytes, mode: str = "RGB", **spec: Any) -> NDArray[np.uint8]:
    spec.setdefault("decoder", "pyav")
    made = create_thumbnails(BytesSource(content), ThumbnailSpec(quality=100, **spec))
    return pixels_of(made.renditions[2], mode)


def colours(pixels: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    return [colour_at(pixels, 0.5, (number + 0.5) / len(BANDS)) for number in range(len(BANDS))]


def assert_bands(pixels: NDArray[np.uint8], tolerance: int = 6) -> None:
    for found, wanted in zip(colours(pixels), BANDS, strict=True):
        assert is_near(found, wanted, tolerance), (found, wanted)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("matrix", MARKS)
def test_a_marked_matrix_and_range_are_undone(matrix: str, is_full: bool, decoder: FrameDecoder) -> None:
    coding = Coding(matrix, is_full, marked_matrix=MARKS[matrix], marked_range=coded.FULL if is_full else coded.LIMITED)
    assert_bands(shown(coded_clip(bands() / 255, coding), decoder=decoder))


@pytest.mark.parametrize(("size", "matrix"), [((320, 240), "601"), ((720, 576), "601"), ((1280, 720), "709")])
def test_an_unmarked_video_has_the_matrix_that_is_usual_for_its_size(size: tuple[int, int], matrix: str) -> None:
    assert_bands(shown(coded_clip(bands(*size) / 255, Coding(matrix))))


def test_a_small_video_marked_as_709_and_a_large_one_as_601_are_believed() -> None:
    assert_bands(shown(coded_clip(bands() / 255, Coding("709", marked_matrix=coded.BT709))))
    assert_bands(shown(coded_clip(bands(1280, 720) / 255, Coding("601", marked_matrix=coded.BT601))))


def test_the_gamut_tells_an_unmarked_matrix() -> None:
    coding = Coding("2020", bits=10, primaries=coded.BT2020, transfer=coded.BT709)
    rgb = srgb_of(light_of(bands()) @ coded.IN_BT2020.T)
    assert_bands(shown(coded_clip(rgb, coding)))


def test_old_codecs_are_601_at_any_size() -> None:
    frame = coded.coded_frame(bands(1280, 720) / 255, Coding("601"))
    mark_matrix(frame, "vp8")
    assert frame.colorspace == coded.BT601


@pytest.mark.parametrize("unknown", [0, 3, 8, 10, 11, 12, 13, 14, 15])
def test_a_matrix_that_swscale_refuses_is_taken_as_the_usual_one(unknown: int) -> None:
    frame = coded.coded_frame(bands(1280, 720) / 255, Coding("709", marked_matrix=unknown))
    image, _ = upright_picture(frame, FrameShape("h264", None, None), STANDARD_RENDITIONS)
    assert_bands(np.asarray(image), 60 if unknown == 10 else 6)  # 10 is BT.2020's other one
    assert judged_luma(frame).shape == (90, 160)


def test_a_file_with_a_matrix_that_swscale_refuses_has_a_thumbnail() -> None:
    assert_bands(shown(coded_clip(bands(1280, 720) / 255, Coding("709", marked_matrix=8))))


def test_rgb_in_a_video_stays_as_it_is() -> None:
    content = clip([bands()] * 2, "libx264rgb", pixels="rgb24")
    assert_bands(shown(content))


@pytest.mark.parametrize(("primaries", "gamut"), [(coded.DISPLAY_P3, coded.IN_P3), (coded.BT2020, coded.IN_BT2020)])
def test_a_wide_gamut_is_brought_into_srgbs(primaries: int, gamut: NDArray[np.float64]) -> None:
    rgb = srgb_of(light_of(bands()) @ gamut.T)
    matrix = "709" if primaries == coded.DISPLAY_P3 else "2020"
    coding = Coding(matrix, False, 10, MARKS[matrix], coded.LIMITED, primaries, coded.BT709)
    assert_bands(shown(coded_clip(rgb, coding)))


def test_colours_beyond_srgb_keep_their_hue() -> None:
    rgb = np.zeros((240, 320, 3))
    rgb[..., 1] = 0.9  # a green that no sRGB screen has
    coding = Coding("2020", False, 10, coded.BT2020, coded.LIMITED, coded.BT2020, coded.BT709)
    red, green, blue = colour_at(shown(coded_clip(rgb, coding)), 0.5, 0.5)
    assert green > 200
    assert max(red, blue) < 140


HDR = [coded.PQ, coded.HLG]


@pytest.mark.parametrize("transfer", HDR)
def test_hdr_under_reference_white_looks_like_the_sdr_of_it(transfer: int) -> None:
    assert_bands(shown(hdr_clip(light_of(bands()), transfer)), 5)


@pytest.mark.parametrize("transfer", HDR)
def test_highlights_leave_what_is_lit_evenly_alone(transfer: int) -> None:
    light = light_of(bands())
    light[:, :60] = 1000 / 203
    pixels = shown(hdr_clip(light, transfer))
    white, *others = colours(pixels)
    assert is_near(white, (235, 235, 235), 12), "reference white is nearly white, and leaves room above it"
    assert white[0] + 15 < colour_at(pixels, 0.05, 0.5)[0]
    for found, wanted in zip(others, BANDS[1:], strict=True):
        assert is_near(found, wanted, 12), (found, wanted)


@pytest.mark.parametrize("transfer", HDR)
def test_bright_saturated_light_keeps_its_hue(transfer: int) -> None:
    light = np.zeros((240, 320, 3))
    light[:] = 0.5
    light[60:180, 80:240] = (3.0, 0.6, 0.15)  # an orange lamp, three times as bright as white
    red, green, blue = colour_at(shown(hdr_clip(light, transfer)), 0.5, 0.5)
    assert red > 240
    assert 90 < green < 160
    assert blue < 90


@pytest.mark.parametrize("marks", [{"marked_matrix": coded.UNMARKED}, {"primaries": coded.UNMARKED}])
def test_hdr_without_a_matrix_or_a_gamut_is_bt2020(marks: dict[str, int]) -> None:
    assert_bands(shown(hdr_clip(light_of(bands()), coded.PQ, **marks)), 5)


def test_hdr_frames_are_judged_as_they_will_be_shown() -> None:
    light = light_of(np.tile(np.arange(320, dtype=np.uint8)[None, :, None] // 5 * 2, (240, 1, 3)))
    light[::16, ::16] += 0.1
    rgb = srgb_of(light)
    sdr = create_thumbnails(BytesSource(coded_clip(rgb, Coding("709"))), ThumbnailSpec(decoder="pyav"))
    hdr = create_thumbnails(BytesSource(hdr_clip(light, coded.PQ)), ThumbnailSpec(decoder="pyav"))
    assert sdr.frame.score is not None
    assert hdr.frame.score == pytest.approx(sdr.frame.score, abs=0.1)


def disc(size: int = 480) -> NDArray[np.uint8]:
    """A red disc, opaque, on green that is not to be seen."""
    picture = np.zeros((size, size, 4), np.uint8)
    picture[..., 1] = 255
    y, x = np.mgrid[:size, :size] - size / 2
    picture[x * x + y * y < (size * 0.4) ** 2] = (255, 0, 0, 255)
    return picture


ALPHA_CODECS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "VP9": ("libvpx-vp9", "webm", "yuva420p", {"crf": "10", "b": "0"}),
    "VP8": ("libvpx", "webm", "yuva420p", {"auto-alt-ref": "0", "b": "3000000"}),
    "ProRes 4444": ("prores_ks", "mov", "yuva444p10le", {}),
    "QuickTime Animation": ("qtrle", "mov", "argb", {}),
    "PNG in QuickTime": ("png", "mov", "rgba", {}),
    "FFV1 GBRAP of 10 bits": ("ffv1", "matroska", "gbrap10le", {}),
}


@pytest.mark.parametrize("name", ALPHA_CODECS)
def test_the_alpha_of_a_video_is_kept(name: str) -> None:
    codec, container, pixels, options = ALPHA_CODECS[name]
    found = shown(alpha_clip(disc(), codec, container, pixels, **options), "RGBA")
    assert is_near(colour_at(found, 0.5, 0.5), (255, 0, 0, 255), 8)
    assert colour_at(found, 0.03, 0.03)[3] < 4


def test_scaling_a_video_with_alpha_makes_no_rim() -> None:
    content = alpha_clip(disc(), "qtrle", "mov", "argb")
    spec = ThumbnailSpec((RenditionSpec("tiny", 60, 60),), quality=100, decoder="pyav")
    found = np.asarray(shown_by(decode_video(SourceFile(BytesSource(content)), spec)))
    assert found.shape == (60, 60, 4)
    rim = found[(found[..., 3] > 0) & (found[..., 3] < 255)]
    assert len(rim) > 20
    assert rim[:, 1].max() < 16, "the invisible green is in the rim"
    assert found[found[..., 3] > 0][:, 0].min() > 230


def test_a_wide_frame_with_alpha_is_thinned_out_before_it_is_mixed() -> None:
    frame = VideoFrame.from_ndarray(disc(3000), "rgba")  # nine million pixels, of light
    frame.color_primaries = coded.BT2020
    image, _ = upright_picture(frame, FrameShape("png", None, None), (RenditionSpec("square", 300, 300),))
    assert image.mode == "RGBA"
    assert colour_at(np.asarray(image), 0.5, 0.5)[3] == 255
    found = np.asarray(image)
    rim = found[(found[..., 3] > 8) & (found[..., 3] < 255)]
    assert len(rim) > 100
    assert rim[:, 1].max() < 16


def test_alpha_that_hides_nothing_is_dropped() -> None:
    opaque = disc()
    opaque[..., 3] = 255
    content = alpha_clip(opaque, "qtrle", "mov", "argb")
    image = shown_by(decode_video(SourceFile(BytesSource(content)), ThumbnailSpec()))
    assert image.mode == "RGB"
    assert image.info == {}
