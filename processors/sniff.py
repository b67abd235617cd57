"""The kind of a file, by its first bytes: names and declared types of uploads are often wrong."""

import re
from typing import Final

from processors.types import Kind

HEAD_BYTES: Final = 1024
"""Enough for the first packets of a transport stream that was cut out of a longer one."""

_IMAGE_HEADS: Final = (
    *(b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF and BigTIFF
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),  # JPEG 2000, in its container and bare
    *(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),  # JPEG XL, bare and in its container
    *(b"qoif", b"DDS ", b"icns", b"\x59\xa6\x6a\x95"),  # QOI, DirectDraw, Apple's icons, Sun raster
    *(b"8BPS", b"/* XPM */", b"P7\n"),  # Photoshop, X pixmaps, PAM
    *(b"\x76\x2f\x31\x01", b"#?RADIANCE", b"#?RGBE"),  # OpenEXR, Radiance
    b"\xb1\x68\xde\x3a",  # DCX
    *(b"\x8aMNG\r\n\x1a\n", b"\x8bJNG\r\n\x1a\n"),  # PNG's relatives
    b"SIMPLE  =",  # FITS
    *(b"Image type: ", b"DanM", b"LinS"),  # IFUNC's IM, Microsoft Paint
    *(b"BLP1", b"BLP2", b"FTEX"),  # textures of games
)
_ICON: Final = re.compile(rb"\0\0[\x01\x02]\0[^\0]\0...[\0\xff]", re.DOTALL)
"""Of Windows, and its cursors: up to 255 in a file."""
_SHORT_IMAGE_HEADS: Final = (
    _ICON,
    re.compile(rb"P[1-6][ \t\r\n]+[0-9#]"),  # PBM, PGM, PPM
    re.compile(rb"\x01\xda[\0\x01][\x01\x02]"),  # SGI
    re.compile(rb"P[FfHh][ \t\r\n]+[0-9#]"),  # PFM, PHM
    re.compile(rb"\n[\0\x02-\x05][\0\x01][\x01\x02\x04\x08]"),  # PCX
    re.compile(rb"[\x28\x34\x38\x6c\x7c]\0\0\0.{4}.{4}\x01\0[\x01\x04\x08\x10\x18\x20]\0", re.DOTALL),  # DIB
    re.compile(rb"BA.{12}BM", re.DOTALL),  # an array of bitmaps
    re.compile(rb"\0\0..\0\0\0\x07\0\0\0[\0-\x02]\0\0\0[\x01-\x20]", re.DOTALL),  # X window dumps
    re.compile(rb"\0\0..\0\0\0\x02.{8}\0\0\0[\x01\x04]GIMP", re.DOTALL),  # GIMP's brushes
    re.compile(rb"\s{0,16}(/\*[^*]{0,40}\*/\s*)?#define\s+\w{0,40}width\s", re.ASCII),  # X bitmaps
)
_TARGA: Final = (
    # Length of a text, map or none, kind; the map; the place, the size; bits of a pixel, and those of them for alpha
    re.compile(rb".\0[\x02\x03\x0a\x0b]\0{4}[\0\x0f\x10\x18\x20].{8}[\x08\x0f\x10\x18\x20][\0-\x3f]", re.DOTALL),
    re.compile(
        rb".\x01[\x02\x0a].{4}[\x0f\x10\x18\x20].{8}[\x0f\x10\x18\x20][\0-\x3f]", re.DOTALL
    ),  # a map, and no use of it
    re.compile(rb".\x01[\x01\x09].{4}[\x0f\x10\x18\x20].{8}[\x08\x10][\0-\x3f]", re.DOTALL),
)
_AVIF_BRANDS: Final = (b"avif", b"avis")
_HEIC_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_EITHER_BRANDS: Final = (b"mif1", b"msf1")
"""mif1/msf1 are shared by HEIC and AVIF; the compatible brands decide."""
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
    b"YUV4MPEG2 ",
)
_UNREAD_HEADS: Final[dict[bytes, str]] = {
    b"\xff\xd8\xff\xf7": "JPEG-LS",
    b"II\xbc": "JPEG XR",
    b"gimp xcf ": "a GIMP document",
    b"SDPX": "DPX",
    b"XPDS": "DPX",
    b"\x80\x2a\x5f\xd7": "Cineon",
    b"BPG\xfb": "BPG",
    b"FLIF": "FLIF",
    b"\xabKTX ": "a KTX texture",
    b"farbfeld": "farbfeld",
    b"\xd7\xcd\xc6\x9a": "a Windows metafile",
    b"FUJIFILMCCD-RAW": "a raw camera file",
    b"IIU\0": "a raw camera file",
    b"IIRO": "a raw camera file",
    b"IIRS": "a raw camera file",
    b"MMOR": "a raw camera file",
    b"FOVb": "a raw camera file",
    b"\0MRM": "a raw camera file",
    b"AT&TFORM": "a DjVu document",
    b"%PDF-": "a PDF document",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "an EPS drawing",
    b"{\\rtf": "a text document (RTF)",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Office document of before 2007, or another compound file",
    b"BLENDER": "a Blender scene",
    b"glTF": "a glTF scene",
    b"\0\x01\0\0\0": "a font",
    b"OTTO": "a font",
    b"ttcf": "a font",
    b"wOFF": "a font",
    b"wOF2": "a font",
    b"PK\x03\x04": "a ZIP archive",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\x1f\x8b\x08": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\0": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"MZ": "a Windows program",
    b"\x7fELF": "a Linux program",
    b"SQLite format 3\0": "an SQLite database",
}
"""Of what no reader here is for, or none reads as it is meant."""
_PARTLY_READ_HEADS: Final[dict[bytes, str]] = {
    b"8BPS\0\2": "a large Photoshop document (PSB) of a rare kind",
    b"8BPS": "a Photoshop document of a rare kind",
    b"DDS ": "a DirectDraw surface of a rare kind",
    b"\x76\x2f\x31\x01": "an OpenEXR picture of a rare kind",
    b"\x8aMNG\r\n\x1a\n": "an MNG animation of a rare kind",
    b"\x8bJNG\r\n\x1a\n": "a JNG picture of a rare kind",
    b"P7\n": "a PAM picture of a rare kind",
    b"icns": "an Apple icon of a rare kind",
    b"BLP": "a BLP texture of a rare kind",
    b"FTEX": "an FTEX texture of a rare kind",
}
_ZIP_NAME_AT: Final = 30
"""Where a ZIP archive has the name of its first file."""
_ZIPS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"[Content_Types].xml", "an Office document"),
    (b"_rels/", "an Office document"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file"),
    (b"mimetypeapplication/epub", "an EPUB book"),
    (b"mimetypeimage/openraster", "an OpenRaster document"),
    (b"mimetypeapplication/x-krita", "a Krita document"),
    (b"document.json", "a Sketch document"),
    (b"META-INF/", "a Java archive"),
)
"""By the name of the first file, and what it holds where that is stored unpacked."""
_SYNC: Final = 0x47
_PACKET_BYTES: Final = (188, 192, 204)
"""Of transport streams: plain, with a time stamp before each as cameras write them, with Reed-Solomon bytes behind."""
_SYNCS: Final = 4
_WEB_PAGE: Final = re.compile(rb"(\xef\xbb\xbf)?\s*(<!doctype\s+html|<html|<head|<body)", re.IGNORECASE)
_METAFILE: Final = re.compile(rb"[\x01\x02]\0\x09\0\0[\x01\x03]")
_UNREAD_PATTERNS: Final = ((_METAFILE, "a Windows metafile"), (_WEB_PAGE, "a web page (HTML)"))
_UNREAD_AT: Final[tuple[tuple[int, bytes, str], ...]] = (
    (128, b"DICM", "a DICOM picture"),
    (40, b" EMF", "an enhanced Windows metafile (EMF)"),
    (4, b"ftypcrx ", "a raw camera file"),
    (4, b"ftypmif3", "a HEIF or AVIF picture in the short form"),
    (6, b"HEAPCCDR", "a raw camera file"),
    *((8, kind, "an IFF picture") for kind in (b"ILBM", b"PBM ", b"DEEP", b"RGB8", b"RGBN", b"ACBM")),
)


