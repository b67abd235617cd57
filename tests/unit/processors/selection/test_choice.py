"""Which moment is shown: black, white, slates, fades and blur lose to an ordinary scene, wherever it is."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from processors.limits import FAIR_SEARCH_BYTES, FAIR_SEARCH_S, SEARCH_BYTES, SEARCH_S
from processors.selection.choice import SearchBudget, candidate_times_s, choose
from processors.selection.score import GOOD, Judgement, judge, score_luma
from processors.thumbnails import create_thumbnails
from processors.types import FrameDecoder, ThumbnailSet, ThumbnailSpec
from processors.video import frames as pyav_frames
from tests.doubles.clips import RATE, clip
from tests.doubles.sources import BytesSource, colour_at, pixels_of

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 320, 180


@cache
def busy(red: int) -> Pixels:
    """An ordinary scene to all appearances: shapes of many sizes and lumas, in focus. Its middle has this red."""
    rng = np.random.default_rng(7)
    image = Image.new("RGB", (WIDTH, HEIGHT), (90, 110, 130))
    draw = ImageDraw.Draw(image)
    for _ in range(250):
        x, y, side = (int(number) for number in rng.integers(0, (WIDTH, HEIGHT, 40)))
        shade = int(rng.integers(0, 255))
        draw.rectangle([x, y, x + side, y + side // 2], fill=(shade, shade, shade // 2))
    draw.rectangle([WIDTH // 2 - 20, HEIGHT // 2 - 20, WIDTH // 2 + 20, HEIGHT // 2 + 20], fill=(red, 0, 128))
    return np.asarray(image)


def plain(shade: int) -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), shade, np.uint8)


def slate() -> Pixels:
    image = Image.new("RGB", (WIDTH, HEIGHT), (20, 20, 90))
    ImageDraw.Draw(image).text((60, 70), "SCENE 1  TAKE 2", fill=(255, 255, 255), font_size=24)
    return np.asarray(image)


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(8)))


def faded(pixels: Pixels, share: float) -> Pixels:
    return np.asarray(pixels * share, dtype=np.uint8)


def luma(pixels: Pixels) -> Pixels:
    small = Image.fromarray(pixels).convert("L")
    small.thumbnail((160, 160))
    return np.asarray(small)


SHARP = busy(200)
POOR = {
    "black": plain(0),
    "nearly black": plain(14),
    "white": plain(255),
    "one colour": plain(100),
    "slate": slate(),
    "blurred": blurred(SHARP),
    "faded to a third": faded(SHARP, 0.33),
    "faded nearly out": faded(SHARP, 0.08),
}


def test_an_ordinary_scene_ends_the_search() -> None:
    assert score_luma(luma(SHARP)) >= GOOD


@pytest.mark.parametrize("name", POOR)
def test_poor_frames_do_not_end_the_search(name: str) -> None:
    assert score_luma(luma(POOR[name])) < GOOD * 0.95


def test_large_flat_areas_are_no_blur() -> None:
    """As of test cards, drawings and screens: few edges, but sharp ones."""
    card = np.kron(np.arange(25, 235, 14).reshape(3, 5), np.ones((60, 64), int)).astype(np.uint8)
    assert score_luma(luma(np.dstack([card] * 3))) >= GOOD
    assert score_luma(luma(blurred(np.dstack([card] * 3)))) < GOOD * 0.7


def test_a_little_blur_shows_even_where_there_was_detail_everywhere() -> None:
    rng = np.random.default_rng(3)
    patches = Image.fromarray(rng.integers(0, 255, (24, 42, 3), dtype=np.uint8))
    leaves = patches.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)
    assert score_luma(luma(np.asarray(leaves))) >= GOOD
    assert score_luma(luma(np.asarray(leaves.filter(ImageFilter.GaussianBlur(3))))) < GOOD * 0.7


@pytest.mark.parametrize("name", ["black", "nearly black", "white", "one colour", "faded nearly out"])
def test_what_shows_nothing_scores_nothing(name: str) -> None:
    assert score_luma(luma(POOR[name])) == 0.0


def make(content: bytes, decoder: FrameDecoder = "pyav", **spec: Any) -> ThumbnailSet:
    return create_thumbnails(BytesSource(content), ThumbnailSpec(decoder=decoder, **spec))


def seconds(*parts: tuple[float, Pixels]) -> list[Pixels]:
    return [pixels for length_s, pixels in parts for _ in range(round(length_s * RATE))]


def shows(made: ThumbnailSet, red: int) -> bool:
    return abs(colour_at(pixels_of(made.renditions[1]), 0.5, 0.5)[0] - red) < 25


CLIPS: dict[str, list[Pixels]] = {
    "black for 3 s": seconds((3, plain(0)), (5, SHARP)),
    "mostly black": seconds((6, plain(0)), (1.5, SHARP), (2.5, plain(0))),
    "a slate first": seconds((2.5, slate()), (5, SHARP)),
    "blurred, then sharp": seconds((1, POOR["blurred"]), (6, SHARP)),
    "a white flash": seconds((0.6, SHARP), (0.4, plain(255)), (7, SHARP)),
    "a fade in": [faded(SHARP, min(1.0, number / 25)) for number in range(150)],
    "black at both ends": seconds((2, plain(0)), (4, SHARP), (2, plain(0))),
}


@pytest.mark.parametrize("decoder", ["pyav", "opencv"])
@pytest.mark.parametrize("name", CLIPS)
def test_the_scene_is_found(name: str, decoder: FrameDecoder) -> None:
    made = make(clip(CLIPS[name], g="25"), decoder)
    assert shows(made, 200), made.frame
    assert made.frame.score is not None
    assert made.frame.score >= GOOD
    at = round((made.frame.time_s or 0) * RATE)
    assert score_luma(luma(CLIPS[name][at])) >= GOOD, "the time is that of the frame that is shown"


@pytest.mark.parametrize("decoder", ["pyav", "opencv"])
def test_a_good_first_candidate_is_the_only_one(decoder: FrameDecoder) -> None:
    made = make(clip(seconds((6, SHARP)), g="10"), decoder)
    assert made.frame.candidates == 1
    assert made.frame.time_s == pytest.approx(0.6, abs=0.41)


def test_fixed_takes_the_first_candidate_whatever_it_shows() -> None:
    made = make(clip(CLIPS["black for 3 s"], g="25"), strategy="fixed")
    assert made.frame.candidates == 1
    assert (made.frame.time_s or 0) <= 1


def test_with_sparse_keyframes_the_next_one_serves() -> None:
    """A keyframe each 5 s, 60 s: the one at 5 s stands for the wanted 6 s, and nothing between is decoded."""
    made = make(clip([busy(number // 125 * 16) for number in range(1500)], g="125", keyint_min="125", sc_threshold="0"))
    assert made.frame.time_s == pytest.approx(5.0, abs=0.05)
    assert shows(made, 16)


def scored(score: float) -> Judgement:
    """Of frames that all look the same."""
    return Judgement(score, np.full(32, 1 / 32))


def a_budget(times_s: Sequence[float] = (), reads: Sequence[int] = ()) -> SearchBudget:
    clock, read = iter([0.0, *times_s]), iter([5, *reads])
    return SearchBudget(lambda: next(read, 5), lambda: next(clock, 0.0))


@pytest.mark.parametrize(("score", "most_s"), [(0.2, SEARCH_S), (0.5, FAIR_SEARCH_S)])
def test_the_best_so_far_stands_when_its_time_is_spent(score: float, most_s: float) -> None:
    found = choose(100.0, "smart", lambda time_s: (time_s, scored(score)), a_budget([most_s, most_s + 0.01]))
    assert found is not None
    assert (found.frame, found.candidates) == (10.0, 2)


@pytest.mark.parametrize(("score", "most_bytes"), [(0.2, SEARCH_BYTES), (0.5, FAIR_SEARCH_BYTES)])
def test_the_best_so_far_stands_when_its_bytes_are_spent(score: float, most_bytes: int) -> None:
    found = choose(
        100.0, "smart", lambda time_s: (time_s, scored(score)), a_budget(reads=[5 + most_bytes, 6 + most_bytes])
    )
    assert found is not None
    assert (found.frame, found.candidates) == (10.0, 2)


def test_an_early_candidate_keeps_its_place_against_one_that_is_hardly_better() -> None:
    scores = dict(zip(candidate_times_s(100.0), (0.50, 0.52, 0.40, 0.53, 0.1, 0.1, 0.1), strict=True))
    found = choose(100.0, "smart", lambda time_s: (time_s, scored(scores[time_s])), a_budget())
    assert found is not None
    assert (found.frame, found.score, found.candidates) == (10.0, 0.50, 7)


def test_of_poor_frames_the_one_like_the_others_is_shown() -> None:
    """A title on white scores more than the dim scenes around it, and is the odd one out."""
    dim = [faded(busy(red), 0.4) for red in (60, 120, 180)]
    title = np.asarray(Image.blend(Image.fromarray(plain(255)), Image.fromarray(busy(240)), 0.5))
    shown = dict(zip(candidate_times_s(100.0), (dim[0], title, *dim, dim[0], title), strict=True))
    odd, ordinary = (judge(luma(pixels)).score for pixels in (title, dim[0]))
    assert ordinary * 1.2 < odd < GOOD, "without a look at the others the title would win"

    found = choose(100.0, "smart", lambda time_s: (time_s, judge(luma(shown[time_s]))), a_budget())
    assert found is not None
    assert shown[found.frame] is not title


def test_without_a_single_frame_there_is_no_choice() -> None:
    assert choose(100.0, "smart", lambda _time_s: None, a_budget()) is None


def test_a_keyframe_far_before_is_looked_at_first_and_decoded_on_from_when_it_is_poor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One keyframe for all: what costs as much as many megapixels is done only where it is needed."""
    monkeypatch.setattr(pyav_frames, "MAX_PIXELS_FORWARD", 10 * WIDTH * HEIGHT)
    one_group: dict[str, Any] = {"g": "999", "sc_threshold": "0"}
    good = make(clip(seconds((10, SHARP)), **one_group))
    assert (good.frame.time_s, good.frame.candidates) == (0.0, 1)

    leader = make(clip(seconds((3, plain(0)), (7, SHARP)), **one_group))
    assert shows(leader, 200)
    assert (leader.frame.time_s or 0) >= 3
