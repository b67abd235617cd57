"""JPEGs without their end: whole ones that lack only the marker, and cut ones of which enough is there.

libjpeg fills up what is missing with grey, and Pillow does not pass on that it did. So the picture is decoded twice, with the
end marker alone put to it and with noise before the marker: what the noise changes was not in the file. Scans that are
missing altogether show in the markers.
"""

import io
import random
from dataclasses import dataclass, field
from typing import Final

from PIL import Image, ImageChops

from processors.limits import LEAST_SHOWN, MIB
from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile

_END: Final = b"\xff\xd9"
_MAX_BYTES: Final = 64 * MIB
"""Held in memory several times; photographs are far smaller."""
_MOST_LOST: Final = 1 - LEAST_SHOWN
"""Of the picture. One that lacks more is not shown: it stays media.corrupt."""
_BLOCK_ROWS: Final = 16
_COMPARED_SIDE: Final = 2000
"""Pixels that are left of each side, at least, where the picture has them: what only finer ones would show is not looked for."""
_NOISE_BYTES: Final = 256
"""Before each of the eight restart markers: a decoder that waits for one of them skips what comes before it."""
_SOS, _DHT, _DQT, _DNL, _DRI, _COM = 0xDA, 0xC4, 0xDB, 0xDC, 0xDD, 0xFE
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})
_LOSSLESS: Final = 0xC3
_FRAME_HEADERS: Final = frozenset({0xC0, 0xC1, _LOSSLESS, 0xC9}) | _PROGRESSIVE
"""Of what libjpeg decodes."""
_SEGMENTS: Final = frozenset({_DHT, _DQT, _DNL, _DRI, _COM, *range(0xE0, 0xF0)})
_WITHOUT_SEGMENT: Final = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_USUAL_BITS: Final = 8
_MAX_SEGMENTS: Final = 20_000
"""And bytes between them, before the pixels."""
_SEARCHED_BYTES: Final = 128 * 1024
"""Twice as many as Pillow reads at once; and so far from its end a file may have data that some programs append."""
_END_AHEAD_BYTES: Final = 4096
"""Pillow is content with the last row, and may not have read the marker behind it."""
_PADDING: Final = bytes(16)
"""Zeros that are no pixels, if none of them is needed."""
_ALL_COEFFICIENTS: Final = frozenset(range(64))


@dataclass(frozen=True)
class CompletedJpeg:
    """A JPEG to which an end was put; `is_whole` says that the marker was all that it lacked."""

    content: bytes
    is_whole: bool


@dataclass
class _Markers:
    """The facts in the markers of a JPEG without an end. From `end` on, markers and pixels make no sense."""

    end: int = 0
    is_progressive: bool = False
    components: frozenset[int] = frozenset()
    coarse: frozenset[int] = frozenset()
    """Components of which a scan has begun that gives every block its mean."""
    coarse_before: frozenset[int] = frozenset()
    """The same, before the last scan."""
    exact: dict[int, frozenset[int]] = field(default_factory=dict)
    """By component, the coefficients whose last bit a scan gives."""

    def are_all_scans_there(self) -> bool:
        """Return whether nothing is missing behind the last scan."""
        return all(self.exact.get(component) == _ALL_COEFFICIENTS for component in self.components)


def has_end(file: SourceFile, around: int) -> bool:
    """Return whether a JPEG has its end marker near the place `around`: its own, not the one of a small picture in its headers."""
    at = _first_scan(file)
    if at is None:
        return False
    file.seek(at + 2)
    start = max(at + 2 + int.from_bytes(file.read(2)), around - _SEARCHED_BYTES)
    file.seek(start)
    return _END in file.read(max(0, around + _END_AHEAD_BYTES - start))


def is_one_scan(file: SourceFile, components: int) -> bool:
    """Return whether the first scan of a JPEG that is not progressive has all of its components: there is no other one then."""
    at = _first_scan(file)
    if at is None:
        return False
    file.seek(at + 4)
    return file.read(1) == bytes([components])


def _first_scan(file: SourceFile) -> int | None:
    """Return where the first scan's marker is; None where there is none."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4:
            return None
        if head[0] != 0xFF or head[1] in _WITHOUT_SEGMENT or head[1] == 0xFF:
            at += 1  # decoders step over what stands between two segments
            continue
        if head[1] == _SOS:
            return at
        at += 2 + int.from_bytes(head[2:])
    return None


def is_lossless(content: bytes) -> bool:
    """Return whether the JPEG is of the lossless kind, of which Pillow's library reads some."""
    frame = _frame_header(content)
    return frame is not None and frame[0] == _LOSSLESS


def sample_bits(content: bytes) -> int:
    """Return of how many bits the JPEG's values are; 8 where no header says so."""
    frame = _frame_header(content)
    return _USUAL_BITS if frame is None else content[frame[1]]


def as_if_of_eight_bits(content: bytes) -> bytes:
    """Return the JPEG with a header of eight bits: its tags can be read then, and its pixels no more."""
    frame = _frame_header(content)
    return content if frame is None else content[: frame[1]] + bytes((_USUAL_BITS,)) + content[frame[1] + 1 :]


