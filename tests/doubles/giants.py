"""Small files that claim to be huge: each is a sound one whose header was changed, or a header alone."""

import io
import re
import struct
import zlib
from fractions import Fraction
from typing import Any

import av
from PIL import Image

from service.demo.media import scene
from tests.doubles.clips import clip
from tests.doubles.ordinary_priority import ordinary_priority

SIDE = 20_000
"""Of pictures: 400 megapixels."""
FRAMES = [scene(320, 180, number / 4) for number in range(4)]


def encoded(image: Image.Image, picture_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, picture_format, **options)
    return out.getvalue()


def patched(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int = SIDE) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


def jpeg() -> bytes:
    small = encoded(Image.new("RGB", (64, 64)), "JPEG")
    return patched(small, small.index(b"\xff\xc0") + 5, struct.pack(">HH", SIDE, SIDE))


def tiff() -> bytes:
    small = encoded(Image.new("RGB", (64, 64)), "TIFF")
    for tag in (256, 257):
        at = re.search(struct.pack("<H", tag) + rb"[\x03\x04]\x00\x01\x00\x00\x00", small)
        assert at is not None
        small = patched(small, at.start() + 2, struct.pack("<HII", 4, 1, SIDE))
    return small


def gif() -> bytes:
    return patched(encoded(Image.new("P", (64, 64)), "GIF"), 6, struct.pack("<HH", SIDE, SIDE))


def webp() -> bytes:
    small = encoded(Image.new("RGBA", (64, 64), (1, 2, 3, 4)), "WEBP")
    side = (SIDE - 1).to_bytes(3, "little")
    return patched(small, small.index(b"VP8X") + 12, side + side)


def animated_webp() -> bytes:
    pictures = [Image.new("RGB", (64, 64), (value, 0, 0)) for value in (9, 99)]
    small = encoded(pictures[0], "WEBP", save_all=True, append_images=pictures[1:])
    side = (SIDE - 1).to_bytes(3, "little")
    return patched(small, small.index(b"VP8X") + 12, side + side)


def lossless_webp() -> bytes:
    small = encoded(Image.new("RGB", (64, 64)), "WEBP", lossless=True)
    at = small.index(b"VP8L") + 9
    claim = int.from_bytes(small[at : at + 4], "little") & ~0xFFFFFFF | 16_382 | 16_382 << 14
    return patched(small, at, claim.to_bytes(4, "little"))


def avif() -> bytes:
    small = encoded(Image.new("RGB", (64, 64)), "AVIF")
    return patched(small, small.index(b"ispe") + 8, struct.pack(">II", SIDE, SIDE))


PICTURES = {
    made.__name__.replace("_", " "): made for made in (png, jpeg, tiff, gif, webp, animated_webp, lossless_webp, avif)
}


def gif_of(frames: int) -> bytes:
    """A picture, and then frames of one pixel."""
    first = encoded(Image.fromarray(scene(64, 48, 0.5)), "GIF")
    tiny = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return first[:-1] + tiny * (frames - 1) + b";"


def apng_of(frames: int) -> bytes:
    """One that only says how many it has."""
    still = encoded(Image.fromarray(scene(64, 48, 0.5)), "PNG")
    at = still.index(b"IDAT") - 4
    return still[:at] + png_chunk(b"acTL", struct.pack(">II", frames, 0)) + still[at:]


def webp_of(frames: int) -> bytes:
    """The same frame again and again."""
    pictures = [Image.new("RGB", (16, 16), (value, 0, 0)) for value in (9, 99)]
    small = encoded(pictures[0], "WEBP", save_all=True, append_images=pictures[1:])
    at = small.index(b"ANMF")
    one = small[at : at + 8 + int.from_bytes(small[at + 4 : at + 8], "little")]
    body = small[8:at] + one * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


ANIMATIONS = {"gif": gif_of, "apng": apng_of, "webp": webp_of}


def mp4_header() -> bytes:
    content = clip(FRAMES)
    claim = patched(content, content.rindex(b"avc1") + 28, b"\xff\xff\xff\xff")
    box = claim.index(b"tkhd") - 4
    end = box + int.from_bytes(claim[box : box + 4], "big")
    return patched(claim, end - 8, struct.pack(">II", 65535 << 16, 65535 << 16))


def avi_header() -> bytes:
    content = clip(FRAMES, "mjpeg", "avi", "yuvj420p")
    return patched(content, content.index(b"strf") + 12, struct.pack("<ii", 65535, 65535))


