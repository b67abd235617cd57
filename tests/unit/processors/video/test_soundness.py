"""A frame that the decoder knows to be broken is not shown while there is a sound one, and never without a word."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSet, ThumbnailSpec
from processors.video.container import heard
from processors.video.soundness import CheckedDecoder
from schemas.degraded import DegradedReason
from tests.doubles.clips import RATE, clip
from tests.doubles.corpus_shapes import Pixels
from tests.doubles.damaged_clips import with_damage, with_parameters_in_the_first_packet_only
from tests.doubles.sources import BytesSource, pixels_of
from tests.unit.processors.selection.test_choice import busy, plain, seconds, shows

NO_CUTS: dict[str, Any] = {"sc_threshold": "0", "bf": "0"}
SCENES = [busy(number * 2) for number in range(100)]
"""Four seconds; their middles get redder, so that every frame differs from the one before."""


def make(content: bytes, **spec: Any) -> ThumbnailSet:
    return create_thumbnails(BytesSource(content), ThumbnailSpec(**spec))


def difference(made: ThumbnailSet, pictures: list[Pixels]) -> float:
    """Mean difference between what is shown and the picture that was coded for its time."""
    shown = make(clip([pictures[round((made.frame.time_s or 0) * RATE)]] * 3, crf="4"))
    ours, theirs = (pixels_of(one.renditions[1]).astype(int) for one in (made, shown))
    return float(np.abs(ours - theirs).mean())


CODECS: dict[str, dict[str, Any]] = {
    "h264": {"codec": "libx264", **NO_CUTS},
    "h264 by CAVLC": {"codec": "libx264", "x264-params": "cabac=0", **NO_CUTS},
    "mpeg-4": {"codec": "mpeg4", "sc_threshold": "1000000000", "b": "3000000"},
    "mpeg-2": {"codec": "mpeg2video", "sc_threshold": "1000000000", "b": "4000000"},
}


@pytest.mark.parametrize("codec", CODECS)
def test_where_all_keyframes_but_a_black_one_are_damaged_a_frame_between_them_is_shown(codec: str) -> None:
    pictures = [plain(0)] * 15 + SCENES[15:]
    film = clip(pictures, g="25", **CODECS[codec])
    made = make(with_damage(film, lambda number, is_keyframe: is_keyframe and number > 0))
    assert 15 <= round((made.frame.time_s or 0) * RATE) < 25
    assert difference(made, pictures) < 6


@pytest.mark.parametrize("codec", CODECS)
def test_where_everything_is_damaged_the_best_is_shown_and_called_damaged(codec: str) -> None:
    made = make(with_damage(clip(SCENES, g="25", **CODECS[codec]), lambda _number, _is_keyframe: True))
    assert made.degraded_reason is DegradedReason.DAMAGED


def test_a_frame_behind_damage_is_not_sound_even_if_nothing_is_said_of_it() -> None:
    """What refers to a broken frame is as broken; the uploader's own moment is the last one before."""
    film = clip(SCENES, g="999", **NO_CUTS)
    made = make(with_damage(film, lambda number, _is_keyframe: number == 40), frame_time_s=2.4)
    assert made.frame.time_s == pytest.approx(39 / RATE, abs=0.05)
    assert not made.degraded
    assert difference(made, SCENES) < 6


def test_the_next_keyframe_ends_the_damage() -> None:
    film = clip(SCENES, g="25", **NO_CUTS)
    made = make(with_damage(film, lambda number, _is_keyframe: number == 40), frame_time_s=2.4)
    assert made.frame.time_s == pytest.approx(2.4, abs=0.05)
    assert not made.degraded


def test_where_a_third_of_the_keyframes_are_damaged_the_others_are_not_trusted() -> None:
    film = clip(seconds((2, plain(0)), (2, SCENES[9])), g="25", **NO_CUTS)
    half = with_damage(film, lambda number, is_keyframe: is_keyframe and number // 25 % 2 == 0)
    assert make(half).degraded_reason is DegradedReason.DAMAGED


def test_parameters_that_stand_in_the_first_packet_only_are_found() -> None:
    """As of x264's version, which its old streams of 4:4:4 are not decoded right without."""
    pictures = seconds((1, plain(0)), (9, SCENES[90]), (2, plain(0)))
    made = make(with_parameters_in_the_first_packet_only(pictures, g="25", **NO_CUTS))
    assert shows(made, 180)
    assert (made.frame.method, made.degraded) == ("pyav-smart", False), "seeks are enough"


def test_where_all_keyframes_show_nothing_the_frames_between_are_looked_at() -> None:
    """Keyframes that fall into black, as of a slide show that fades between its pictures."""
    pictures = [SCENES[number] if 8 < number % 25 < 20 else plain(0) for number in range(100)]
    made = make(clip(pictures, g="25", **NO_CUTS))
    assert (made.frame.score or 0) > 0.7
    assert made.frame.method == "pyav-forward"


def test_a_black_video_is_black_and_not_degraded() -> None:
    made = make(clip(seconds((4, plain(0))), g="25"))
    assert (made.frame.score, made.degraded) == (0.0, False)


def test_errors_beside_the_pictures_are_no_damage() -> None:
    """A user data message that is cut: cameras write such."""
    content = clip(SCENES[:10], container="h264", g="5", **NO_CUTS)
    message = b"\0\0\0\x01\x06\x05\xff\x10" + b"\x55" * 20
    context: Any = av.CodecContext.create("h264", "r")
    context.thread_count = 1
    packets = av.CodecContext.create("h264", "r").parse(message + content)
    with heard() as said:
        context.decode(packets[0])
    assert "SEI type" in str(said)
    context.flush_buffers()

    decoder, frames = CheckedDecoder(lambda: context), []
    for number, packet in enumerate(packets):
        packet.pts, packet.time_base = number, Fraction(1, RATE)
        packet.is_keyframe = number % 5 == 0
        frames += decoder.decode(packet)
    assert frames
    assert all(frame.is_sound for frame in frames)
