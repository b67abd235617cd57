"""Containers patched by hand, to say what FFmpeg's muxers do not write."""

import struct
import zlib


def with_clap(mp4: bytes, width: int, height: int, right: int = 0, down: int = 0) -> bytes:
    """An MP4 whose index is its last box, with a clean aperture of this size, off the centre by `right` and `down` pixels."""
    clap = struct.pack(">I4s8i", 40, b"clap", width, 1, height, 1, right, 1, down, 1)
    return _with_entry_box(mp4, b"avc1", clap)


def with_dolby_vision(mp4: bytes, profile: int) -> bytes:
    """An MP4 of HEVC whose index is its last box, with a configuration of Dolby Vision (dvcC): level 6, metadata and base layer."""
    configuration = bytes([1, 0, profile << 1, 6 << 3 | 0b101, 0]) + bytes(19)
    return _with_entry_box(mp4, b"hev1", struct.pack(">I4s", 8 + len(configuration), b"dvcC") + configuration)


def _with_entry_box(mp4: bytes, entry: bytes, box: bytes) -> bytes:
    data = bytearray(mp4)
    at, end = 0, len(data)
    parents = []
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry):
        at = _find(data, at, end, kind)
        parents.append(at)
        end = at + int.from_bytes(data[at : at + 4])
        at += {b"stsd": 16, entry: 86}.get(kind, 8)
    data[end:end] = box
    for parent in parents:
        data[parent : parent + 4] = (int.from_bytes(data[parent : parent + 4]) + len(box)).to_bytes(4)
    return bytes(data)


def with_pixel_crop(mkv: bytes, left: int, top: int, right: int, bottom: int) -> bytes:
    """A live Matroska (its segment of unknown size, no index) whose first video is cropped."""
    crop = b"".join(
        struct.pack(">HBH", number, 0x82, cut)
        for number, cut in ((0x54CC, left), (0x54BB, top), (0x54DD, right), (0x54AA, bottom))
    )
    tracks = _inside(mkv, b"\x16\x54\xae\x6b", 0)
    track = _inside(mkv, b"\xae", tracks[2])
    video = _inside(mkv, b"\xe0", track[2])
    grown = _element(mkv, video, mkv[video[2] : video[3]] + crop)
    grown = _element(mkv, track, mkv[track[2] : video[0]] + grown + mkv[video[3] : track[3]])
    grown = _element(mkv, tracks, mkv[tracks[2] : track[0]] + grown + mkv[track[3] : tracks[3]])
    return mkv[: tracks[0]] + grown + mkv[tracks[3] :]


def _element(mkv: bytes, old: tuple[int, int, int, int], content: bytes) -> bytes:
    return mkv[old[0] : old[1]] + (len(content) | 1 << 56).to_bytes(8) + content


def _find(data: bytearray, start: int, end: int, kind: bytes) -> int:
    while start < end:
        if data[start + 4 : start + 8] == kind:
            return start
        start += int.from_bytes(data[start : start + 4])
    raise AssertionError(f"no {kind!r}")


def _inside(data: bytes, number: bytes, start: int) -> tuple[int, int, int, int]:
    """Where an element, its size, its content and its end lie: the first of that number from `start` on."""
    while True:
        length = 9 - data[start].bit_length()
        size_at = start + length
        more = 9 - data[size_at].bit_length()
        size = int.from_bytes(data[size_at : size_at + more]) & ~(1 << 7 * more)
        content = size_at + more
        if data[start:size_at] == number:
            return start, size_at, content, content + size
        is_segment = data[start:size_at] == b"\x18\x53\x80\x67"
        start = content if is_segment else content + size


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one chunk more, right behind its header."""
    chunk = len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)
    return png[:33] + chunk + png[33:]


def with_code_points(avif: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF that says other things of its colours."""
    at = avif.index(b"colrnclx") + 8
    return avif[:at] + struct.pack(">HH", primaries, transfer) + avif[at + 4 :]
