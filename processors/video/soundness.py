"""A decoder that says which of its frames are sound: FFmpeg conceals damage, and hands out frames that it knows to be wrong."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from processors.readers import DamagedMediaError, reading
from processors.video.container import Messages, heard

_HARMLESS: Final = re.compile(
    r"SEI type|unable to decode APP fields|Unknown (?:profile|level)|Invalid UserDataUnregistered|"
    r"Unsupported bit depth for film grain|EXIF|ICC profile|Error (?:parsing|attaching) .*(?:side data|metadata|DOVI|RPU)",
    re.IGNORECASE,
)
"""Errors in what stands beside the pictures; every other error of a decoder is about its pictures."""
_MOST_DAMAGED: Final = 3
"""One keyframe of so many."""
_MOST_RENEWED: Final = 32
"""Each costs a few milliseconds; a video with so much damage is not trusted any more."""


class CheckedFrame(NamedTuple):
    """A decoded frame. One that is not sound was made from damaged data, or refers to a frame that was."""

    picture: VideoFrame
    is_sound: bool


class CheckedDecoder:
    """Decodes packets one after another. No frame is sound before the first keyframe, nor behind damage before the next one.

    `new_context` makes a decoder of the stream's. FFmpeg's keep some of what they had half decoded when they met damage
    (of H.264 with CAVLC, for instance), flushed or not, and the next pictures come out green: another one takes their place.
    """

    def __init__(self, new_context: Callable[[], VideoCodecContext]) -> None:
        self._new_context: Final = new_context
        self._context = new_context()
        self._headers: Packet[VideoStream] | None = None
        self._is_stained = self._is_renewed_next = False
        self._renewals_left = _MOST_RENEWED
        self._has_begun = False
        self._is_spoilt = False
        self._spoilt: Final[set[int]] = set()
        """Times of the packets that make no sound frame: a decoder hands frames out later, and in another order."""
        self._keyframes = self._damaged_keyframes = 0

    @property
    def has_damaged_keyframes(self) -> bool:
        """Return whether there was damage in a keyframe."""
        return self._damaged_keyframes > 0

    @property
    def is_trusted(self) -> bool:
        """Return whether its word counts for sound frames: where many keyframes are damaged, others are so unnoticed."""
        few = self._damaged_keyframes * _MOST_DAMAGED < self._keyframes or not self.has_damaged_keyframes
        return few and self._renewals_left > 0

    def decode(self, packet: "Packet[VideoStream]") -> list[CheckedFrame]:
        """Return the frames that this packet completes; none where it is damaged beyond decoding."""
        self._is_renewed_next = self._is_renewed_next or (self._is_stained and packet.is_keyframe)
        frames, is_damaged = self._checked(packet, alone=False)
        self._has_begun = self._has_begun or packet.is_keyframe
        if is_damaged:
            self._is_spoilt = True
        elif packet.is_keyframe:
            self._is_spoilt = False
        if packet.pts is not None and (self._is_spoilt or not self._has_begun):
            self._spoilt.add(packet.pts)
        return [CheckedFrame(frame, self._is_sound(frame)) for frame in frames]

    def decode_alone(self, packet: "Packet[VideoStream]") -> CheckedFrame | None:
        """Return what one packet gives; the decoder is emptied, for it may hold the frame back until others come."""
        frames, is_damaged = self._checked(packet, alone=True)
        self.flush()
        if not frames:
            return None
        return CheckedFrame(frames[0], not (is_damaged or frames[0].is_corrupt))

    def _checked(self, packet: "Packet[VideoStream]", *, alone: bool) -> tuple[list[VideoFrame], bool]:
        """Return what the packet gives, and whether it is damaged."""
        if self._is_renewed_next:
            self._renew()
        frames: list[VideoFrame] = []
        is_damaged = packet.is_corrupt
        with heard() as said:
            try:
                with reading("video"):
                    frames = self._context.decode(packet) or (self._context.decode(None) if alone else [])
            except (FFmpegError, DamagedMediaError):
                is_damaged = True
        is_damaged = is_damaged or _is_about_pictures(said)
        self._is_stained = self._is_stained or is_damaged or any(frame.is_corrupt for frame in frames)
        self._keyframes += packet.is_keyframe
        self._damaged_keyframes += packet.is_keyframe and is_damaged
        return frames, is_damaged

    def read_headers(self, packet: "Packet[VideoStream]") -> None:
        """Read parameter sets and user data out of a packet, whose picture is not decoded; they are kept from now on."""
        self._headers = packet
        self._is_renewed_next = True
        self._keyframes = self._damaged_keyframes = 0  # what was not understood without them is no damage

    def skip_unreferenced(self, *, skips: bool) -> None:
        """Leave out the frames that no other one refers to: half of the work of decoding on."""
        self._context.skip_frame = "NONREF" if skips else "DEFAULT"

    def flush(self) -> None:
        """Forget all pictures: the next packet is not one that follows the last."""
        self._is_renewed_next = self._is_renewed_next or self._is_stained
        self._context.flush_buffers()
        self._has_begun = self._is_spoilt = False
        self._spoilt.clear()

    def _renew(self) -> None:
        """Take another decoder, while there may be more; one that cannot be made leaves the old one in its place."""
        self._is_stained = self._is_renewed_next = False
        if not self._renewals_left:
            return
        self._renewals_left -= 1
        skipped = self._context.skip_frame
        with suppress(FFmpegError, DamagedMediaError):
            self._context = self._new_context()
        if self._headers is not None:
            self._context.skip_frame = "ALL"
            self._checked(self._headers, alone=False)
            self._context.flush_buffers()
            self._is_stained = False
        self._context.skip_frame = skipped

    def _is_sound(self, frame: VideoFrame) -> bool:
        if frame.is_corrupt:
            return False
        if not self._has_begun and frame.key_frame and not self._is_spoilt:
            self._has_begun = True  # its container did not call it a keyframe
            return True
        if frame.pts is None:
            return self._has_begun and not self._is_spoilt
        return frame.pts not in self._spoilt


def _is_about_pictures(said: Messages) -> bool:
    return any(not _HARMLESS.search(text) for _, _, text in said)
