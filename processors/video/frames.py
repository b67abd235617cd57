"""Single frames by PyAV: seek to a keyframe, and decode as little as possible."""

import time
from collections.abc import Iterator
from itertools import chain, islice
from math import inf
from typing import Final

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from processors.limits import (
    FORWARD_BUDGET_S,
    MAX_FRAMES_FORWARD,
    MAX_FRAMES_FROM_START,
    MAX_KEYFRAMES_TRIED,
    MAX_PIXELS_FORWARD,
)
from processors.video.packets import GUESS_S, NEAR_S, PacketReader
from processors.video.soundness import CheckedDecoder, CheckedFrame

BEGINNING_S: Final = 0.5
"""So early, the first frame is as good as any."""
_USUAL_RATE: Final = 25


class FrameFinder:
    """Finds frames in one stream; what is damaged is stepped over. Times are in seconds from its first picture on."""

    def __init__(self, packets: PacketReader, stream: VideoStream, decoder: CheckedDecoder) -> None:
        self._packets: Final = packets
        self._decoder: Final = decoder
        context = stream.codec_context
        self._pixels_a_second: Final = float(stream.average_rate or _USUAL_RATE) * context.width * context.height
        self._looked_at: Final[set[int | None]] = set()
        self._damaged: Final[set[int | None]] = set()
        self._barren_from_s = inf
        self._has_read_headers = False

    @property
    def is_barren(self) -> bool:
        """Return whether a search found no keyframe, so that seeking cannot be relied on."""
        return self._barren_from_s < inf

    def time_s(self, frame: VideoFrame) -> float:
        """Return the frame's time."""
        return round(max(0.0, self._packets.seconds(frame.pts)), 3)

    def near(self, time_s: float) -> CheckedFrame | None:
        """Return a frame around `time_s`: the keyframe before it or behind it when that is near enough, else the frame itself.

        None where there is none, and where it is one that was given before.
        """
        if self._packets.is_guessing:
            return self._unless_given(self._keyframe_behind(time_s))
        if time_s >= self._barren_from_s:
            return None
        is_barren = True
        # Packets know their times: nothing is decoded before it is known to be wanted.
        for backward in (True, False):
            if backward or self._packets.has_later_keyframe(time_s):
                self._seek(time_s, backward=backward)
                keyframes = self._packets.keyframes()
                first = next(keyframes, None)
                if first is None:
                    continue
                is_barren = False
                is_known = first.pts is not None and first.pts in self._looked_at
                if self._is_near(first, time_s, backward=backward):
                    if is_known:
                        return None
                elif is_known or not (backward and self._is_the_cheaper(first, time_s)):
                    continue
                return self._unless_given(self._first_sound(chain([first], keyframes)) or self.at(time_s))
        if is_barren:
            self._barren_from_s = time_s
            return None
        return self._unless_given(self.at(time_s))

    def _keyframe_behind(self, time_s: float) -> CheckedFrame | None:
        """Return the next keyframe; at 0 s the first. No packet is read twice in search of one that is not there."""
        if time_s >= self._barren_from_s:
            return None
        self._seek(time_s if time_s > 0 else -GUESS_S)
        keyframes = self._packets.keyframes()
        first = next(keyframes, None)
        if first is None:
            self._barren_from_s = time_s
            return None
        if first.pts is not None and first.pts in self._looked_at:
            return None
        return self._first_sound(chain([first], keyframes))

    def _unless_given(self, found: CheckedFrame | None) -> CheckedFrame | None:
        if found is None or (found.picture.pts is not None and found.picture.pts in self._looked_at):
            return None
        self._looked_at.add(found.picture.pts)
        return found

    def at(self, time_s: float) -> CheckedFrame | None:
        """Return the frame that is on screen at `time_s`; the nearest before it that the budgets of time and frames reach."""
        found = self._at(time_s)
        is_damaged = (found is None or not found.is_sound) and self._decoder.has_damaged_keyframes
        if is_damaged and self._read_headers():
            found = self._at(time_s) or found
        return found

    def _at(self, time_s: float) -> CheckedFrame | None:
        frames = self._frames_from(time_s)
        found = next(frames, None)
        if found is not None and 0 < time_s < self.time_s(found.picture) - 1e-3:
            # Some containers without an index are sought in by guessing, and the guess may be late.
            frames = self._frames_from(max(0.0, time_s - GUESS_S))
            found = next(frames, found)
        if found is None:
            return None
        deadline = time.perf_counter() + FORWARD_BUDGET_S
        for later in islice(frames, MAX_FRAMES_FORWARD):
            if self.time_s(later.picture) > time_s + 1e-3 or time.perf_counter() > deadline:
                break
            found = later
        return found

    def _frames_from(self, time_s: float) -> Iterator[CheckedFrame]:
        if not self._packets.is_guessing:
            self._seek(time_s)
            return self._decode()
        keyframe = self._packets.seek_before(time_s)
        self._decoder.flush()
        return self._decode(keyframe)

    def from_start(self, *, rewinds: bool) -> Iterator[CheckedFrame]:
        """Yield the frames from the beginning on, unsound ones as well, but none that was given before or is not referred to.

        `rewinds`: seek there first; else the container stands there already.
        """
        if rewinds:
            self._packets.rewind()
        self._decoder.flush()
        self._decoder.skip_unreferenced(skips=True)
        try:
            for packet in islice(self._packets.packets(), MAX_FRAMES_FROM_START):
                for found in self._decoder.decode(packet):
                    if self._unless_given(found) is not None:
                        yield found
        finally:
            self._decoder.skip_unreferenced(skips=False)

    def is_cheap(self, length_s: float) -> bool:
        """Return whether so much video costs little to decode."""
        return length_s * self._pixels_a_second <= MAX_PIXELS_FORWARD

    def first(self) -> CheckedFrame | None:
        """Return the first frame that can be decoded from where the container stands, as a cover's."""
        return next(self._decode(), None)

    def _is_near(self, keyframe: "Packet[VideoStream]", time_s: float, *, backward: bool) -> bool:
        found_s = self._packets.time_s(keyframe)
        if not backward:
            return found_s > time_s
        return time_s - found_s <= NEAR_S and (found_s >= time_s / 2 or time_s <= BEGINNING_S)

    def _is_the_cheaper(self, keyframe: "Packet[VideoStream]", time_s: float) -> bool:
        """Return whether a keyframe far before `time_s` is worth a look first: decoding on from it costs hundreds of megapixels."""
        if self._packets.has_later_keyframe(time_s):
            return False
        return not self.is_cheap(time_s - self._packets.time_s(keyframe))

    def _first_sound(self, keyframes: "Iterator[Packet[VideoStream]]") -> CheckedFrame | None:
        """Return the first that is sound, decoded alone: no other frame costs anything. Else the first that is there at all."""
        spoilt: CheckedFrame | None = None
        untried = (packet for packet in keyframes if packet.pts is None or packet.pts not in self._damaged)
        for packet in islice(untried, MAX_KEYFRAMES_TRIED):
            found = self._decoder.decode_alone(packet)
            if (found is None or not found.is_sound) and self._read_headers():
                found = self._decoder.decode_alone(packet)
                self._packets.return_to(packet)
            if found is not None and found.is_sound:
                return self._with_both_fields(found, packet)
            self._damaged.add(packet.pts)
            spoilt = spoilt or found
        return spoilt

    def _read_headers(self) -> bool:
        """Feed the decoder the stream's first packet, once: x264's version and parameter sets may stand nowhere else.

        The container then stands at its beginning. Return whether this may have changed anything.
        """
        if self._has_read_headers:
            return False
        self._has_read_headers = True
        self._packets.rewind()
        self._decoder.flush()
        first = next(self._packets.packets(), None)
        if first is None:
            return False
        self._decoder.read_headers(first)
        return True

    def _with_both_fields(self, found: CheckedFrame, packet: "Packet[VideoStream]") -> CheckedFrame:
        """The second field of an interlaced frame may be a packet of its own."""
        if not found.picture.interlaced_frame or packet.pts is None:
            return found
        self._packets.return_to(packet)
        self._decoder.flush()
        return next(self._decode(), None) or found

    def _seek(self, time_s: float, *, backward: bool = True) -> None:
        self._packets.seek(time_s, backward=backward)
        self._decoder.flush()

    def _decode(self, keyframe: int | None = None) -> Iterator[CheckedFrame]:
        """Yield every sound frame from here on, or from the keyframe of this time, in order; without any, the first spoilt one."""
        spoilt: CheckedFrame | None = None
        is_any_sound = False
        for packet in self._decodable(keyframe):
            for found in self._decoder.decode(packet):
                if found.is_sound:
                    is_any_sound = True
                    yield found
                else:
                    spoilt = spoilt or found
        if spoilt is not None and not is_any_sound:
            yield spoilt

    def _decodable(self, keyframe: int | None) -> "Iterator[Packet[VideoStream]]":
        """Yield the packets, less those before the keyframe, and those right behind it whose pictures are shown before it:
        they refer to pictures that were not decoded.
        """
        first: int | None = None
        is_past_it = False
        for packet in self._packets.packets():
            if keyframe is not None:
                if packet.pts != keyframe:
                    continue
                keyframe = None
            if first is None:
                first = packet.pts if packet.is_keyframe else None
            elif not is_past_it and packet.pts is not None:
                if packet.pts < first:
                    continue
                is_past_it = True
            yield packet