def _frame_header(content: bytes) -> tuple[int, int] | None:
    """Return the marker of the header that says what the values are, and where its content begins."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        segment = _segment(content, at)
        if segment is None:
            return None
        marker, start, at = segment
        if marker in _FRAME_HEADERS:
            return marker, start
    return None


def complete(file: SourceFile) -> CompletedJpeg | None:
    """Return the JPEG in `file` with an end put to it; None for all other files, for those with an end, and where too much is missing.

    Raises what the source raises.
    """
    file.seek(0)
    if file.read(3) != b"\xff\xd8\xff" or file.size > _MAX_BYTES:
        return None
    file.seek(0)
    file.expect_whole()
    content = file.read()
    markers = _read_markers(content)
    if markers is None or not markers.components or markers.coarse != markers.components:
        return None
    data = content[: markers.end]
    try:
        if data.endswith(_PADDING) and not _is_needed(data):
            data = data.rstrip(b"\0").rstrip(b"\xff")  # half a stuffed byte would be a marker with what follows
        lost = _lost_share(data)
    except DamagedMediaError:
        return None
    if lost > _MOST_LOST and markers.coarse_before != markers.components:
        return None
    return CompletedJpeg(data + _END, is_whole=lost == 0 and markers.are_all_scans_there())


def _segment(content: bytes, at: int) -> tuple[int, int, int] | None:
    """Return the marker at `at`, and where the content of its segment begins and ends; None where there is no whole one."""
    while content[at : at + 2] == b"\xff\xff":
        at += 1  # fill bytes
    if len(content) < at + 4 or content[at] != 0xFF:
        return None
    end = at + 2 + int.from_bytes(content[at + 2 : at + 4])
    return (content[at + 1], at + 4, end) if at + 4 <= end <= len(content) else None


def _read_markers(content: bytes) -> _Markers | None:
    """None where the end is there."""
    found, at = _Markers(), 2
    while True:
        found.end = at
        if content[at : at + 2] == _END:
            return None
        segment = _segment(content, at)
        if segment is None:
            return found
        marker, start, at = segment
        if marker in _FRAME_HEADERS and not found.components:
            found.is_progressive = marker in _PROGRESSIVE
            found.components = frozenset(content[start + 6 : at : 3])
        elif marker == _SOS and at - start >= 6:
            _note_scan(found, content[start:at])
            at = _end_of_scan(content, at)
            if at < 0:
                found.end = len(content.rstrip(b"\xff"))  # half a stuffed byte would be a marker with what follows
                return found
        elif marker not in _SEGMENTS:
            return found


def _note_scan(found: _Markers, header: bytes) -> None:
    components = frozenset(header[1 : 1 + 2 * header[0] : 2])
    first, last, bits = header[-3:]
    if not found.is_progressive:
        first, last, bits = 0, 63, 0
    found.coarse_before = found.coarse
    if first == 0 and bits >> 4 == 0:
        found.coarse |= components
    if bits & 15 == 0:
        for component in components:
            found.exact[component] = found.exact.get(component, frozenset()) | frozenset(range(first, last + 1))


def _end_of_scan(content: bytes, at: int) -> int:
    """Return where the marker behind a scan's pixels is; -1 where they go on to the end of the file."""
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        after = content[at + 1]
        if after not in (0x00, 0xFF) and not 0xD0 <= after <= 0xD7:
            return at
        at += 1 if after == 0xFF else 2
    return -1


def _is_needed(data: bytes) -> bool:
    """Return whether the zeros at the end of `data` are pixels, as those of an even area may be. Raises DamagedMediaError.

    A broken transfer leaves zeros in the place of all that did not come, and a decoder takes them for pixels; but it is through
    with the picture before it is through with them, for they are the shortest of all.
    """
    return _lost_share(data) == 0 and _lost_share(data[: -len(_PADDING)]) > 0


def _lost_share(data: bytes) -> float:
    """Return the share of the picture that is not in `data`. Raises DamagedMediaError."""
    difference = ImageChops.difference(_decode(data), _decode(data + _noise()))
    box = difference.getbbox()
    if box is None:
        return 0.0
    width, height = difference.size
    top = box[1]  # blocks come in rows, from left to right
    first_row = difference.crop((0, top, width, top + 1)).getbbox()
    left = first_row[0] if first_row else 0
    return 1 - (top * width + left * min(_BLOCK_ROWS, height - top)) / (width * height)


@reading("picture")
def _decode(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data + _END), formats=("JPEG",)) as opened:
        opened.draft(None, (_COMPARED_SIDE, _COMPARED_SIDE))
        return opened.copy()


def _noise() -> bytes:
    """Without markers but those of restarts, each of which a decoder may wait for."""
    rng = random.Random(1)  # noqa: S311 - not for secrets; numpy's would be imported late, which a locked process cannot do
    pieces = (rng.randbytes(_NOISE_BYTES).replace(b"\xff", b"\x7f") + bytes((0xFF, 0xD0 + n % 8)) for n in range(16))
    return b"".join(pieces)
