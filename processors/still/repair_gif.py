"""GIFs that are cut inside a block of pixels, as GIFs whose last block is shorter: Pillow takes whole blocks only."""

from typing import Final

_HEADER_BYTES: Final = 13
_FRAME, _EXTENSION, _END = 0x2C, 0x21, 0x3B
_FRAME_HEADER_BYTES: Final = 9


def repair_gif(content: bytes) -> bytes:
    """Return the GIF with the bytes that there are of its last block; all else, and GIFs that are cut nowhere, as they are."""
    if not content.startswith(b"GIF8") or len(content) < _HEADER_BYTES:
        return content
    at = _HEADER_BYTES + _palette_bytes(content[10])
    while at < len(content):
        kind = content[at]
        if kind == _FRAME and at + 1 + _FRAME_HEADER_BYTES < len(content):
            at += 1 + _FRAME_HEADER_BYTES + _palette_bytes(content[at + _FRAME_HEADER_BYTES]) + 1
        elif kind == _EXTENSION:
            at += 2
        else:
            return content
        while at < len(content) and content[at]:
            following = at + 1 + content[at]
            if following > len(content):
                there = content[at + 1 :]
                return content[:at] + bytes([len(there)]) + there + bytes([0, _END]) if there else content
            at = following
        at += 1
    return content


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
