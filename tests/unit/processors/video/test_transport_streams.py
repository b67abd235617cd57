"""Transport streams show their scene: no black start wins, and they cost little more than the same pictures in MP4."""

import time

import pytest

from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSet, ThumbnailSpec
from tests.doubles.corpus_streams import BLACK_S, STREAMS, bare
from tests.doubles.sources import BytesSource
from tests.unit.processors.still.test_pictures import assert_upright

MOST_COST = 3.0
"""Processor time of a transport stream, over that of the same pictures in MP4."""


def made_at_cost(content: bytes) -> tuple[ThumbnailSet, float]:
    """The thumbnails, and the least processor time of three runs."""
    costs = []
    for _ in range(3):
        started = time.process_time()
        made = create_thumbnails(BytesSource(content), ThumbnailSpec())
        costs.append(time.process_time() - started)
    return made, min(costs)


@pytest.mark.parametrize("name", STREAMS)
def test_a_transport_stream_shows_its_scene_at_little_cost(name: str) -> None:
    stream = STREAMS[name]()
    made, cost_s = made_at_cost(stream.content)
    assert_upright(made)
    assert not made.degraded
    assert made.source.kind == "video"
    assert (made.frame.time_s or 0) >= (BLACK_S - 0.05 if stream.begins_black else 0)
    _, mp4_cost_s = made_at_cost(stream.mp4)
    assert cost_s <= MOST_COST * mp4_cost_s


def test_there_are_forty() -> None:
    assert len(STREAMS) == 40


@pytest.mark.parametrize("name", [name for name in STREAMS if "one keyframe" in name])
def test_the_uploaders_moment_is_reached_without_a_keyframe_near(name: str) -> None:
    stream = STREAMS[name]()
    for wanted_s, is_black in ((0.4, True), (3.2, False)):
        made = create_thumbnails(BytesSource(stream.content), ThumbnailSpec(frame_time_s=wanted_s))
        assert made.frame.time_s == pytest.approx(wanted_s, abs=0.05)
        if is_black:
            assert not made.degraded, "what was asked for is not poor"
        else:
            assert_upright(made)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_stream_without_a_container_shows_its_scene_too(codec: str) -> None:
    made = create_thumbnails(BytesSource(bare(codec)), ThumbnailSpec())
    assert_upright(made)
    assert made.frame.method == "opencv-forward"
    assert (made.frame.time_s or 0) >= BLACK_S - 0.05
