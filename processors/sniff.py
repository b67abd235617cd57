"""What a file is, by its first bytes: names and declared types of uploads are often wrong."""

from typing import Final

from processors.types import Kind

HEAD_BYTES: Final = 64

_IMAGE_HEADS: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_AVIF_BRANDS: Final = (b"avif", b"avis")
_HEIC_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_EITHER_BRANDS: Final = (b"mif1", b"msf1")
"""Of the container that both live in: the brands after the first one tell."""
_IMAGE_BRANDS: Final = _AVIF_BRANDS + _HEIC_BRANDS + _EITHER_BRANDS
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
    if head[4:8] != b"ftyp":
        return False
    if head[8:12] in _EITHER_BRANDS:
        also = [head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4], "big")), 4)]
        return not any(brand in _AVIF_BRANDS for brand in also)
    return head[8:12] in _HEIC_BRANDS
