"""Every bound on untrusted media, with its reason."""

from typing import Final

MIB: Final = 1024**2
GIB: Final = 1024**3

# What an operator may set: these are the defaults.
MAX_SOURCE_BYTES: Final = 50 * GIB
MAX_PIXELS: Final = 100_000_000
"""That are held at a time: of a frame of a video, and of a picture that cannot be decoded in parts."""
MAX_FRAMES: Final = 0
"""Of an animated picture; 0 for any number: only the first ones are decoded, MAX_FRAMES_FORWARD at the most."""
MAX_READS: Final = 4096
"""Of one source: a demuxer that seeks for ever is stopped in a fraction of a second."""
MAX_BYTES_READ: Final = 4 * GIB
"""Of one source, beside bytes_budget(): more does not come within the deadline from any storage."""
MAX_HANDED_OUT_BYTES: Final = 256 * MIB
"""Of what is read already, to libraries that go over it again, beside 16 times the source: one that never ends is stopped."""
CPU_S: Final = 10
"""Processor time of one decode; the hard limit is a second later, so that the soft one's signal can be seen."""
MAX_RENDITION_BYTES: Final = 1 * MIB
"""Of one rendition; one that is larger is encoded again, with less quality."""

# What is fixed.

TIMES_IN_PARTS: Final = 3
"""How many times MAX_PIXELS a picture may have that is decoded in parts, or straight to a smaller size: of a JPEG of 300 million
pixels a hundredth is held. More would not be through within CPU_S."""
HELD_BYTES: Final = 7
"""Of such a picture, for each of MAX_PIXELS: what it may take in memory at one time. A progressive JPEG of 200 million pixels takes it."""
UNPACKED_BYTES: Final = 6
"""The same for what is unpacked of it in all: a PNG's takes a second for each 110 million bytes."""
MAX_PROFILE_BYTES: Final = 4 * MIB
"""Of a description of colours; a longer one is left out."""
BAND_BYTES: Final = 2 * MIB
"""Of the rows that are unpacked at once."""

BLOCK_BYTES: Final = 256 * 1024
"""Unit of reading: two to five requests find a keyframe in common files."""
MAX_BLOCK_RUN_BYTES: Final = 4 * MIB
"""Sequential reading doubles the unit up to this."""
CACHE_BYTES: Final = 16 * MIB
"""Of one source, in the decoder's memory."""
MAX_READ_BYTES: Final = 16 * MIB
"""Of one request; the parent refuses more."""
MAX_RESULT_BYTES: Final = 4 * MIB
"""Of all renditions together: the parent reads no more from a decoder."""
MAX_ERROR_BYTES: Final = 500
"""Of an error's code and text."""
LEAST_SHOWN: Final = 1 / 16
"""Of a damaged picture: one of which less is there is media.corrupt."""
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
MAX_KEYFRAMES_TRIED: Final = 4
"""Decoded in search of a sound one behind a moment; where so many are damaged, the next moment is looked at."""
MAX_FRAMES_FROM_START: Final = 1500
"""Decoded from the beginning on where seeking leads to nothing: a minute of common video, if the time for it lasts."""
MAX_GIF_WALK_BYTES: Final = 64 * MIB
"""How far the frames of a GIF are counted; one that is longer has large frames, and only its first ones are decoded."""

FFMPEG_FORMATS: Final = "mov,matroska,avi,mpegts,mpegvideo,flv,asf,ogg,mpeg,mxf,ivf,dv,mp3,flac,wav,aac"
"""What FFmpeg may open: no playlists, no concatenations, no session descriptions, which would open other sources; and no
pictures, which are Pillow's to read, or are not read: as videos they would lose their transparency and their shape."""

OPENCV_FORMATS: Final = (
    f"{FFMPEG_FORMATS},"
    # Streams without a container, and with a plain one.
    "h261,h263,h264,hevc,vvc,evc,m4v,vc1,vc1test,obu,av1,avs,avs2,avs3,cavsvideo,dirac,dnxhd,apv,mpegtsraw,smjpeg,"
    # Television, recorders, editors.
    "nut,yuv4mpegpipe,rm,wtv,gxf,lxf,ty,pva,pmp,nuv,nsv,live_flv,kux,dhav,mpjpeg,cine,r3d,simbiosis_imx,filmstrip,ifv,lvf,"
    "luodat,moflex,mods,msnwctcp,mtv,mgsts,vividas,vivo,viv,xmv,iv8,ivr,ipu,asf_o,"
    # Animations, and films of old games.
    "swf,flic,film_cpk,roq,3dostr,4xm,anm,argo_brp,bethsoftvid,bfi,bink,bmv,c93,cdxl,dfa,dsicin,dxa,ea,gdv,hnm,idcin,ipmovie,jv,"
    "mlv,mm,mv,mvi,paf,psxstr,rl2,rpl,sga,siff,smk,smush,thp,tiertexseq,tmv,usm,vmd,wc3movie,wsvqa,yop"
)
"""What the FFmpeg in OpenCV may open: besides, every film that it knows."""


def bytes_budget(size_bytes: int, most_bytes: int = MAX_BYTES_READ) -> int:
    """Return how many bytes of a source may be read in all, `most_bytes` at the most."""
    return min(2 * size_bytes + 64 * MIB, most_bytes)
