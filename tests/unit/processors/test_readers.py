"""Whatever a library raises for a file is said of the file; a mistake of ours stays one."""

import io
import struct
from collections.abc import Callable
from typing import Any

import av
import cv2
import pytest
from av.video.codeccontext import VideoCodecContext
from PIL import Image, ImageFile

from processors.still import pillow as image
from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSpec
from processors.video import pyav as video_pyav
from processors.video import search as video_search
from schemas.errors import ErrorCode, PermanentError, TransientError
from service.demo.media import scene
from tests.doubles.clips import clip
from tests.doubles.sources import BytesSource
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import assert_upright, code_of, encoded, make

PICTURE = encoded(Image.fromarray(scene(320, 240, 0.3)))
RAISED = [
    *(struct.error("unpack_from requires a buffer"), KeyError((3, 16)), AttributeError("no attribute 'tile'")),
    *(AssertionError(), IndexError("index out of range"), OverflowError("too large"), ZeroDivisionError("by zero")),
    *(
        TypeError("not an int"),
        ValueError("bad"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
        SyntaxError("broken"),
    ),
    *(OSError("broken data stream"), EOFError("no more"), RuntimeError("mode"), RecursionError("too deep")),
    *(LookupError("x"), ArithmeticError("x"), BufferError("x"), SystemError("x"), StopIteration("x")),
    *(Image.DecompressionBombError("too large"), cv2.error("(-215) size.width>0")),
]


def raising(error: BaseException) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


def ids(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


@pytest.mark.parametrize("error", RAISED, ids=ids)
@pytest.mark.parametrize("step", ["open", "load"])
def test_whatever_pillow_raises_is_a_damaged_picture(
    step: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: Any = {"open": Image, "load": ImageFile.ImageFile}[step]
    content = encoded(Image.fromarray(scene(320, 240, 0.3)), "JPEG")
    monkeypatch.setattr(where, step, raising(error))
    assert code_of(content) is ErrorCode.MEDIA_CORRUPT


@pytest.mark.parametrize("error", RAISED, ids=ids)
def test_tags_that_cannot_be_read_do_not_matter(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "getexif", raising(error))
    made = make(encoded(Image.fromarray(scene(320, 240, 0.3)), "JPEG"))
    assert not made.degraded
    assert_upright(made)


@pytest.mark.parametrize("error", RAISED, ids=ids)
def test_whatever_ffmpeg_and_opencv_raise_is_a_damaged_video(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    film = clip([scene(160, 128, 0.5)] * 3)
    monkeypatch.setattr(av, "open", raising(error))
    monkeypatch.setattr(cv2, "VideoCapture", raising(error))
    for decoder in ("auto", "pyav", "opencv"):
        assert code_of(film, decoder=decoder) is ErrorCode.MEDIA_CORRUPT


class BrokenCapture:
    """A capture that opens, and then fails at everything that is wanted of it."""

    def __init__(self, error: Exception) -> None:
        self.get = self.set = self.read = raising(error)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def release(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("error", RAISED, ids=ids)
def test_whatever_opencv_raises_once_a_video_is_open_is_a_damaged_video(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: BrokenCapture(error))
    assert code_of(clip([scene(160, 128, 0.5)] * 3), decoder="opencv") is ErrorCode.MEDIA_CORRUPT


class BrokenDecoder:
    """FFmpeg's decoder, which fails at every packet."""

    def __init__(self, error: Exception) -> None:
        self.decode = raising(error)
        self.flags = self.thread_count = 0
        self.options: dict[str, str] = {}
        self.skip_frame = "DEFAULT"

    def flush_buffers(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("error", RAISED, ids=ids)
def test_whatever_ffmpegs_decoder_raises_is_a_damaged_video(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_pyav, "_decoder", lambda *_: BrokenDecoder(error))
    assert code_of(clip([scene(160, 128, 0.5)] * 3), decoder="pyav") is ErrorCode.MEDIA_CORRUPT


@pytest.mark.parametrize("error", RAISED, ids=ids)
def test_what_the_fast_ways_raise_leaves_the_picture_to_pillow(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = VideoCodecContext.create
    monkeypatch.setattr(
        VideoCodecContext,
        "create",
        lambda codec, mode=None: create(codec, mode) if mode == "w" else BrokenDecoder(error),
    )
    assert_upright(make(encoded(Image.fromarray(scene(1600, 1200, 0.3)))))
    monkeypatch.setattr(cv2, "imdecode", raising(cv2.error("(-215)")))
    assert_upright(make(encoded(Image.fromarray(scene(1600, 1200, 0.3)), "JPEG")))


def test_the_error_says_what_was_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    for error, text in (
        (KeyError((3, 16)), r"cannot be decoded: KeyError: \(3, 16\)\.$"),
        (AssertionError(), r"cannot be decoded: AssertionError\.$"),
        (OSError("broken data stream when reading image file"), "cannot be decoded: broken data stream when reading"),
    ):
        monkeypatch.setattr(Image, "open", raising(error))
        with pytest.raises(PermanentError, match=text):
            make(PICTURE)


def test_what_a_library_does_not_know_yet_is_unsupported_and_not_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", raising(NotImplementedError("Unimplemented DXGI format 77")))
    assert code_of(PICTURE) is ErrorCode.MEDIA_UNSUPPORTED


def test_memory_and_what_is_no_exception_go_through(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (MemoryError(), KeyboardInterrupt()):
        monkeypatch.setattr(Image, "open", raising(error))
        with pytest.raises(type(error)):
            make(PICTURE)


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), OSError("x"), AssertionError("x")], ids=ids)
@pytest.mark.parametrize("content", [PICTURE, clip([scene(160, 128, 0.5)] * 3)], ids=["picture", "video"])
def test_a_mistake_of_our_own_is_not_blamed_on_the_file(
    content: bytes, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "scaled_srgb_picture", raising(error))
    monkeypatch.setattr(video_search, "judge", raising(error))
    with pytest.raises(type(error)):
        make(content)


def a_gif_that_ends_at_a_separator() -> bytes:
    """Cut between two frames: Pillow unpacks the second one's place out of nothing."""
    return encoded(Image.fromarray(scene(32, 32, 0.3)), "GIF")[:-1] + b","


def test_a_gif_that_ends_where_a_frame_should_begin_shows_the_frame_before() -> None:
    with Image.open(io.BytesIO(a_gif_that_ends_at_a_separator())) as opened, pytest.raises(struct.error):
        opened.is_animated  # type: ignore[attr-defined]  # noqa: B018 - the case is as described
    made = with_slots(lambda slots: make_caged(slots, BytesSource(a_gif_that_ends_at_a_separator())))
    assert (made.source.codec, made.frame.method) == ("gif", "image")


def test_a_gif_whose_only_frame_is_cut_shows_what_came_and_without_any_of_it_is_corrupt() -> None:
    whole = a_gif_that_ends_at_a_separator()
    made = with_slots(lambda slots: make_caged(slots, BytesSource(whole[:-60] + b",")))
    assert (made.source.codec, made.frame.method, made.degraded) == ("gif", "image-damaged", True)
    with pytest.raises(PermanentError) as caught:
        with_slots(lambda slots: make_caged(slots, BytesSource(whole[: len(whole) // 20])))
    assert caught.value.code is ErrorCode.MEDIA_CORRUPT


class ShortSource(BytesSource):
    """A source that ends before its size, as an object that was replaced by a shorter one."""

    def read_at(self, offset: int, length: int) -> bytes:
        return super().read_at(offset, length)[:-10]


@pytest.mark.parametrize("content", [PICTURE, clip([scene(160, 128, 0.5)] * 3)], ids=["picture", "video"])
def test_a_source_that_ends_early_is_not_called_a_damaged_file(content: bytes) -> None:
    with pytest.raises(TransientError) as caught:
        create_thumbnails(ShortSource(content), ThumbnailSpec())
    assert caught.value.code is ErrorCode.SOURCE_UNREADABLE
    with pytest.raises(TransientError) as caged:
        with_slots(lambda slots: make_caged(slots, ShortSource(content)))
    assert caged.value.code is ErrorCode.SOURCE_UNREADABLE
