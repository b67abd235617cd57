"""Pictures in, thumbnails out: asserted on pixels and on the frame's time."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from processors.thumbnails import create_thumbnails
from processors.types import FrameDecoder, PictureFormat, RenditionSpec, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError
from service.demo.media import CORNERS, scene, turn_by_matrix, write_video
from tests.doubles.clips import clip
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of

PLACES = {
    "top_left": (0.03, 0.03),
    "top_right": (0.97, 0.03),
    "bottom_left": (0.03, 0.97),
    "bottom_right": (0.97, 0.97),
}
DECODERS: list[FrameDecoder] = ["pyav", "opencv"]


def make(content: bytes, **spec: Any) -> Any:
    return create_thumbnails(BytesSource(content), ThumbnailSpec(**spec))


def code_of(content: bytes, **spec: Any) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        make(content, **spec)
    return caught.value.code


def assert_upright(result: Any) -> None:
    for rendition in result.renditions[1:]:
        pixels = pixels_of(rendition)
        for name, place in PLACES.items():
            assert is_near(colour_at(pixels, *place), CORNERS[name]), (rendition.name, name)


def encoded(image: Image.Image, picture_format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, picture_format, **options)
    return out.getvalue()


UNTURN = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", UNTURN)
def test_every_exif_orientation_comes_out_upright(orientation: int) -> None:
    upright = Image.fromarray(scene(1280, 960, 0.3))
    turn = UNTURN[orientation]
    stored = upright.transpose(turn) if turn is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = make(encoded(stored, "JPEG", quality=92, exif=exif))

    assert [(r.width, r.height) for r in result.renditions] == [(149, 112), (320, 240), (640, 480)]
    assert_upright(result)


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_what_an_editor_noted_of_the_originals_orientation_turns_nothing(picture_format: str) -> None:
    """XMP: neither browsers nor libvips heed it, and Pillow does where EXIF says nothing."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    options: dict[str, Any] = {"xmp": xmp}
    if picture_format == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif picture_format == "TIFF":
        options = {"tiffinfo": {700: xmp}}
    content = encoded(Image.fromarray(scene(640, 480, 0.3)), picture_format, **options)
    assert xmp in content
    result = make(content)
    assert result.source.rotation == 0
    assert_upright(result)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_every_rotation_of_a_video_comes_out_upright(tmp_path: Path, clockwise: int, decoder: FrameDecoder) -> None:
    frame = np.rot90(scene(640, 360, 0.5), clockwise // 90)  # counter-clockwise, as the sensor saw it
    path = turn_by_matrix(write_video(tmp_path / "a.mp4", [frame] * 8), clockwise)
    result = make(path.read_bytes(), decoder=decoder)

    assert result.source.rotation == clockwise
    assert (result.renditions[2].width, result.renditions[2].height) == (640, 360)
    assert_upright(result)


def test_a_sample_aspect_ratio_is_made_square(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 360, 288, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 15)
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(360, 288, 0.5), "rgb24")))
        container.mux(stream.encode())
    result = make(path.read_bytes(), renditions=(RenditionSpec("big", 1000, 1000),))
    assert (result.renditions[0].width, result.renditions[0].height) == (384, 288)


