"""Windows' icons and cursors as Pillow reads them."""

from typing import Final

_HEADER_BYTES: Final = 6
_ENTRY_BYTES: Final = 16
_INFO_BYTES: Final = 40
_MASKED_BITS: Final = (1, 4, 8, 16, 24)
"""Of a pixel, in bitmaps behind whose colours the mask lies."""
_MOST_PALETTE_BITS: Final = 8
_UNKNOWN_BITS: Final = 256
"""As Pillow has them: those of a PNG whose directory says nothing."""


def plain_icon(content: bytes) -> bytes:
    """Return an icon or cursor file as an icon file whose masks Pillow finds.

    Where an icon's directory says how many bits a pixel has, a cursor's has the place that points; each bitmap says it again. Pillow
    looks for the mask before the end of the bitmap as the directory has it, and other readers behind the colours. Pillow shows the
    fewest colours that there are in a size; the pictures with fewer than the most are left out, as browsers choose.
    """
    icon = bytearray(content)
    icon[2] = 1
    for entry in range(_HEADER_BYTES, _HEADER_BYTES + _ENTRY_BYTES * min(_number(content[4:6]), 255), _ENTRY_BYTES):
        at = _number(content[entry + 12 : entry + 16])
        is_bitmap = _number(content[at : at + 4]) == _INFO_BYTES
        if is_bitmap or content[2] != 1:
            icon[entry + 4 : entry + 8] = b"\x01\0" + (content[at + 14 : at + 16] if is_bitmap else b"\x20\0")
        length = _length(content[at : at + _INFO_BYTES]) if is_bitmap else None
        if length is not None and at + length <= len(content):
            icon[entry + 8 : entry + 12] = length.to_bytes(4, "little")
    return _with_the_deepest(bytes(icon))


def _with_the_deepest(icon: bytes) -> bytes:
    """Return the file with a directory that has each size once. The places of the pictures stay."""
    end = _HEADER_BYTES + _ENTRY_BYTES * _number(icon[4:6])
    entries = [icon[at : at + _ENTRY_BYTES] for at in range(_HEADER_BYTES, min(end, len(icon)), _ENTRY_BYTES)]
    deepest: dict[bytes, bytes] = {}
    for entry in entries:
        others = deepest.get(entry[:2])
        if others is None or (_number(entry[6:8]) or _UNKNOWN_BITS) > (_number(others[6:8]) or _UNKNOWN_BITS):
            deepest[entry[:2]] = entry
    kept = b"".join(deepest.values())
    return icon[:4] + len(deepest).to_bytes(2, "little") + kept + icon[_HEADER_BYTES + len(kept) :]


def _length(info: bytes) -> int | None:
    """Return the bytes of a bitmap with its colours and its mask; None where it is packed or has no mask."""
    if len(info) < _INFO_BYTES:
        return None
    width, height, bits, packing, used = (
        _number(info[start:end]) for start, end in ((4, 8), (8, 12), (14, 16), (16, 20), (32, 36))
    )
    if bits not in _MASKED_BITS or packing:
        return None
    palette = 4 * (used or (1 << bits if bits <= _MOST_PALETTE_BITS else 0))
    rows = height // 2  # it counts those of the mask, too
    return _INFO_BYTES + palette + rows * ((width * bits + 31) // 32 * 4 + (width + 31) // 32 * 4)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")
