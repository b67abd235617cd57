"""Dolby Vision of profile 5: coded by the formulas that its papers give, read back as colours and not as purple and green."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.degraded import DegradedReason
from tests.doubles import coded_clips as coded
from tests.doubles.coded_clips import IN_BT2020, Values, light_of, pq_of
from tests.doubles.containers import with_dolby_vision
from tests.doubles.sources import BytesSource, pixels_of
from tests.unit.processors.video.test_colours import assert_bands, bands, colours

TO_XYZ = np.array([[0.6370, 0.1446, 0.1689], [0.2627, 0.6780, 0.0593], [0.0, 0.0281, 1.0610]])
"""BT.2020's light, as ITU-R BT.2020 has it."""
TO_CONES = np.array([[0.4002, 0.7076, -0.0808], [-0.2263, 1.1653, 0.0457], [0.0, 0.0, 0.9182]])
"""Hunt, Pointer and Estevez, for D65."""
CROSSTALK = np.full((3, 3), 0.02) + 0.94 * np.eye(3)
TO_IPT = np.array([[0.4, 0.4, 0.2], [4.455, -4.851, 0.396], [0.8056, 0.3572, -1.1628]])
"""Ebner and Fairchild."""


def ipt_of(light: Values) -> Values:
    """IPT with PQ and two per cent of crosstalk, its P and T around a half; of light of BT.709, 1.0 for 203 cd/m2."""
    cones = light @ IN_BT2020.T @ TO_XYZ.T @ TO_CONES.T @ CROSSTALK.T * 203
    ipt: Values = pq_of(cones) @ TO_IPT.T + np.array([0.0, 0.5, 0.5])
    return ipt


def profile_5(light: Values, profile: int = 5) -> bytes:
    """Ten bits of full range in HEVC, all colour marks left open, as is usual."""
    height, width = light.shape[:2]
    frame, buffer = av.VideoFrame(width, height, "yuv420p10le"), io.BytesIO()
    codes = np.clip(np.rint(ipt_of(light) * 1023), 0, 1023).astype("<u2")
    for number, plane in enumerate(frame.planes):
        step = 2 if number else 1
        writable: Any = plane
        lines = np.frombuffer(writable, np.uint8).reshape(-1, plane.line_size)
        kept = np.ascontiguousarray(codes[::step, ::step, number])
        lines[: height // step, : width // step * 2] = kept.view(np.uint8)
    opened: Any
    with av.open(buffer, "w", format="mp4") as opened:
        # Two frames are fewer than x265 reorders: it would leave their decoding times to chance.
        options = {"crf": "2", "preset": "ultrafast", "x265-params": "log-level=none:range=full:pools=1:bframes=0"}
        stream: Any = opened.add_stream("libx265", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        stream.codec_context.color_range = coded.FULL
        for number in range(2):
            frame.pts, frame.time_base = number, Fraction(1, 10)
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode())
    return with_dolby_vision(buffer.getvalue(), profile)


def make(content: bytes) -> ThumbnailSet:
    return create_thumbnails(BytesSource(content), ThumbnailSpec(quality=100))


def test_its_colours_are_those_that_were_coded() -> None:
    made = make(profile_5(light_of(bands())))
    assert_bands(pixels_of(made.renditions[2]), tolerance=8)


def test_it_is_called_degraded_for_its_curves_are_not_followed() -> None:
    assert make(profile_5(light_of(bands()))).degraded_reason is DegradedReason.COLOURS


def remuxed(content: bytes, form: str) -> bytes:
    """The same packets in another container, whose writer says of Dolby Vision what the MP4 said, where it knows how."""
    out = io.BytesIO()
    source: Any
    target: Any
    with (
        av.open(io.BytesIO(content)) as source,
        av.open(out, "w", format=form, options={"strict": "unofficial"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return out.getvalue()


def with_descriptors(content: bytes, profile: int) -> bytes:
    """A transport stream in whose map the film has the two descriptors of ETSI's and Dolby's papers."""
    said = b"\x05\x04DOVI" + b"\xb0\x05\x01\0" + bytes([profile << 1, 0x35, 0])
    packets = [bytearray(content[at : at + 188]) for at in range(0, len(content), 188)]
    for packet in packets:
        if packet[4:6] != b"\0\x02":  # the map's section begins here
            continue
        length = int.from_bytes(packet[6:8]) & 0xFFF
        section = packet[5 : 8 + length - 4]
        film = 12 + (int.from_bytes(section[10:12]) & 0xFFF)
        info = int.from_bytes(section[film + 3 : film + 5]) & 0xFFF
        section[film + 3 : film + 5] = (0xF000 | info + len(said)).to_bytes(2)
        section[film + 5 : film + 5] = said
        section[1:3] = (0xB000 | length + len(said)).to_bytes(2)
        whole = section + mpeg_checksum(section).to_bytes(4)
        packet[5:188] = whole.ljust(183, b"\xff")
    return b"".join(packets)


def mpeg_checksum(content: bytes | bytearray) -> int:
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


@pytest.mark.parametrize("form", ["matroska", "mpegts"])
def test_in_other_containers_its_colours_are_the_same(form: str) -> None:
    def put(profile: int) -> bytes:
        content = remuxed(profile_5(light_of(bands()), profile), form)
        return with_descriptors(content, profile) if form == "mpegts" else content

    made = make(put(5))
    assert_bands(pixels_of(made.renditions[2]), tolerance=8)
    assert made.degraded_reason is DegradedReason.COLOURS
    assert not make(put(8)).degraded


def test_other_profiles_are_left_alone() -> None:
    """Their pictures are ordinary ones of HDR, with something added for those that understand it."""
    made = make(profile_5(light_of(bands()), profile=8))
    assert not made.degraded
    white = colours(pixels_of(made.renditions[2]))[0]
    assert max(white) - min(white) > 30 or white[0] < 200, "taken for YCbCr, which it is not here"
