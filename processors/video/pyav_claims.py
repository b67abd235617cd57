"""Sizes that a video claims and FFmpeg refuses: it forgets them, and only its messages tell them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final

from av import logging as messages
from av.container import InputContainer
from av.error import FFmpegError

from processors.readers import DamagedMediaError, reading
from schemas.errors import ErrorCode, PermanentError

_CLAIM: Final = re.compile(r"(?:Picture|Frame) size (\d{1,10})x(\d{1,10}) (?:is invalid|exceeds)")
_PACKETS: Final = 10
"""Each has its size again in most codecs; the first one that is decoded at all says it."""

Messages = list[tuple[int, str, str]]
"""Level, part of FFmpeg, and text."""


@contextmanager
def heard() -> Iterator[Messages]:
    """What FFmpeg says of errors within. It is silent otherwise, for hostile files make it say much."""
    messages.set_level(messages.ERROR)
    messages.set_skip_repeated(False)  # what is skipped would be said later, of another file
    try:
        with messages.Capture() as said:
            yield said
    finally:
        messages.set_level(None)


def refuse_claims(said: Messages) -> None:
    """Raises PermanentError media.too_many_pixels when one of the messages is about a size that is too large."""
    for _, _, text in said:
        claim = _CLAIM.match(text)
        if claim:
            raise PermanentError(
                ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The video claims {claim[1]}x{claim[2]} pixels a frame."
            )


def refuse_first_packets(container: InputContainer, max_pixels: int) -> None:
    """As refuse_claims(), of the beginning of every video stream: for files in which no frame could be decoded."""
    with heard() as said:
        for stream in container.streams.video:
            context: object = stream.codec_context
            if context is not None:
                stream.codec_context.thread_count = 1
                stream.codec_context.options = {"max_pixels": str(max_pixels)}
        with suppress(FFmpegError), reading("video"):
            for packet in islice(container.demux(*container.streams.video), _PACKETS):
                with suppress(FFmpegError, DamagedMediaError), reading("video"):
                    packet.decode()
                refuse_claims(said)