def a_clock(seconds: int, rate: int = 10) -> list[Any]:
    """Frames whose red encodes the second at which they are shown: 20 each."""
    return [np.full((180, 320, 3), (20 * (number // rate), 0, 128), np.uint8) for number in range(seconds * rate)]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("wanted_s", [0.0, 3.5, 7.5])
def test_the_uploaders_own_moment_is_shown(tmp_path: Path, decoder: FrameDecoder, wanted_s: float) -> None:
    content = write_video(tmp_path / "a.mp4", a_clock(10), rate=10).read_bytes()
    result = make(content, decoder=decoder, frame_time_s=wanted_s)

    assert result.frame.time_s == pytest.approx(wanted_s, abs=0.11)
    assert colour_at(pixels_of(result.renditions[1]), 0.5, 0.5)[0] == pytest.approx(20 * int(wanted_s), abs=8)


def test_a_moment_after_the_end_is_the_last_one(tmp_path: Path) -> None:
    content = write_video(tmp_path / "a.mp4", a_clock(4), rate=10).read_bytes()
    assert make(content, frame_time_s=99.0).frame.time_s == pytest.approx(3.9, abs=0.1)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_long_video_is_shown_at_a_tenth(tmp_path: Path, decoder: FrameDecoder) -> None:
    frames = [scene(320, 180, number / 100) for number in range(100)]
    content = write_video(tmp_path / "a.mp4", frames, rate=10).read_bytes()
    assert make(content, decoder=decoder).frame.time_s == pytest.approx(1.0, abs=0.11)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_black_leader_is_passed_over(tmp_path: Path, decoder: FrameDecoder) -> None:
    black = np.zeros((360, 640, 3), np.uint8)
    content = write_video(tmp_path / "a.mp4", [black] * 30 + [scene(640, 360, 0.5)] * 30, rate=10).read_bytes()
    result = make(content, decoder=decoder)

    assert result.frame.time_s >= 2.9
    assert result.frame.candidates > 1
    assert_upright(result)


def test_a_video_that_is_black_throughout_is_shown_as_it_is(tmp_path: Path) -> None:
    content = write_video(tmp_path / "a.mp4", [np.zeros((180, 320, 3), np.uint8)] * 30, rate=10).read_bytes()
    result = make(content)
    assert result.frame.score == 0.0
    assert pixels_of(result.renditions[1]).max() < 20


def test_a_truncated_video_with_its_index_at_the_front_gives_a_frame(tmp_path: Path) -> None:
    frames = [scene(640, 360, number / 60) for number in range(60)]
    whole = write_video(tmp_path / "a.mp4", frames, g="15").read_bytes()
    with (
        av.open(io.BytesIO(whole), "r") as source,
        av.open(str(tmp_path / "f.mp4"), "w", options={"movflags": "faststart"}) as out,
    ):
        stream: Any = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    front = (tmp_path / "f.mp4").read_bytes()
    assert_upright(make(front[: len(front) // 2]))


def test_only_a_part_of_a_big_video_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    blocks = rng.integers(0, 200, (60, 18, 32, 3), dtype=np.uint8).repeat(40, axis=1).repeat(40, axis=2)
    noise = rng.integers(0, 56, blocks.shape, dtype=np.uint8)
    content = write_video(tmp_path / "a.mp4", list(blocks + noise), preset="ultrafast", crf="10", g="10").read_bytes()
    source = BytesSource(content)
    result = create_thumbnails(source, ThumbnailSpec())
    assert source.size > 10_000_000
    assert result.bytes_read < source.size * 0.35
    assert len(source.reads) <= 12


def test_alpha_is_kept_by_webp_and_white_for_jpeg() -> None:
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    image.paste((200, 30, 30, 255), (100, 100, 300, 300))
    content = encoded(image)
    webp = pixels_of(make(content).renditions[1], "RGBA")
    jpeg = pixels_of(make(content, format=PictureFormat.JPEG).renditions[1])

    assert (webp[5, 5, 3], webp[120, 120, 3]) == (0, 255)
    assert is_near(colour_at(jpeg, 0.02, 0.02), (255, 255, 255), 5)
    assert is_near(colour_at(jpeg, 0.5, 0.5), (200, 30, 30), 12)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (100, 80)])
def test_nothing_is_upscaled(size: tuple[int, int]) -> None:
    result = make(encoded(Image.new("RGB", size, (9, 99, 199))))
    assert all((r.width, r.height) == size for r in result.renditions[1:])
    assert is_near(colour_at(pixels_of(result.renditions[2]), 0.5, 0.5), (9, 99, 199), 6)


def test_a_very_long_picture_keeps_at_least_a_pixel() -> None:
    result = make(encoded(Image.new("RGB", (10_000, 10), (9, 99, 199))))
    assert [(r.width, r.height) for r in result.renditions] == [(150, 1), (320, 1), (640, 1)]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "I;16", "RGBA"])
def test_every_kind_of_pixels_is_read(mode: str) -> None:
    grey = Image.new("L", (300, 200), 128)
    image = Image.new("I;16", (300, 200), 128 * 257) if mode == "I;16" else grey.convert(mode)
    content = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    shown = colour_at(pixels_of(make(content).renditions[1]), 0.5, 0.5)
    assert all(abs(value - 128) < 20 for value in shown) or mode == "1"


@pytest.mark.parametrize("picture_format", PictureFormat)
def test_each_format_is_written_without_metadata(picture_format: PictureFormat) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    content = encoded(Image.fromarray(scene(800, 600, 0.2)), "JPEG", exif=exif)
    for rendition in make(content, format=picture_format).renditions:
        assert b"secret" not in rendition.content
        with Image.open(io.BytesIO(rendition.content)) as picture:
            assert (picture.format, picture.get_format_mimetype()) == (picture_format.name, picture_format.media_type)
            assert len(picture.getexif()) == 0


def test_the_placeholder_is_a_thumbhash_of_the_picture() -> None:
    light, dark = (make(encoded(Image.new("RGB", (64, 48), (v, v, v)))).placeholder for v in (240, 10))
    assert light != dark
    assert len(light) < 60


CONTAINERS: dict[str, dict[str, Any]] = {
    "index at the end": {},
    "fragments": {"muxer": {"movflags": "frag_keyframe+empty_moov"}, "g": "10"},
    "an edit list": {"bf": "3"},  # B-frames make FFmpeg write one
    "matroska": {"container": "matroska"},
    "quicktime": {"container": "mov"},
    "transport stream": {"container": "mpegts", "g": "15"},
    "flash": {"container": "flv"},
    "intra only": {"g": "1"},
    "interlaced": {"x264-params": "interlaced=1"},
    "4:4:4": {"pixels": "yuv444p"},
    "ten bits": {"pixels": "yuv420p10le"},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_shape_of_h264_shows_the_scene(name: str) -> None:
    made = make(clip([scene(640, 360, number / 75) for number in range(75)], **CONTAINERS[name]), decoder="pyav")
    assert_upright(made)
    assert not made.degraded
    assert made.frame.time_s == pytest.approx(0.3, abs=0.35)


def test_a_container_that_cannot_be_sought_in_is_decoded_from_its_start() -> None:
    """A transport stream has no index, and this one a single keyframe, which a seek passes by."""
    made = make(clip([scene(640, 360, number / 75) for number in range(75)], container="mpegts"), decoder="pyav")
    assert_upright(made)
    assert (made.degraded, made.frame.method, made.frame.time_s) == (False, "pyav-forward", 0.0)


@pytest.mark.parametrize("size", [(2, 2), (64, 1200), (1200, 64), (639, 359)])
def test_odd_sizes_are_kept(size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = 200
    made = make(clip([pixels] * 3, "libx264", pixels="yuv444p"), decoder="pyav")
    large = made.renditions[2]
    assert large.width / large.height == pytest.approx(width / height, rel=0.05)
    assert is_near(colour_at(pixels_of(large), 0.5, 0.5), (200, 0, 0))


def test_a_video_of_one_frame_shows_it() -> None:
    made = make(clip([scene(320, 180, 0.5)]))
    assert_upright(made)
    assert made.frame.time_s == 0.0


def test_metadata_in_no_encoding_at_all_do_not_matter() -> None:
    content = clip([scene(320, 180, 0.5)] * 3, container="matroska")
    assert content.count(b"Lavf") > 0
    assert_upright(make(content.replace(b"Lavf", b"\xff\xfe\xff\xff")))


def test_other_sources_are_never_opened_by_a_playlist(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(write_video(tmp_path / "b.mp4", a_clock(1)).read_bytes())
    for text in (
        f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ):
        assert code_of(text.encode()) is ErrorCode.MEDIA_UNSUPPORTED
        assert code_of(b"\0" + text.encode()) is ErrorCode.MEDIA_CORRUPT


def test_nothing_is_no_picture() -> None:
    assert code_of(b"") is ErrorCode.MEDIA_CORRUPT
