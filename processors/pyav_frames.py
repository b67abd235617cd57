"""Single frames out of a container by PyAV: seek to a keyframe, and decode as little as possible."""

import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Final

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from processors.limits import FORWARD_BUDGET_S, MAX_FRAMES_FORWARD, MAX_PACKETS_TO_KEYFRAME

NEAR_S: Final = 2.0
"""A keyframe this close to the wanted moment is as good as the moment itself."""
_LATER_SHARE: Final = 0.25
"""Of the duration: how far behind the wanted moment the next keyframe may be."""


class FrameFinder:
    """Seeks and decodes in one stream; what is damaged is stepped over."""

    def __init__(self, container: InputContainer, stream: VideoStream, duration_s: float | None) -> None:
        self._container: Final = container
        self._stream: Final = stream
        self._duration_s: Final = duration_s
        self._base: Final = stream.time_base or Fraction(1, av.time_base)
        self._start: Final = stream.start_time or 0

    def time_s(self, frame: VideoFrame) -> float:
        """The frame's time from the video's beginning, in seconds."""
        if frame.pts is None:
            return 0.0
        return round(max(0.0, float((frame.pts - self._start) * self._base)), 3)

    def near(self, time_s: float) -> VideoFrame | None:
        """A frame around `time_s`: the keyframe before it or behind it when that is near enough, else the frame itself."""
        earlier = self._keyframe(time_s, backward=True)
        if earlier is None:
            return self.at(time_s)
        found_s = self.time_s(earlier)
        if abs(time_s - found_s) <= NEAR_S and found_s >= time_s / 2:
            return earlier
        if self._has_later_keyframe(time_s):
            later = self._keyframe(time_s, backward=False)
            if later is not None and self.time_s(later) > found_s:
                return later
        return self.at(time_s)

    def at(self, time_s: float) -> VideoFrame | None:
        """The frame that is on screen at `time_s`; the nearest before it that the budgets of time and frames reach."""
        self._seek(time_s, backward=True)
        frames = self._decode()
        found = next(frames, None)
        if found is None:
            return None
        deadline = time.perf_counter() + FORWARD_BUDGET_S
        for later in islice(frames, MAX_FRAMES_FORWARD):
            if self.time_s(later) > time_s + 1e-3 or time.perf_counter() > deadline:
                break
            found = later
        return found

    def first(self) -> VideoFrame | None:
        """The first frame that can be decoded from where the container stands: no seek, so that it is tried last."""
        return next(self._decode(), None)

    def _has_later_keyframe(self, time_s: float) -> bool:
        """Whether the container's index has a keyframe soon after `time_s`: a seek beyond the last one may read to the end."""
        entries = self._stream.index_entries
        found = entries.search_timestamp(self._ticks(time_s), backward=False)
        if found < 0 or not self._duration_s:
            return False
        later_s = float((entries[found].timestamp - self._start) * self._base)
        return later_s - time_s <= max(NEAR_S, _LATER_SHARE * self._duration_s)

    def _keyframe(self, time_s: float, *, backward: bool) -> VideoFrame | None:
        """The first sound keyframe from there on, decoded alone: no other frame costs anything."""
        self._seek(time_s, backward=backward)
        spoilt: VideoFrame | None = None
        with suppress(FFmpegError):  # the file ends amid a packet
            for packet in islice(self._container.demux(self._stream), MAX_PACKETS_TO_KEYFRAME):
                if packet.size and packet.is_keyframe:
                    frame = self._decode_alone(packet)
                    if frame is not None and not frame.is_corrupt:
                        return self._whole(frame, time_s, backward=backward)
                    spoilt = spoilt or frame
        return spoilt

    def _decode_alone(self, packet: "Packet[VideoStream]") -> VideoFrame | None:
        """What one packet gives; the decoder is emptied, for it may hold the frame back until others come."""
        context = self._stream.codec_context
        frames: list[VideoFrame] = []
        try:
            with suppress(FFmpegError, EOFError):
                frames = context.decode(packet) or context.decode(None)
        finally:
            context.flush_buffers()
        return frames[0] if frames else None

    def _whole(self, frame: VideoFrame, time_s: float, *, backward: bool) -> VideoFrame:
        """The frame with both of its fields: the second one of an interlaced frame may be a packet of its own."""
        if not frame.interlaced_frame:
            return frame
        self._seek(time_s, backward=backward)
        return next(self._decode(), None) or frame

    def _seek(self, time_s: float, *, backward: bool) -> None:
        with suppress(FFmpegError):  # not seekable, as raw streams are: decode from where we are
            self._container.seek(self._ticks(time_s), stream=self._stream, backward=backward)

    def _ticks(self, time_s: float) -> int:
        return self._start + int(time_s / self._base)

    def _decode(self) -> Iterator[VideoFrame]:
        spoilt: VideoFrame | None = None
        for packet in self._packets():
            try:
                frames = packet.decode()
            except (FFmpegError, EOFError):
                continue  # a damaged packet; a later one may be whole
            for frame in frames:
                if spoilt is None and frame.is_corrupt:
                    spoilt = frame
                if not frame.is_corrupt:
                    spoilt = None
                    yield frame
        if spoilt is not None:
            yield spoilt

    def _packets(self) -> "Iterator[Packet[VideoStream]]":
        with suppress(FFmpegError):
            yield from self._container.demux(self._stream)
