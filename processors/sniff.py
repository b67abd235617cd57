"""What a file is, by its first bytes: names and declared types of uploads are often wrong."""

from typing import Final

from processors.types import Kind

HEAD_BYTES: Final = 64

_IMAGE_HEADS: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_IMAGE_BRANDS: Final = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
_CONTAINER_HEADS: Final = (
    b"\x1aE\xdf\xa3",
    b"OggS",
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"\0\0\x01\xba",
    b"\0\0\x01\xb3",
    b"ID3",
    b"fLaC",
)


def sniff_kind(head: bytes) -> Kind | None:
    """`image` or `video` (any container, audio ones too), or None for what is neither to all appearances."""
    if head.startswith(_IMAGE_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if head[4:8] == b"ftyp":
        return "image" if head[8:12] in _IMAGE_BRANDS else "video"
    if head.startswith(_CONTAINER_HEADS) or head[4:8] in (b"moov", b"mdat", b"free", b"skip", b"wide"):
        return "video"
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WAVE"):
        return "video"
    is_transport_stream = head[:1] == b"\x47" or head[4:5] == b"\x47"
    is_mpeg_audio = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    return "video" if is_transport_stream or is_mpeg_audio else None


def is_heic(head: bytes) -> bool:
    """Whether the file is a HEIC picture."""
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1")
