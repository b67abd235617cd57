"""Radiance pictures with the one header that FFmpeg follows."""

import re
from typing import Final

_HEADER_BYTES: Final = 4096
_SIZE: Final = re.compile(rb"\n\n[-+][XY] \d{1,9} [-+][XY] \d{1,9}\n")
_PLAIN: Final = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe"


def with_plain_header(content: bytes) -> bytes:
    """Return a Radiance picture under its usual name, without notes about its making; all else as it is."""
    if not content.startswith((b"#?RADIANCE", b"#?RGBE")):
        return content
    size = _SIZE.search(content[:_HEADER_BYTES])
    return content if size is None or b"xyze" in content[: size.start()] else _PLAIN + content[size.start() :]
