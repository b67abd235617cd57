"""SVG by resvg: a drawing without scripts, network or files, made straight at the size that is wanted."""

import io
import re
import zlib
from collections.abc import Mapping
from typing import Final
from xml.parsers import expat

import resvg_py
from PIL import Image

from processors.limits import MIB
from processors.output.geometry import needed_size
from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile
from processors.still.svg_depth import is_too_deep, without_circles
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec
from schemas.degraded import DegradedReason
from schemas.errors import ErrorCode, PermanentError

HEAD_BYTES: Final = 65536
"""How far the root element is looked for: drawing programs write licences and long declarations before it."""
_MAX_BYTES: Final = 16 * MIB
"""Of text, unpacked."""
_GZIP: Final = b"\x1f\x8b\x08"
_ROOT: Final = "http://www.w3.org/2000/svg svg"
_LENGTH: Final = re.compile(r"\s*\+?(\d*\.?\d+(?:[eE][+-]?\d+)?)\s*(px|pt|pc|mm|cm|in)?\s*$")
_PIXELS: Final = {None: 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
_DPI: Final = 96.0
_REPLACED_SIZE: Final = (300.0, 150.0)
"""CSS's size of what has none; also of the one side that has none, where no view box gives the shape."""
_LANGUAGES: Final = ["en"]
"""For which a drawing may have a part of its own: the one that browsers are most often set to."""
_LARGEST: Final = 1_000_000
_OUTSIDE: Final = re.compile(r"""(href\s*=\s*["'])\s*(?!data:|#)""", re.IGNORECASE)
_ROOT_TAG: Final = re.compile(r"<(?:[\w.-]+:)?svg(?=[\s>/])")
_TEXT: Final = re.compile(r"<(?:\w+:)?text[\s>]")
_DECLARED: Final = re.compile(rb"""^<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
WITHOUT_TEXT: Final = "image-without-text"
"""Here are no fonts: a drawing with text is shown without it."""


def is_svg(head: bytes) -> bool:
    """Return whether the file, perhaps packed by gzip, is an SVG document by its root element; `head` has HEAD_BYTES of it."""
    return _root_of(_unpack(head, HEAD_BYTES)) is not None


def decode_svg(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the drawing, as large as the largest rendition. Raises PermanentError media.corrupt or media.too_many_pixels."""
    if file.size > _MAX_BYTES:
        raise _too_large()
    file.seek(0)
    file.expect_whole()
    content = _unpack(file.read(), _MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise _too_large()
    root = _root_of(content)
    if root is None:
        raise DamagedMediaError("The drawing's beginning is damaged.")
    width, height = _size(root)
    # Lines have no resolution: a small icon is drawn as large as it is shown.
    up = max(max(rendition.width / width, rendition.height / height) for rendition in spec.renditions)
    most = max(1.0, up)
    target = needed_size(max(1, round(width * most)), max(1, round(height * most)), spec.renditions)
    text = _with_size(_OUTSIDE.sub(r"\1#", _decode(content)), root, width, height)
    if is_too_deep(text):
        text = without_circles(text)
    if is_too_deep(text):
        raise DamagedMediaError("The drawing is no XML, or goes too deep.")
    with reading("picture"):
        drawn = _draw(text, *target)
        with Image.open(io.BytesIO(drawn)) as opened:
            image = opened.convert("RGBA")
    has_text = _TEXT.search(text) is not None
    facts = SourceFacts("image", max(1, round(width)), max(1, round(height)), None, "svg", "svg", 0)
    return DecodedFrame(
        image, Frame(None, WITHOUT_TEXT if has_text else "image"), facts, degraded=has_text, reason=DegradedReason.TEXT
    )


def _draw(text: str, width: int, height: int) -> bytes:
    try:
        return resvg_py.svg_to_bytes(
            svg_string=text, width=width, height=height, dpi=_DPI, skip_system_fonts=True, languages=_LANGUAGES
        )
    except BaseException as exc:
        if type(exc).__name__ == "PanicException":  # PyO3's, of no class that is an Exception
            raise DamagedMediaError("The drawing cannot be drawn.") from exc
        raise


def _too_large() -> PermanentError:
    return PermanentError(
        ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The drawing has more than {_MAX_BYTES // MIB} MiB of text."
    )


def _unpack(content: bytes, most: int) -> bytes:
    if not content.startswith(_GZIP):
        return content[:most]
    try:
        return zlib.decompressobj(31).decompress(content, most)
    except zlib.error:
        return b""


def _decode(content: bytes) -> str:
    declared = _DECLARED.match(content)
    encoding = (
        declared[1].decode() if declared else "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    )
    try:
        return content.decode(encoding, "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


class _RootFoundError(Exception):
    """Ends the parsing: nothing behind the root's own tag is asked for."""

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        super().__init__(name)
        self.name: Final = name
        self.attributes: Final = attributes


def _root_of(content: bytes) -> Mapping[str, str] | None:
    """Return the attributes of the root element; None where it is not SVG's."""
    if b"svg" not in content and b"s\0v\0g" not in content:
        return None

    def found(name: str, attributes: Mapping[str, str]) -> None:
        raise _RootFoundError(name, attributes)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = found
    try:
        parser.Parse(content[:HEAD_BYTES].lstrip(), False)
    except _RootFoundError as root:
        return root.attributes if root.name in (_ROOT, "svg") else None
    except (expat.ExpatError, LookupError, ValueError):
        return None
    return None


def _size(root: Mapping[str, str]) -> tuple[float, float]:
    """Return the drawing's size in CSS pixels: its own, or by its view box."""
    width, height = _length(root.get("width")), _length(root.get("height"))
    box = [float(value) for value in re.findall(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?", root.get("viewBox", ""))[:4]]
    if len(box) < 4 or not (0 < box[2] < _LARGEST and 0 < box[3] < _LARGEST):
        return width or _REPLACED_SIZE[0], height or _REPLACED_SIZE[1]
    if width and height:
        return width, height
    if width:
        return width, width * box[3] / box[2]
    if height:
        return height * box[2] / box[3], height
    return box[2], box[3]


def _with_size(text: str, root: Mapping[str, str], width: float, height: float) -> str:
    """Return the drawing with the sides that its root leaves out, which resvg would take from what is drawn."""
    if "viewBox" in root:
        return text
    missing = "".join(
        f' {name}="{side:g}"' for name, side in (("width", width), ("height", height)) if name not in root
    )
    return _ROOT_TAG.sub(lambda found: found[0] + missing, text, count=1)


def _length(text: str | None) -> float | None:
    found = _LENGTH.match(text or "")
    value = float(found[1]) * _PIXELS[found[2]] if found else 0.0
    return value if 0 < value < _LARGEST else None
