"""Single frames out of a container by PyAV: seek to a keyframe, and decode as little as possible."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain, islice
from typing import Final

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from processors.limits import FORWARD_BUDGET_S, MAX_FRAMES_FORWARD, MAX_PACKETS_TO_KEYFRAME, MAX_PIXELS_FORWARD
from processors.readers import DamagedMediaError, reading

NEAR_S: Final = 2.0
"""A keyframe this close to the wanted moment is as good as the moment itself."""
GUESS_S: Final = 3.0
"""How much earlier a seek is repeated that went too far; longer than common groups of pictures in transport streams."""
_BEGINNING_S: Final = 0.5
"""So early, the first frame is as good as any."""
_USUAL_RATE: Final = 25
_LATER_SHARE: Final = 0.25
"""Of the duration: how far behind the wanted moment the next keyframe may be."""


class FrameFinder:
    """Seeks and decodes in one stream, whose first picture is at `start` ticks; what is damaged is stepped over."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        start: int,
        duration_s: float | None,
        decoder: VideoCodecContext,
    ) -> None:
        self._container: Final = container
        self._stream: Final = stream
        self._decoder: Final = decoder
        self._duration_s: Final = duration_s
        self._base: Final = stream.time_base or Fraction(1, av.time_base)
        self._start: Final = start
        self._looked_at: Final[set[int | None]] = set()

    def time_s(self, frame: VideoFrame) -> float:
        """Return the frame's time from the video's beginning, in seconds."""
        return round(max(0.0, self._ticks_to_s(frame.pts)), 3)

    def near(self, time_s: float) -> VideoFrame | None:
        """Return a frame around `time_s`: the keyframe before it or behind it when that is near enough, else the frame itself.

        None where there is none, and where it is one that was given before.
        """
        # Packets know their times: nothing is decoded before it is known to be wanted.
        for backward in (True, False):
            if backward or self._has_later_keyframe(time_s):
                self._seek(time_s, backward=backward)
                keyframes = self._keyframes()
                first = next(keyframes, None)
                if first is None:
                    continue
                is_known = first.pts is not None and first.pts in self._looked_at
                if self._is_near(first, time_s, backward=backward):
                    if is_known:
                        return None
                elif is_known or not (backward and self._is_the_cheaper(first, time_s)):
                    continue
                return self._unless_given(self._first_sound(chain([first], keyframes)) or self.at(time_s))
        return self._unless_given(self.at(time_s))

    def _unless_given(self, frame: VideoFrame | None) -> VideoFrame | None:
        if frame is None or (frame.pts is not None and frame.pts in self._looked_at):
            return None
        self._looked_at.add(frame.pts)
        return frame

    def at(self, time_s: float) -> VideoFrame | None:
        """Return the frame that is on screen at `time_s`; the nearest before it that the budgets of time and frames reach."""
        frames = self._frames_from(time_s)
        found = next(frames, None)
        if found is not None and 0 < time_s < self.time_s(found) - 1e-3:
            # Containers without an index are sought in by guessing, and the guess may be late.
            frames = self._frames_from(max(0.0, time_s - GUESS_S))
            found = next(frames, found)
        if found is None:
            return None
        deadline = time.perf_counter() + FORWARD_BUDGET_S
        for later in islice(frames, MAX_FRAMES_FORWARD):
            if self.time_s(later) > time_s + 1e-3 or time.perf_counter() > deadline:
                break
            found = later
        return found

    def _frames_from(self, time_s: float) -> Iterator[VideoFrame]:
        self._seek(time_s, backward=True)
        return self._decode()

    def first(self) -> VideoFrame | None:
        """Return the first frame that can be decoded from where the container stands: no seek, so that it is tried last."""
        return next(self._decode(), None)

    def _is_near(self, keyframe: "Packet[VideoStream]", time_s: float, *, backward: bool) -> bool:
        found_s = self._ticks_to_s(keyframe.dts if keyframe.pts is None else keyframe.pts)
        if not backward:
            return found_s > time_s
        return time_s - found_s <= NEAR_S and (found_s >= time_s / 2 or time_s <= _BEGINNING_S)

    def _is_the_cheaper(self, keyframe: "Packet[VideoStream]", time_s: float) -> bool:
        """Return whether a keyframe far before `time_s` is worth a look first: decoding on from it costs hundreds of megapixels."""
        if self._has_later_keyframe(time_s):
            return False
        context = self._stream.codec_context
        rate = float(self._stream.average_rate or _USUAL_RATE)
        found_s = self._ticks_to_s(keyframe.dts if keyframe.pts is None else keyframe.pts)
        return (time_s - found_s) * rate * context.width * context.height > MAX_PIXELS_FORWARD

    def _has_later_keyframe(self, time_s: float) -> bool:
        """Return whether the container's index has a keyframe soon after `time_s`: a seek beyond the last one may read to the end."""
        with reading("video"):
            entries = self._stream.index_entries
            found = entries.search_timestamp(self._ticks(time_s), backward=False)
        if found < 0 or not self._duration_s:
            return False
        later_s = self._ticks_to_s(entries[found].timestamp)
        return later_s - time_s <= max(NEAR_S, _LATER_SHARE * self._duration_s)

    def _keyframes(self) -> "Iterator[Packet[VideoStream]]":
        """Return the keyframes' packets from where the container stands."""
        for packet in islice(self._packets(), MAX_PACKETS_TO_KEYFRAME):
            if packet.size and packet.is_keyframe:
                yield packet

    def _first_sound(self, keyframes: "Iterable[Packet[VideoStream]]") -> VideoFrame | None:
        """Return the first that is whole, decoded alone: no other frame costs anything. Else the first that is there at all."""
        spoilt: VideoFrame | None = None
        for packet in keyframes:
            frame = self._decode_alone(packet)
            if frame is not None and not frame.is_corrupt:
                return self._with_both_fields(frame, packet)
            spoilt = spoilt or frame
        return spoilt

    def _decode_alone(self, packet: "Packet[VideoStream]") -> VideoFrame | None:
        """Return what one packet gives; the decoder is emptied, for it may hold the frame back until others come."""
        context = self._decoder
        frames: list[VideoFrame] = []
        try:
            with suppress(FFmpegError, DamagedMediaError), reading("video"):
                frames = context.decode(packet) or context.decode(None)
        finally:
            context.flush_buffers()
        return frames[0] if frames else None

    def _with_both_fields(self, frame: VideoFrame, packet: "Packet[VideoStream]") -> VideoFrame:
        """The second field of an interlaced frame may be a packet of its own."""
        if not frame.interlaced_frame or packet.pts is None:
            return frame
        with suppress(FFmpegError), reading("video"):
            self._container.seek(packet.pts, stream=self._stream, backward=True)
        return next(self._decode(), None) or frame

    def _seek(self, time_s: float, *, backward: bool) -> None:
        with suppress(FFmpegError), reading("video"):  # not seekable, as raw streams are: decode from where we are
            self._container.seek(self._ticks(time_s), stream=self._stream, backward=backward)

    def _ticks_to_s(self, ticks: int | None) -> float:
        return 0.0 if ticks is None else float((ticks - self._start) * self._base)

    def _ticks(self, time_s: float) -> int:
        return self._start + int(time_s / self._base)

    def _decode(self) -> Iterator[VideoFrame]:
        """Yield every sound frame from here on, in order; when there is none, the first spoilt one."""
        spoilt: VideoFrame | None = None
        is_any_sound = False
        for packet in self._packets():
            try:
                with reading("video"):
                    frames = self._decoder.decode(packet)
            except (FFmpegError, DamagedMediaError):
                continue  # a damaged packet; a later one may be whole
            for frame in frames:
                if frame.is_corrupt:
                    spoilt = spoilt or frame
                else:
                    is_any_sound = True
                    yield frame
        if spoilt is not None and not is_any_sound:
            yield spoilt

    def _packets(self) -> "Iterator[Packet[VideoStream]]":
        with suppress(FFmpegError), reading("video"):
            yield from self._container.demux(self._stream)