def matroska_header() -> bytes:
    content = clip([scene(320, 256, number / 4) for number in range(4)], container="matroska")
    return patched(content, content.index(b"\xb0\x82\x01\x40\xba\x82\x01\x00"), b"\xb0\x82\xff\xff\xba\x82\xff\xff")


def mjpeg_frames() -> bytes:
    content = clip(FRAMES, "mjpeg", "mov", "yuvj420p")
    return re.sub(
        rb"\xff\xc0\x00\x11\x08....",
        b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65500, 65500),
        content,
        flags=re.DOTALL,
    )


def vp8_frames() -> bytes:
    content = clip(FRAMES, "libvpx", "webm")
    return patched(content, content.index(b"\x9d\x01\x2a") + 3, struct.pack("<HH", 16383, 16383))


def vp9_frames() -> bytes:
    content = clip(FRAMES, "libvpx-vp9", "webm")
    at = content.index(b"\x49\x83\x42") + 3
    claim = int.from_bytes(content[at : at + 5], "big") & ~(0xFFFFFFFF << 4) | 0xFFFEFFFE << 4
    return patched(content, at, claim.to_bytes(5, "big"))


def h264_frames(side: int = 65536) -> bytes:
    """A sequence header of our own, before the pictures of another."""
    size = _golomb(side // 16 - 1)
    header = f"{66:08b}{0:08b}{62:08b}" + "".join(map(_golomb, (0, 0, 2, 1))) + "0" + size * 2 + "1100"
    units = _units(clip(FRAMES, container="h264"))
    return _transport_stream("libx264", [b"\x67" + _bytes(header) if unit[0] & 31 == 7 else unit for unit in units])


def hevc_frames(side: int = 65528) -> bytes:
    """The sequence header with another size in it."""
    units = _units(clip(FRAMES, "libx265", "hevc"))
    larger = [_larger_hevc(unit, side) if unit[0] >> 1 & 63 == 33 else unit for unit in units]
    return _transport_stream("libx265", larger)


def av1_frames(side: int = 65536) -> bytes:
    """The sequence header with another size in it, in sixteen bits each."""
    stream = clip(FRAMES, "libsvtav1", "obu")
    end = 4 + stream[3]  # behind the empty delimiter; this header is shorter than 128 bytes
    bits = "".join(f"{byte:08b}" for byte in stream[4:end])
    at = 12 + 12 + 5  # flags, the operating point, its level; then the lengths of width and height
    old = 8 + int(bits[at : at + 4], 2) + 1 + int(bits[at + 4 : at + 8], 2) + 1
    bits = bits[:at] + "1" * 8 + f"{side - 1:016b}" * 2 + bits[at + old :]
    bits += "0" * (-len(bits) % 8)
    header = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return _muxed("libsvtav1", "avi", stream[:3] + bytes([len(header)]) + header + stream[end:])


def _larger_hevc(unit: bytes, side: int) -> bytes:
    bits = "".join(f"{byte:08b}" for byte in unit.replace(b"\0\0\3", b"\0\0"))
    at = 16 + 8 + 96  # the unit's header, three ids, the profile
    ends = [at]
    for _ in range(4):  # id, chroma format, width, height
        zeros = bits.index("1", ends[-1]) - ends[-1]
        ends.append(ends[-1] + 2 * zeros + 1)
    return unit[:1] + _bytes(bits[: ends[2]] + _golomb(side) * 2 + bits[ends[4] :])[1:]


def _golomb(value: int) -> str:
    return "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"


def _bytes(bits: str) -> bytes:
    """With a stop bit, and without three bytes in a row that would look like a unit's beginning."""
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    raw = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", raw)


def _units(stream: bytes) -> list[bytes]:
    return [unit for unit in re.split(rb"\x00\x00\x00?\x01", stream) if unit]


def _transport_stream(codec: str, units: list[bytes]) -> bytes:
    return _muxed(codec, "mpegts", b"".join(b"\0\0\0\1" + unit for unit in units))


def _muxed(codec: str, container: str, content: bytes) -> bytes:
    """The same packet three times."""
    out = io.BytesIO()
    opened: Any
    with ordinary_priority(), av.open(out, "w", format=container) as opened:
        stream: Any = opened.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(3):
            packet: Any = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = number
            opened.mux(packet)
    return out.getvalue()


VIDEOS = {
    made.__name__.replace("_", " "): made
    for made in (
        mp4_header,
        avi_header,
        matroska_header,
        mjpeg_frames,
        vp8_frames,
        vp9_frames,
        h264_frames,
        hevc_frames,
        av1_frames,
    )
}
