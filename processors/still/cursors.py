"""Windows' cursors, as the icons that they nearly are."""

from typing import Final

_ICON_HEADER_BYTES: Final = 6
_SMALLEST_INFO_BYTES: Final = 40


def cursor_as_icon(content: bytes) -> bytes:
    """Return a cursor file as an icon file, whose mask Pillow reads as well.

    Where an icon's directory says how many bits a pixel has, a cursor's has the place that points; each bitmap says it again.
    """
    icon = bytearray(content)
    icon[2] = 1
    for entry in range(
        _ICON_HEADER_BYTES, _ICON_HEADER_BYTES + 16 * min(int.from_bytes(content[4:6], "little"), 255), 16
    ):
        at = int.from_bytes(content[entry + 12 : entry + 16], "little")
        is_bitmap = content[at : at + 4] == _SMALLEST_INFO_BYTES.to_bytes(4, "little")
        icon[entry + 4 : entry + 8] = b"\x01\0" + (content[at + 14 : at + 16] if is_bitmap else b"\x20\0")
    return bytes(icon)