def sniff_kind(head: bytes) -> Kind | None:
    """`image` or `video` (any container, audio ones too), or None for what is neither, or cannot be read, to all appearances."""
    if unread_kind(head) is not None:
        return None
    if (
        head.startswith(_IMAGE_HEADS)
        or any(pattern.match(head) for pattern in _SHORT_IMAGE_HEADS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or is_targa(head)
    ):
        return "image"
    if head[4:8] == b"ftyp":
        return "image" if head[8:12] in _IMAGE_BRANDS else "video"
    if head.startswith(_CONTAINER_HEADS) or head[4:8] in (b"moov", b"mdat", b"free", b"skip", b"wide"):
        return "video"
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WAVE"):
        return "video"
    return "video" if _is_transport_stream(head) or _is_mpeg_audio(head) else None


def _is_transport_stream(head: bytes) -> bool:
    """Return whether packets begin at once, or, where the file begins inside of one, several follow at their distance."""
    if head[:1] == b"\x47" or head[4:5] == b"\x47":
        return True
    return any(
        len(syncs := head[at::size][:_SYNCS]) == _SYNCS and set(syncs) == {_SYNC}
        for size in _PACKET_BYTES
        for at in range(size)
    )


def is_targa(head: bytes) -> bool:
    """Return whether all fields of a Targa picture's header make sense: it has no other mark."""
    return any(head[12:14]) and any(head[14:16]) and any(pattern.match(head) for pattern in _TARGA)


def is_icon(head: bytes) -> bool:
    """Return whether the file is a Windows icon or cursor; Targa pictures may begin with the same four bytes."""
    return _ICON.match(head) is not None


def partly_read_kind(head: bytes) -> str | None:
    """Return what the file is called, where it is of a kind of which some are read, and the others are no damaged ones."""
    return next((name for magic, name in _PARTLY_READ_HEADS.items() if head.startswith(magic)), None)


def _is_mpeg_audio(head: bytes) -> bool:
    """Return whether the header is one of MPEG audio: it has a layer, AAC has none. Segments of a JPEG begin nearly alike."""
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head.startswith(b"\xff\xfe<\0"):
        return False  # the last begins like a document in UTF-16
    return head[1] & 0x06 != 0 or head[1] & 0xF0 == 0xF0


def unread_kind(head: bytes) -> str | None:
    """Return what the file is called, where it is one of the known kinds that are not read."""
    for at, magic, name in _UNREAD_AT:
        if head.startswith(magic, at) and (at != 8 or head.startswith(b"FORM")):
            return name
    return _unread_by_parts(head) or next(
        (name for magic, name in _UNREAD_HEADS.items() if head.startswith(magic)), None
    )


def _unread_by_parts(head: bytes) -> str | None:
    if head[4:8] == b"ftyp" and _is_uncompressed(head):
        return "an uncompressed HEIF picture"
    if head[:4] == b"RIFF" and head[8:11] in (b"CDR", b"cdr"):
        return "a CorelDRAW document"
    if head.startswith(b"PK\x03\x04"):
        for inside, name in _ZIPS:
            if head.startswith(inside, _ZIP_NAME_AT):
                return name
    for pattern, name in _UNREAD_PATTERNS:
        if pattern.match(head):
            return name
    is_eps = head.startswith(b"%!PS-Adobe") and b" EPSF-" in head[:24]
    return "an EPS drawing" if is_eps else None


def _is_uncompressed(head: bytes) -> bool:
    """Return whether a HEIF file's items, as far as they are there, are all uncompressed pixels."""
    return b"unci" in head and b"hvc1" not in head and b"av01" not in head


def is_heic(head: bytes) -> bool:
    """Return whether the file is a HEIC picture."""
    if head[4:8] != b"ftyp":
        return False
    if head[8:12] in _EITHER_BRANDS:
        also = [head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4], "big")), 4)]
        return not any(brand in _AVIF_BRANDS for brand in also)
    return head[8:12] in _HEIC_BRANDS
