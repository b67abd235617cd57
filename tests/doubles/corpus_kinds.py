"""Pictures of the rarer kinds, which FFmpeg would open as videos of one frame; and the beginnings of those that are not read."""

import io
import struct
from collections.abc import Callable
from typing import Any, Final

from PIL import Image

from service.demo.media import scene

WIDTH, HEIGHT = 320, 240


def saved(picture: Image.Image, picture_format: str, **options: Any) -> bytes:
    """The picture as a file."""
    out = io.BytesIO()
    picture.save(out, picture_format, **options)
    return out.getvalue()


def photograph() -> Image.Image:
    """The demo's scene."""
    return Image.fromarray(scene(WIDTH, HEIGHT, 0.5))


def cut_out() -> Image.Image:
    """The scene, of which only the right half is there."""
    picture = photograph().convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, WIDTH // 2, HEIGHT))
    return picture


def pcx_with_odd_dots() -> bytes:
    """A PCX whose dots are said to be twelve times as high as wide, as old programs left that field."""
    content = bytearray(saved(photograph(), "PCX"))
    struct.pack_into("<HH", content, 12, 600, 50)
    return bytes(content)


def sun_raster() -> bytes:
    """Plain RGB of the Sun workstations; Pillow does not write it."""
    pixels = photograph().tobytes()
    return struct.pack(">8I", 0x59A66A95, WIDTH, HEIGHT, 24, len(pixels), 3, 0, 0) + pixels


OPAQUE: Final[dict[str, Callable[[], bytes]]] = {
    "qoi": lambda: saved(photograph(), "QOI"),
    "sgi": lambda: saved(photograph(), "SGI"),
    "pcx": pcx_with_odd_dots,
    "dds": lambda: saved(photograph(), "DDS"),
    "jpeg 2000": lambda: saved(photograph(), "JPEG2000"),
    "bare jpeg 2000": lambda: saved(photograph(), "JPEG2000", no_jp2=True),
    "ppm": lambda: saved(photograph(), "PPM"),
    "sun raster": sun_raster,
    "bigtiff": lambda: saved(photograph(), "TIFF", big_tiff=True),
}
"""By name: files of the scene."""

WITH_ALPHA: Final[dict[str, Callable[[], bytes]]] = {
    "qoi": lambda: saved(cut_out(), "QOI"),
    "sgi": lambda: saved(cut_out(), "SGI"),
    "dds": lambda: saved(cut_out(), "DDS"),
    "jpeg 2000": lambda: saved(cut_out(), "JPEG2000"),
    "windows icon": lambda: saved(cut_out(), "ICO", sizes=[(16, 16), (128, 96)]),
    "apple's icon": lambda: saved(cut_out().resize((256, 256)), "ICNS"),
}
"""By name: files of the scene's right half."""

UNREAD: Final[dict[str, tuple[bytes, str]]] = {
    "jpeg-ls": (b"\xff\xd8\xff\xf7\0\x0b\x08", "JPEG-LS"),
    "photoshop": (b"8BPS\0\x01\0\0\0\0\0\0\0\x03", "a Photoshop document of a rare kind"),
    "large photoshop": (b"8BPS\0\x02\0\0\0\0\0\0\0\x03", "a large Photoshop document"),
    "openexr": (b"\x76\x2f\x31\x01\x02\0\0\0channels\0", "an OpenEXR picture of a rare kind"),
    "short heif": (b"\0\0\0\x10ftypmif3avif\0\0\x18\x96mini", "a HEIF or AVIF picture in the short form"),
    "uncompressed heif": (
        b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic\0\0\0\x29meta\0\0\0\0\0\0\0\x15infe\2\0\0\0\0\1\0\0unci\0",
        "an uncompressed HEIF picture",
    ),
    "dicom": (bytes(128) + b"DICM\2\0\0\0UL\4\0", "a DICOM picture"),
    "canon": (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a raw camera file"),
    "panasonic": (b"IIU\0\x18\0\0\0\x88\xe7\x74\xd8", "a raw camera file"),
    "sigma": (b"FOVb\0\0\x02\0", "a raw camera file"),
    "amiga": (b"FORM\0\0\x10\0ILBMBMHD", "an IFF picture"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "zip": (b"PK\x03\x04\x14\0\0\0\x08\0", "a ZIP archive"),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "compressed with gzip"),
    "fits": (b"SIMPLE  =                    T / file does conform to FITS", "FITS"),
    "mng": (b"\x8aMNG\r\n\x1a\n\0\0\0\x1cMHDR", "an MNG animation"),
    "jng": (b"\x8bJNG\r\n\x1a\n\0\0\0\x10JHDR", "a JNG picture"),
    "quickdraw": (
        bytes(522) + b"\0\x11\x02\xff\x0c\0" + bytes(24) + b"\0\xff",
        "a QuickDraw picture",
    ),
    "old quickdraw": (bytes(518) + b"\0\x30\0\x40\x11\x01\xff", "a QuickDraw picture"),
    "jpeg of 12 bits": (b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x10\0\x10\1\1\x11\0\xff\xd9", "a JPEG of 12 bits"),
    "gimp": (b"gimp xcf v011\0", "a GIMP document"),
    "postscript": (b"%!PS-Adobe-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "an EPS drawing"),
    "eps with a preview": (b"\xc5\xd0\xd3\xc6\x1e\0\0\0", "an EPS drawing"),
    "illustrator": (b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
    "djvu": (b"AT&TFORM\0\0\x10\0DJVM", "a DjVu document"),
    "wmf": (b"\xd7\xcd\xc6\x9a\0\0", "a Windows metafile"),
    "wmf without a head": (b"\x01\0\x09\0\0\x03\x12\0", "a Windows metafile"),
    "emf": (b"\x01\0\0\0\x6c\0\0\0" + bytes(32) + b" EMF\0\0\x01\0", "an enhanced Windows metafile"),
    "corel": (b"RIFF\0\x10\0\0CDRAvrsn", "a CorelDRAW document"),
    "blender": (b"BLENDER-v300REND", "a Blender scene"),
    "gltf": (b"glTF\x02\0\0\0", "a glTF scene"),
    "truetype": (b"\0\x01\0\0\0\x11\x01\0\0\x04\0\x10", "a font"),
    "opentype": (b"OTTO\0\x0b\0\x80", "a font"),
    "web font": (b"wOF2\0\x01\0\0", "a font"),
    "word": (
        b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0" + bytes(12) + b"\x13\0\0\0[Content_Types].xml",
        "an Office document",
    ),
    "old word": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document of before 2007"),
    "writer": (
        b"PK\x03\x04\x14" + bytes(25) + b"mimetypeapplication/vnd.oasis.opendocument.text",
        "an OpenDocument file",
    ),
    "sketch": (b"PK\x03\x04\x14" + bytes(25) + b"document.json", "a Sketch document"),
    "rtf": (b"{\\rtf1\\ansi", "a text document"),
    "bzip2": (b"BZh91AY&SY", "compressed with bzip2"),
    "xz": (b"\xfd7zXZ\0\0\x04", "compressed with xz"),
    "zstandard": (b"\x28\xb5\x2f\xfd\x24\x0c", "compressed with Zstandard"),
    "rar": (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
    "7-zip": (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    "web page": (b"<!DOCTYPE html>\n<html lang=en>", "a web page"),
    "program": (b"\x7fELF\x02\x01\x01", "a Linux program"),
}
"""By name: how such a file begins, and what the error calls it."""
