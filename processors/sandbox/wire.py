"""The messages between the worker and a decoder: fixed structures, bounded, and never unpickled."""

import base64
import binascii
import json
import math
import struct
from dataclasses import asdict, dataclass
from typing import Any, Final

from processors.limits import MAX_RESULT_BYTES
from processors.sandbox.encoded import NotAPictureError, check_picture
from processors.types import (
    Frame,
    Kind,
    PictureFormat,
    Rendition,
    RenditionSpec,
    SourceFacts,
    ThumbnailSet,
    ThumbnailSpec,
)
from schemas.degraded import DegradedReason

FRAME: Final = struct.Struct("<cxxxIQ")
"""Kind, length of what follows (or of what is asked for), offset."""
JOB, DATA, READ, DONE, FAILED = b"J", b"D", b"R", b"K", b"E"

ORDER: Final = struct.Struct("<cxxxId")
"""To the slot: kind, the job's number, and its deadline in seconds."""
PREPARE, START, END = b"P", b"S", b"X"
"""Fork a child for the socket that comes along; its job is on its way, or it may wait for another, count the time; it is to
end now, if it has not."""
CHILD_EXIT: Final = struct.Struct("<IiBdI")
"""From the slot when a child has ended: its job's number, exit status as wait4 gives it, whether it was killed for being
late, CPU seconds, peak memory in KiB."""
HELLO: Final = b"ready:"
"""From the slot when it is warm. After it, a line each: Landlock's version, and what a caged child could do that it must not."""
BROKEN: Final = b"broken:"
"""Instead of HELLO: what a slot found when it tried its decoders. Then it ends."""

_META: Final = struct.Struct("<BIIdH24s24sdd32sH32sdddB80s")
_PICTURE: Final = struct.Struct("<III")
_THUMBHASH_BYTES: Final = range(5, 41)
_REASONS: Final = frozenset(DegradedReason)
_KINDS: Final[tuple[Kind, ...]] = ("video", "image")


class WireError(Exception):
    """A decoder sent something that the protocol does not allow."""


@dataclass(frozen=True)
class Job:
    """The order to a child; goes towards the child only."""

    size: int
    spec: ThumbnailSpec
    kind: Kind | None

    def pack(self) -> bytes:
        """JSON is safe in this direction: the worker writes it, only the sandboxed child parses it."""
        return json.dumps({"size": self.size, "kind": self.kind, "spec": asdict(self.spec)}).encode()

    @classmethod
    def unpack(cls, data: bytes) -> "Job":
        """Return the job in `data`."""
        fields: dict[str, Any] = json.loads(data)
        spec = fields["spec"]
        renditions = tuple(
            RenditionSpec(**item | {"format": item["format"] and PictureFormat[item["format"].upper()]})
            for item in spec.pop("renditions")
        )
        picture_format = PictureFormat[spec.pop("format").upper()]
        return cls(fields["size"], ThumbnailSpec(renditions=renditions, format=picture_format, **spec), fields["kind"])


def pack_result(result: ThumbnailSet) -> bytes:
    """Pack the facts as one fixed structure, then each picture with its size. The spec has names and formats."""
    facts, frame = result.source, result.frame
    meta = _META.pack(
        _KINDS.index(facts.kind),
        facts.width,
        facts.height,
        _number(facts.duration_s),
        facts.rotation,
        printable(facts.codec)[:24],
        printable(facts.format)[:24],
        _number(frame.time_s),
        _number(frame.score),
        printable(frame.method)[:32],
        min(frame.candidates, 0xFFFF),
        (result.degraded_reason or "").encode("ascii"),
        result.read_ms,
        result.decode_ms,
        result.render_ms,
        len(result.renditions),
        (result.placeholder or "").encode("ascii"),
    )
    pictures = [_PICTURE.pack(r.width, r.height, len(r.content)) + r.content for r in result.renditions]
    return meta + b"".join(pictures)


def unpack_result(data: bytes, spec: ThumbnailSpec, bytes_read: int) -> ThumbnailSet:
    """Return the result in `data`: each number and text checked, and each picture a plain one of its size.

    Raises WireError. A decoder that a file has taken over may send anything: what this lets through is stored and announced.
    """
    if len(data) > MAX_RESULT_BYTES:
        raise WireError("the result is too large")
    try:
        fields = _META.unpack_from(data)
        pictures = _unpack_pictures(data, _META.size, spec)
    except struct.error as exc:
        raise WireError("the result is too short") from exc
    kind, width, height, duration_s, rotation, codec, container, time_s, score, method = fields[:10]
    candidates, degraded, read_ms, decode_ms, render_ms, count, placeholder = fields[10:]
    reason = _text(degraded)
    if reason and reason not in _REASONS:
        raise WireError("the result is degraded for no known reason")
    times_ms = read_ms, decode_ms, render_ms
    if kind >= len(_KINDS) or count != len(spec.renditions) or not (width and height):
        raise WireError("the result's facts are out of range")
    if not all(0 <= value < math.inf for value in times_ms) or (_maybe(duration_s) or 0.0) < 0:
        raise WireError("the result's times are out of range")
    return ThumbnailSet(
        renditions=pictures,
        frame=Frame(_maybe(time_s), _text(method), _maybe(score), candidates),
        source=SourceFacts(
            _KINDS[kind], width, height, _maybe(duration_s), _text(codec), _text(container), rotation % 360
        ),
        degraded_reason=DegradedReason(reason) if reason else None,
        bytes_read=bytes_read,
        read_ms=read_ms,
        decode_ms=decode_ms,
        render_ms=render_ms,
        placeholder=_placeholder(placeholder),
    )


def _unpack_pictures(data: bytes, offset: int, spec: ThumbnailSpec) -> tuple[Rendition, ...]:
    renditions = []
    for wanted in spec.renditions:
        width, height, length = _PICTURE.unpack_from(data, offset)
        offset += _PICTURE.size
        content = data[offset : offset + length]
        offset += length
        fits = 0 < width <= wanted.width and 0 < height <= wanted.height
        if not fits or not 0 < len(content) == length:
            raise WireError("a rendition does not fit its box")
        picture_format = spec.format_of(wanted)
        try:
            check_picture(content, picture_format, width, height)
        except NotAPictureError as exc:
            raise WireError(f"a rendition is no {picture_format} picture: {exc}") from exc
        renditions.append(Rendition(wanted.name, width, height, picture_format, content))
    if offset != len(data):
        raise WireError("the result has more than it should")
    return tuple(renditions)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _maybe(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _placeholder(raw: bytes) -> str | None:
    text = _text(raw)
    try:
        if text and len(base64.b64decode(text, validate=True)) not in _THUMBHASH_BYTES:
            raise WireError("the placeholder has another length than a ThumbHash")
    except binascii.Error as exc:
        raise WireError("the placeholder is no ThumbHash") from exc
    return text or None


def printable(text: str) -> bytes:
    """Return the text as printable ASCII, with a ? for everything else: so a child sends it."""
    return "".join(char if " " <= char <= "~" else "?" for char in text).encode("ascii")


def _text(raw: bytes) -> str:
    return read_text(raw.rstrip(b"\0"))


def read_text(raw: bytes) -> str:
    """Return a child's text, which goes to events and logs. Raises WireError unless it is printable ASCII."""
    if any(not 0x20 <= byte < 0x7F for byte in raw):
        raise WireError("a text of it is not printable ASCII")
    return raw.decode("ascii")
