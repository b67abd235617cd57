"""Every container, and every shape that cameras, recorders, editors and broken transfers leave behind, shows its scene."""

import pytest

from processors.sniff import HEAD_BYTES, is_targa, sniff_kind
from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSet, ThumbnailSpec
from tests.doubles.clips import clip
from tests.doubles.corpus_shapes import SHAPES, remuxed, scenes, with_sound_before
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of
from tests.unit.processors.selection.test_choice import SHARP, plain, seconds, shows
from tests.unit.processors.still.test_pictures import assert_upright

METHODS = {
    "a song's cover in m4a": "pyav-cover",
    "a song's cover in mp3": "pyav-cover",
    "bare h264": "opencv-smart",  # without a container there are no times, by which PyAV seeks
}


def make(content: bytes, **spec: float) -> ThumbnailSet:
    return create_thumbnails(BytesSource(content), ThumbnailSpec(**spec))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_shows_its_scene(name: str) -> None:
    content = SHAPES[name]()
    assert not is_targa(content[:HEAD_BYTES])
    assert sniff_kind(content[:HEAD_BYTES]) != "image" or "picture" in name or "image" in name
    made = make(content)
    assert_upright(made)
    assert made.frame.method == METHODS.get(name, "pyav-smart")
    assert made.degraded == ("cover" in name)
    if not made.degraded:
        assert made.frame.time_s is not None
        assert 0 <= made.frame.time_s < (made.source.duration_s or 100)


@pytest.mark.parametrize(("container", "shift_s"), [("matroska", 100), ("mpegts", 3600), ("mp4", 7)])
def test_times_count_from_the_first_picture(container: str, shift_s: float) -> None:
    film = clip(seconds((2, plain(0)), (1, SHARP), (2, plain(0))), g="5")
    made = make(remuxed(film, container, shift_s=shift_s), frame_time_s=2.5)
    assert shows(made, 200)
    assert made.frame.time_s == pytest.approx(2.5, abs=0.05)
    assert made.source.duration_s == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "mpegts"])
def test_times_are_those_of_a_players_clock(container: str) -> None:
    """It runs from the sound's beginning on; the pictures begin 1.5 s later, and are black for 2 s."""
    late = with_sound_before(clip(seconds((2, plain(0)), (2, SHARP)), g="5"), container, 1.5)
    for wanted_s, is_black, shown_s in ((0.5, True, 1.5), (3.3, True, 3.3), (3.6, False, 3.6)):
        made = make(late, frame_time_s=wanted_s)
        assert shows(made, 200) != is_black
        assert made.frame.time_s == pytest.approx(shown_s, abs=0.05)
    assert (make(late).frame.time_s or 0) >= 3.5


def test_what_an_edit_list_cuts_off_is_not_shown() -> None:
    """The player begins at 1 s of the stored pictures, and so do we."""
    film = clip(seconds((1, plain(255)), (3, SHARP)), g="5", bf="0")
    cut = remuxed(film, "mp4", shift_s=-1, options={"avoid_negative_ts": "disabled"})
    assert b"elst" in cut
    made = make(cut, frame_time_s=0.0)
    assert shows(made, 200)
    assert made.frame.time_s == pytest.approx(0.0, abs=0.05)


def test_no_frame_is_looked_at_twice() -> None:
    assert make(clip([plain(9)])).frame.candidates == 1
    assert make(clip(scenes(10), g="1")).frame.candidates <= 7


def test_a_frame_that_is_broken_off_is_shown_but_called_degraded() -> None:
    film = clip([SHARP], "mpeg4", "avi")
    whole, half = make(film), make(film[: len(film) * 2 // 3])
    assert (whole.degraded, half.degraded) == (False, True)
    above, below = (colour_at(pixels_of(half.renditions[1]), 0.5, y) for y in (0.05, 0.95))
    assert is_near(above, colour_at(pixels_of(whole.renditions[1]), 0.5, 0.05), 12)
    assert not is_near(below, colour_at(pixels_of(whole.renditions[1]), 0.5, 0.95), 12)
