"""The demo's files are as special as their titles say, and come out as meant."""

from pathlib import Path

import pytest

from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.errors import ThumbnailError
from service.demo.media import DemoFile
from service.demo.samples import make_samples
from tests.doubles.sources import BytesSource


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DemoFile]:
    return {file.path.name: file for file in make_samples(tmp_path_factory.mktemp("samples"))}


def made(file: DemoFile) -> ThumbnailSet:
    return create_thumbnails(BytesSource(Path(file.path).read_bytes()), ThumbnailSpec())


def test_one_file_fails_and_all_others_are_ready(samples: dict[str, DemoFile]) -> None:
    assert [name for name, file in samples.items() if file.expected == "failed"] == ["broken.mp4"]
    with pytest.raises(ThumbnailError) as failed:
        made(samples["broken.mp4"])
    assert failed.value.code == "media.corrupt"


@pytest.mark.parametrize(("name", "after_s"), [("black-leader.mp4", 3.0), ("slate.mp4", 2.0)])
def test_the_frame_comes_after_what_is_not_worth_showing(
    samples: dict[str, DemoFile], name: str, after_s: float
) -> None:
    assert (made(samples[name]).frame.time_s or 0) >= after_s


@pytest.mark.parametrize("name", ["phone-portrait.mp4", "photo-exif6.jpg"])
def test_what_lies_on_its_side_is_shown_upright(samples: dict[str, DemoFile], name: str) -> None:
    result = made(samples[name])
    assert result.source.width > result.source.height
    assert all(rendition.height > rendition.width for rendition in result.renditions)


def test_a_recording_and_a_photograph_that_are_cut_are_shown(samples: dict[str, DemoFile]) -> None:
    assert made(samples["recording.ts"]).source.format == "mpegts"
    assert made(samples["half-a-photo.jpg"]).degraded_reason == "damaged"


def test_the_icon_is_made_of_its_largest_picture(samples: dict[str, DemoFile]) -> None:
    result = made(samples["app-icon.ico"])
    assert (result.source.width, result.source.height) == (256, 256)
