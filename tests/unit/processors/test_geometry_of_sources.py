"""Which part of a video is shown, and which way up: mirrored, cropped, woven and odd frames, read back from thumbnails."""

import io
import itertools
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from numpy.typing import NDArray
from PIL import Image

from processors.orientation import turn_of_angle, turn_of_matrix
from processors.thumbnails import create_thumbnails
from processors.types import FrameDecoder, RenditionSpec, ThumbnailSpec
from service.demo.media import CORNERS, scene
from tests.doubles.clips import clip
from tests.doubles.coded_clips import mirrored_clip
from tests.doubles.containers import with_clap, with_pixel_crop
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of

DECODERS: list[FrameDecoder] = ["pyav", "opencv"]
PLACES = {
    "top_left": (0.03, 0.03),
    "top_right": (0.97, 0.03),
    "bottom_left": (0.03, 0.97),
    "bottom_right": (0.97, 0.97),
}
INTERLACED: Any = {"x264-params": "tff=1"}
CUT = {"left": 40, "top": 20, "right": 24, "bottom": 12}


def large(content: bytes, **spec: Any) -> NDArray[np.uint8]:
    spec.setdefault("decoder", "pyav")
    return pixels_of(create_thumbnails(BytesSource(content), ThumbnailSpec(**spec)).renditions[2])


def assert_upright(pixels: NDArray[np.uint8]) -> None:
    found = {name: colour_at(pixels, *place) for name, place in PLACES.items()}
    assert all(is_near(found[name], CORNERS[name], 40) for name in PLACES), found


def framed() -> NDArray[np.uint8]:
    """A scene of 256 x 208 in a red border that is not meant to be seen."""
    whole = np.full((240, 320, 3), (220, 30, 220), np.uint8)
    whole[20:228, 40:296] = scene(256, 208, 0.5)
    return whole


