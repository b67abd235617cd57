"""Every bound on untrusted media, with its reason."""

from typing import Final

MIB: Final = 1024**2

BLOCK_BYTES: Final = 256 * 1024
"""Unit of reading: two to five requests find a keyframe in common files."""
MAX_BLOCK_RUN_BYTES: Final = 4 * MIB
"""Sequential reading doubles the unit up to this."""
CACHE_BYTES: Final = 16 * MIB
"""Of one source, in the decoder's memory."""
MAX_READ_BYTES: Final = 16 * MIB
"""Of one request; the parent refuses more."""
MAX_READS: Final = 4096
"""Of one source: a demuxer that seeks for ever is stopped in a fraction of a second."""
MAX_RESULT_BYTES: Final = 4 * MIB
"""Of all renditions together: the parent reads no more from a decoder."""
MAX_ERROR_BYTES: Final = 500
"""Of an error's code and text."""
CPU_S: Final = 10
"""Processor time of one decode; the hard limit is a second later, so that the soft one's signal can be seen."""
KILL_GRACE_S: Final = 2.0
"""How long after its deadline a slot may take to answer before it is replaced."""
START_TIMEOUT_S: Final = 60.0
"""The first start after an installation reads cold files."""
JOBS_PER_SLOT: Final = 10_000
"""A slot is replaced after this many jobs: its children share one memory layout."""
MAX_FRAMES_FORWARD: Final = 300
"""Frames decoded from a keyframe on to reach a moment: ten seconds of common video."""
MAX_PIXELS_FORWARD: Final = 100_000_000
"""The same for a moment of our own choice, in all frames together: 50 frames of 1080p, about 0.3 s. The keyframe is shown then."""
FORWARD_BUDGET_S: Final = 4.0
"""Time for that; afterwards the nearest frame found is taken."""
SEARCH_S: Final = 2.0
SEARCH_BYTES: Final = 8 * MIB
"""For looking at candidates while none shows much; slow storage counts. The best so far is taken then."""
FAIR_SEARCH_S: Final = 0.3
FAIR_SEARCH_BYTES: Final = 1 * MIB
"""The same once a fair one is found: a better one is worth a few keyframes, but no megabytes."""
MAX_PACKETS_TO_KEYFRAME: Final = 1000
"""Skipped after a seek until one begins a picture: half a minute of common video."""

FFMPEG_FORMATS: Final = "mov,matroska,avi,gif,apng,mpegts,mpegvideo,flv,asf,ogg,mpeg,mjpeg,mp3,flac,wav,aac"
"""What FFmpeg may open: no playlists, no concatenations, no session descriptions, which would open other sources."""


def bytes_budget(size_bytes: int) -> int:
    """How many bytes of a source may be read in all."""
    return 2 * size_bytes + 64 * MIB
