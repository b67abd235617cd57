"""What the bytes are decides: no picture is shown as a video, and what is neither is not decoded as one."""

import subprocess
import sys
from typing import Any

import pytest
from PIL import Image

from processors.sandbox.pool import DecodeSlots
from processors.sniff import HEAD_BYTES, sniff_kind
from processors.thumbnails import create_thumbnails
from processors.types import Kind, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError
from tests.doubles.clips import clip
from tests.doubles.corpus_kinds import HEIGHT, OPAQUE, UNREAD, WIDTH, WITH_ALPHA, photograph
from tests.doubles.corpus_shapes import SHAPES, scenes
from tests.doubles.corpus_streams import STREAMS as STREAMS_IN_TS
from tests.doubles.sources import BytesSource, colour_at, pixels_of
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import DECODERS, assert_upright, encoded, make

DECLARED: list[Kind | None] = [None, "video", "image"]


@pytest.mark.parametrize("name", OPAQUE)
def test_a_picture_of_a_rare_kind_is_shown_as_a_picture(name: str) -> None:
    for declared in DECLARED:
        made = create_thumbnails(BytesSource(OPAQUE[name]()), ThumbnailSpec(), kind=declared)
        assert (made.source.kind, made.frame.method) == ("image", "image")
        assert (made.source.width, made.source.height) == (WIDTH, HEIGHT)
        assert (made.renditions[2].width, made.renditions[2].height) == (WIDTH, HEIGHT), "in its own shape"
        assert_upright(made)


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_its_transparency_is_kept(name: str) -> None:
    made = make(WITH_ALPHA[name]())
    assert made.source.kind == "image"
    pixels = pixels_of(made.renditions[1], "RGBA")
    assert colour_at(pixels, 0.2, 0.5)[3] == 0
    assert colour_at(pixels, 0.8, 0.5)[3] == 255


def test_of_an_icon_the_largest_is_shown() -> None:
    made = make(WITH_ALPHA["windows icon"]())
    assert (made.source.width, made.source.height) == (128, 96)


def test_each_is_decoded_in_the_cage() -> None:
    async def body(slots: DecodeSlots) -> None:
        for name, content in (*OPAQUE.items(), *WITH_ALPHA.items()):
            made = await make_caged(slots, BytesSource(content()))
            assert made.source.kind == "image", name

    with_slots(body)


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_the_portable_kinds_without_colours_are_read(mode: str) -> None:
    grey = Image.new("I;16", (64, 48), 128 * 257) if mode == "I;16" else Image.new("L", (64, 48), 255).convert(mode)
    made = make(encoded(grey, "PPM"))
    assert (made.source.kind, made.source.codec) == ("image", "ppm")
    assert colour_at(pixels_of(made.renditions[1]), 0.5, 0.5)[0] == pytest.approx(128 if mode == "I;16" else 255, abs=3)


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_called_by_its_name(name: str) -> None:
    beginning, called = UNREAD[name]
    for declared in DECLARED:
        with pytest.raises(PermanentError, match=called) as caught:
            create_thumbnails(BytesSource(beginning + bytes(2000)), ThumbnailSpec(), kind=declared)
        assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED


def spoilt_jpegs() -> dict[str, bytes]:
    """Named .jpg by their uploaders; no viewer shows them as pictures."""
    content = encoded(photograph(), "JPEG", quality=90)
    return {
        "something stands before it": b"\n\n" + content,
        "many of them with something before": b"\0\0" + content * 5,
        "its first bytes are gone": content[2:],
        "zeros": bytes(40_000),
    }


@pytest.mark.parametrize("decoder", ["auto", *DECODERS])
@pytest.mark.parametrize("name", spoilt_jpegs())
def test_a_spoilt_jpeg_never_becomes_a_video(name: str, decoder: str) -> None:
    with pytest.raises(PermanentError, match="no video or picture that can be read") as caught:
        make(spoilt_jpegs()[name], decoder=decoder)
    assert caught.value.code is ErrorCode.MEDIA_CORRUPT


STREAMS: dict[str, tuple[str, str]] = {
    "h264": ("libx264", "h264"),
    "hevc": ("libx265", "hevc"),
    "mpeg-4": ("mpeg4", "m4v"),
    "mpeg-1": ("mpeg1video", "mpeg1video"),
    "mpeg-2": ("mpeg2video", "mpeg2video"),
    "nut": ("mpeg4", "nut"),
    "real": ("rv10", "rm"),
    "windows television": ("mpeg2video", "wtv"),
    "flash": ("flv", "swf"),
    "loki": ("mjpeg", "smjpeg"),
    "pictures without a container": ("wrapped_avframe", "yuv4mpegpipe"),
}


def film(name: str) -> bytes:
    codec, container = STREAMS[name]
    options: dict[str, Any] = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    return clip(scenes(10, 352, 288), codec, container, "yuvj420p" if codec == "mjpeg" else "yuv420p", **options)


@pytest.mark.parametrize("name", STREAMS)
def test_videos_that_only_opencvs_ffmpeg_opens_are_not_lost(name: str) -> None:
    made = make(film(name))
    assert made.source.kind == "video"
    assert_upright(made)


@pytest.mark.parametrize("name", ["h264 in 188 bytes", "h264 in 192 bytes", "with check bytes behind each packet"])
def test_a_transport_stream_that_begins_inside_a_packet_is_a_video_whatever_is_declared(name: str) -> None:
    plain = name.startswith("with")
    stream = STREAMS_IN_TS[f"{'h264 in 188 bytes' if plain else name}, with a keyframe a second"]().content
    if plain:
        stream = b"".join(stream[at : at + 188] + bytes(16) for at in range(0, len(stream), 188))
    cut = stream[101:]
    assert sniff_kind(cut[:HEAD_BYTES]) == "video"
    made = create_thumbnails(BytesSource(cut), ThumbnailSpec(), kind="image")
    assert made.source.kind == "video"
    assert_upright(made)


def test_a_few_bytes_like_a_packets_first_make_no_transport_stream() -> None:
    head = bytearray(b"\0" * HEAD_BYTES)
    head[50] = head[50 + 188] = head[50 + 2 * 188] = 0x47
    assert sniff_kind(bytes(head)) is None


@pytest.mark.parametrize("before", [b"\0" * 600, bytes(range(1, 255)) * 2])
def test_a_transport_stream_that_begins_with_something_else_is_not_lost(before: bytes) -> None:
    stream = SHAPES["transport stream"]()
    assert sniff_kind((before + stream)[:HEAD_BYTES]) is None
    made = make(before + stream)
    assert made.source.kind == "video"
    assert_upright(made)


def test_no_playlist_is_opened_by_opencv_either() -> None:
    """Its FFmpeg has no other filter than the list of formats."""
    playlist = b"ffconcat version 1.0\nfile secret.mp4\n"
    look = (
        "import sys, cv2; from processors.video import opencv as video_opencv; from processors.source_file import *;"
        "c = cv2.VideoCapture(SourceFile(BytesInMemory(sys.stdin.buffer.read())), cv2.CAP_FFMPEG, []); print(c.isOpened())"
    )
    run = subprocess.run([sys.executable, "-c", look], input=playlist, capture_output=True, check=True, timeout=60)
    assert run.stdout.strip() == b"False"
    assert b"not on whitelist" in run.stderr