def as_shown(stored: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """What a player shows: each pixel at the place that the matrix says, written out for one pixel after the other."""
    a, b, c, d = matrix
    height, width = stored.shape[:2]
    places = {(x, y): (a * x + c * y, b * x + d * y) for x, y in itertools.product(range(width), range(height))}
    left, top = min(x for x, _ in places.values()), min(y for _, y in places.values())
    shape = (width, height, 3) if a == 0 else (height, width, 3)
    shown = np.zeros(shape, np.uint8)
    for (x, y), (to_x, to_y) in places.items():
        shown[to_y - top, to_x - left] = stored[y, x]
    return shown


@pytest.mark.parametrize(
    "matrix", [(s, 0, 0, t) for s in (1, -1) for t in (1, -1)] + [(0, s, t, 0) for s in (1, -1) for t in (1, -1)]
)
def test_every_display_matrix_moves_pixels_to_where_it_says(matrix: tuple[int, int, int, int]) -> None:
    stored = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    a, b, c, d = (value * 65536 for value in matrix)
    turn = turn_of_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
    image = Image.fromarray(stored)
    turned = np.asarray(image if turn is None else image.transpose(turn))
    assert np.array_equal(turned, as_shown(stored, matrix))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
def test_mirrored_videos_come_out_as_a_player_shows_them(degrees: int, flips: tuple[bool, bool]) -> None:
    # FFmpeg's matrix turns counter-clockwise and then flips; so the stored picture is made backwards.
    stored = scene(256, 144, 0.5)
    stored = stored[:, ::-1] if flips[0] else stored
    stored = stored[::-1] if flips[1] else stored
    stored = np.rot90(stored, -degrees // 90)
    content = mirrored_clip(stored, degrees, flips_across=flips[0], flips_down=flips[1])
    pixels = large(content)
    assert pixels.shape == (144, 256, 3)
    assert_upright(pixels)


@pytest.mark.parametrize(("degrees", "size"), [(0, (256, 144)), (90, (144, 256)), (180, (256, 144)), (270, (144, 256))])
@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(3, 4)])
def test_oblong_pixels_are_stretched_before_they_are_turned(
    degrees: int, size: tuple[int, int], aspect: Fraction
) -> None:
    shown = scene(*size, 0.5)
    content = mirrored_clip(np.rot90(shown, -degrees // 90), degrees, sample_aspect=aspect)
    pixels = large(content)
    wide, high = (256 * aspect, 144) if aspect > 1 else (256, 144 / aspect)
    wanted = (high, wide) if degrees in (0, 180) else (wide, high)
    assert pixels.shape[:2] == pytest.approx(wanted, abs=1)
    assert_upright(pixels)


def test_oblong_pixels_are_stretched_in_what_a_crop_leaves() -> None:
    content = with_clap(mirrored_clip(framed(), 0, sample_aspect=Fraction(4, 3)), 256, 208, right=8, down=4)
    pixels = large(content)
    assert pixels.shape[:2] == pytest.approx((208, 341), abs=1)
    assert_upright(pixels)


def test_what_is_no_matrix_turns_nothing() -> None:
    assert turn_of_matrix(()) is None
    assert turn_of_matrix((0,) * 9) is None


def test_crooked_angles_are_the_nearest_right_one() -> None:
    assert [turn_of_angle(angle) for angle in (0, 44, 91, 179, 268, 359, -90)] == [
        turn_of_angle(right) for right in (0, 0, 90, 180, 270, 0, 270)
    ]


@pytest.mark.parametrize("decoder", DECODERS)
def test_only_the_clean_aperture_of_an_mp4_is_shown(decoder: FrameDecoder) -> None:
    content = with_clap(clip([framed()] * 3), 256, 208, right=8, down=4)
    pixels = large(content, decoder=decoder)
    assert pixels.shape == (208, 256, 3)
    assert_upright(pixels)


@pytest.mark.parametrize("decoder", DECODERS)
def test_only_the_uncropped_part_of_a_matroska_is_shown(decoder: FrameDecoder) -> None:
    content = with_pixel_crop(clip([framed()] * 3, container="matroska", muxer={"live": "1"}), **CUT)
    pixels = large(content, decoder=decoder)
    assert pixels.shape == (208, 256, 3)
    assert_upright(pixels)


def test_a_crop_is_cut_from_scaled_frames_as_well() -> None:
    whole = np.kron(framed(), np.ones((4, 4, 1), np.uint8))
    content = with_clap(clip([whole] * 2, preset="ultrafast"), 1024, 832, right=32, down=16)
    pixels = large(content)
    assert pixels.shape == (480, 591, 3)
    assert_upright(pixels)
    assert not is_near(tuple(map(int, pixels[240, 0])), (220, 30, 220), 60)
    assert not is_near(tuple(map(int, pixels[240, -1])), (220, 30, 220), 60)


@pytest.mark.parametrize(
    ("width", "height", "right"), [(4000, 208, 0), (10, 208, 0), (256, 208, 2000), (0, 0, 0), (320, 240, 0)]
)
def test_absurd_clean_apertures_are_ignored(width: int, height: int, right: int) -> None:
    content = with_clap(clip([scene(320, 240, 0.5)] * 3), width, height, right=right)
    pixels = large(content)
    assert pixels.shape == (240, 320, 3)
    assert_upright(pixels)


def test_absurd_pixel_crops_are_ignored() -> None:
    content = clip([scene(320, 240, 0.5)] * 3, container="matroska", muxer={"live": "1"})
    pixels = large(with_pixel_crop(content, left=150, top=0, right=150, bottom=0))
    assert pixels.shape == (240, 320, 3)


def test_a_codecs_own_crop_is_applied_to_the_pixel() -> None:
    sides = ":".join(f"crop_{side}={pixels}" for side, pixels in CUT.items())
    out = io.BytesIO()
    source: Any
    target: Any
    with av.open(io.BytesIO(clip([framed()] * 3))) as source, av.open(out, "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        edit = BitStreamFilterContext(f"h264_metadata={sides}", source.streams.video[0], stream)
        for packet in source.demux(video=0):
            for edited in edit.filter(packet if packet.size else None):
                edited.stream = stream
                target.mux(edited)
    pixels = large(out.getvalue())
    assert pixels.shape == (208, 256, 3)
    assert_upright(pixels)


def woven(shift: int, height: int = 480) -> NDArray[np.uint8]:
    """A white bar on grey; the lower field shows it `shift` pixels further on."""
    frame = np.full((height, 640, 3), 60, np.uint8)
    frame[::2, 200:300] = 230
    frame[1::2, 200 + shift : 300 + shift] = 230
    return frame


def test_a_moving_interlaced_frame_shows_no_comb() -> None:
    pixels = large(clip([woven(60)] * 3, **INTERLACED))
    assert pixels.shape == (480, 640, 3)
    grey = pixels[:, :, 1].astype(int)
    assert np.abs(np.diff(grey[:, 220])).max() < 20
    assert np.abs(np.diff(grey[:, 340])).max() < 20
    assert grey[240, 250] > 200
    assert grey[240, 330] < 90, "the other field's moment"


def test_small_thumbnails_of_it_show_no_ghost() -> None:
    content = clip([woven(150)] * 3, **INTERLACED)
    made = create_thumbnails(BytesSource(content), ThumbnailSpec((RenditionSpec("small", 160, 120),), decoder="pyav"))
    grey = pixels_of(made.renditions[0])[:, :, 1].astype(int)
    assert grey[60, 62] > 200
    assert grey[60, 100] < 90


def test_the_same_weave_is_a_pattern_where_nothing_says_interlaced() -> None:
    grey = large(clip([woven(60)] * 3))[:, :, 1].astype(int)
    assert np.abs(np.diff(grey[:, 220])).max() > 60


def test_an_interlaced_frame_without_motion_keeps_all_its_lines() -> None:
    frame = np.full((480, 640, 3), 60, np.uint8)
    frame[240:, :] = 200
    frame[101, 100:500] = 200  # a line that only the lower field has
    pixels = large(clip([frame] * 3, **INTERLACED))
    assert pixels[101, 300, 1] > 150
    assert pixels[98, 300, 1] < 90


def test_interlaced_chroma_of_a_field_stays_its_own() -> None:
    frame = np.full((480, 640, 3), (40, 40, 200), np.uint8)
    frame[::2, 200:400] = (200, 40, 40)
    pixels = large(clip([frame] * 3, pixels="yuv422p", **INTERLACED))
    assert is_near(colour_at(pixels, 0.47, 0.5), (200, 40, 40), 25)
    assert is_near(colour_at(pixels, 0.1, 0.5), (40, 40, 200), 25)
