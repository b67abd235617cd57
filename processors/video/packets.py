"""The packets of one video stream, and the ways to reach those around a moment. Nothing is decoded here."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Final

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from processors.limits import MAX_PACKETS_TO_KEYFRAME
from processors.readers import reading
from processors.video.container import StreamTimes

NEAR_S: Final = 2.0
"""A keyframe this close to the wanted moment is as good as the moment itself."""
GUESS_S: Final = 3.0
"""How much earlier a seek is repeated that went too far; longer than common groups of pictures in transport streams."""
_GUESSES_S: Final = (GUESS_S / 3, GUESS_S, GUESS_S * 3)
_GUESSING: Final = frozenset({"mpegts", "mpeg"})
"""FFmpeg seeks in these by the times of any packets, for they have no index: it lands between keyframes."""
_LATER_SHARE: Final = 0.25
"""Of the duration: how far behind the wanted moment the next keyframe may be."""


class PacketReader:
    """Seeks and reads in one stream. Times are in seconds from its first picture on; a failed seek stays where it was.

    `is_guessing`: seeks end at any packet, not at keyframes.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, times: StreamTimes) -> None:
        self._container: Final = container
        self._stream: Final = stream
        self._duration_s: Final = times.duration_s
        self._base: Final = stream.time_base or Fraction(1, av.time_base)
        self._start: Final = times.start
        self.is_guessing: Final = container.format.name in _GUESSING

    def seconds(self, ticks: int | None) -> float:
        """Return a time of the stream's, as seconds; 0 where there is none."""
        return 0.0 if ticks is None else float((ticks - self._start) * self._base)

    def time_s(self, packet: "Packet[VideoStream]") -> float:
        """Return when the packet's picture is shown."""
        return self.seconds(packet.dts if packet.pts is None else packet.pts)

    def packets(self) -> "Iterator[Packet[VideoStream]]":
        """Yield the packets from where the container stands, up to the first that cannot be read."""
        with suppress(FFmpegError), reading("video"):
            yield from self._container.demux(self._stream)

    def keyframes(self) -> "Iterator[Packet[VideoStream]]":
        """Yield the keyframes' packets from where the container stands, less those that an edit list cuts off."""
        for packet in islice(self.packets(), MAX_PACKETS_TO_KEYFRAME):
            if packet.size and packet.is_keyframe and not packet.is_discard:
                yield packet

    def seek(self, time_s: float, *, backward: bool = True) -> None:
        """Go to the keyframe before `time_s`, or behind it; where seeks are guesses, to a packet somewhere before."""
        with suppress(FFmpegError), reading("video"):
            self._container.seek(self._ticks(time_s), stream=self._stream, backward=backward)

    def rewind(self) -> None:
        """Go to the first packet. It lies before the first picture's time, for it is decoded before it is shown."""
        self.seek(-GUESS_S)

    def return_to(self, packet: "Packet[VideoStream]") -> None:
        """Go to a keyframe that was read before."""
        with suppress(FFmpegError), reading("video"):
            self._container.seek(packet.pts or 0, stream=self._stream, backward=True)

    def seek_before(self, time_s: float) -> int | None:
        """Where seeks are guesses: go to a place before the last keyframe up to `time_s`, and return its time in ticks.

        None where none of the guesses found one.
        """
        wanted = self._ticks(time_s)
        for guess_s in _GUESSES_S:
            self.seek(time_s - guess_s)
            found = self._last_keyframe(wanted)
            if found is not None or time_s <= guess_s:
                self.seek(time_s - guess_s)
                return found
        return None

    def _last_keyframe(self, wanted: int) -> int | None:
        found = None
        for packet in islice(self.packets(), MAX_PACKETS_TO_KEYFRAME):
            if packet.dts is not None and packet.dts > wanted:
                break
            if packet.is_keyframe and packet.pts is not None and packet.pts <= wanted:
                found = packet.pts
        return found

    def has_later_keyframe(self, time_s: float) -> bool:
        """Return whether the container's index has a keyframe soon after `time_s`: a seek beyond the last one may read to the end."""
        with reading("video"):
            entries = self._stream.index_entries
            found = entries.search_timestamp(self._ticks(time_s), backward=False)
        if found < 0 or not self._duration_s:
            return False
        later_s = self.seconds(entries[found].timestamp)
        return later_s - time_s <= max(NEAR_S, _LATER_SHARE * self._duration_s)

    def _ticks(self, time_s: float) -> int:
        return self._start + int(time_s / self._base)
