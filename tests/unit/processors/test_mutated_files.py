"""Damaged files of every container and picture format: each ends as ready or as a code, and the slot never notices.

MUTATIONS=5000 tries more than the suite does; MUTATIONS_SEED tries others.
"""

import os
import random
from collections import Counter
from collections.abc import Callable

import pytest
from PIL import Image

from processors.sandbox.pool import DecodeSlots
from schemas.errors import ErrorCode, PermanentError, ThumbnailError
from tests.doubles.clips import clip
from tests.doubles.corpus_kinds import OPAQUE, WITH_ALPHA
from tests.doubles.corpus_rare import RARE, RARE_WITH_ALPHA, xbm, xpm
from tests.doubles.corpus_shapes import THEORA, song_with_cover
from tests.doubles.sources import BytesSource, open_files
from tests.unit.processors.sandbox.test_cage import FRAMES, PICTURES, VIDEOS
from tests.unit.processors.sandbox.test_pool import jobs_of, make, with_slots
from tests.unit.processors.still.test_pictures import encoded
from tests.unit.processors.still.test_raw_preview import RAWS
from tests.unit.processors.still.test_svg import INSIDE, svg

MUTATIONS = int(os.environ.get("MUTATIONS", "600"))
SEED = int(os.environ.get("MUTATIONS_SEED", "20"))
EXPECTED = {
    ErrorCode.MEDIA_CORRUPT,
    ErrorCode.MEDIA_UNSUPPORTED,
    ErrorCode.MEDIA_NO_PICTURE,
    ErrorCode.MEDIA_TOO_MANY_PIXELS,
    ErrorCode.MEDIA_TOO_MANY_FRAMES,
}


def sound_files() -> dict[str, bytes]:
    """One of each format, movies among the pictures too."""
    stills = [Image.fromarray(frame) for frame in FRAMES]
    moving = {
        name: encoded(stills[0], name.upper(), save_all=True, append_images=stills[1:])
        for name in ("gif", "png", "webp")
    }
    pictures = {name: encoded(stills[4], form, **options) for name, (form, options) in PICTURES.items()}
    videos = {name: clip(FRAMES, *arguments) for name, arguments in VIDEOS.items()}
    fragments = clip(FRAMES, muxer={"movflags": "frag_keyframe+empty_moov"})
    others = {"theora": THEORA.read_bytes(), "cover": song_with_cover("mp3", "libmp3lame")}
    others |= {name: clip(FRAMES, "libvpx", name) for name in ("ivf", "ogg")} | {
        "mxf": clip(FRAMES, "mpeg2video", "mxf")
    }
    return (
        pictures
        | videos
        | {f"moving {name}": found for name, found in moving.items()}
        | {f"opaque {name}": content() for name, content in OPAQUE.items()}
        | {f"cut out {name}": content() for name, content in WITH_ALPHA.items()}
        | {f"rare {name}": content() for name, content in RARE.items()}
        | {f"rare cut out {name}": content() for name, content in RARE_WITH_ALPHA.items()}
        | {f"raw {name}": content() for name, content in RAWS.items()}
        | {"drawing": svg(inside=f"{INSIDE}<g id='a'><use xlink:href='#b'/></g>"), "bitmap": xbm(), "pixmap": xpm()}
        | {"fragments": fragments}
        | others
    )


def flip_bits(content: bytearray, rng: random.Random, _other: bytes) -> None:
    for _ in range(rng.choice((1, 3, 10, 100))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def truncate(content: bytearray, rng: random.Random, _other: bytes) -> None:
    del content[rng.randrange(1, len(content)) :]


def splice_head(content: bytearray, rng: random.Random, other: bytes) -> None:
    length = rng.randrange(4, 200)
    content[:length] = other[:length]


def exaggerate(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """Extreme numbers where headers are."""
    at, length = rng.randrange(min(len(content), 600)), rng.choice((1, 2, 4))
    content[at : at + length] = bytes(rng.choice((0, 127, 128, 255)) for _ in range(length))


def cut_out(content: bytearray, rng: random.Random, _other: bytes) -> None:
    at = rng.randrange(len(content) - 1)
    del content[at : at + rng.randrange(1, 64)]


MUTATORS: list[Callable[[bytearray, random.Random, bytes], None]] = [
    flip_bits,
    truncate,
    splice_head,
    exaggerate,
    cut_out,
]


@pytest.mark.slow
def test_damaged_files_end_as_ready_or_as_a_code() -> None:
    rng, files = random.Random(SEED), sound_files()
    names = sorted(files)
    outcomes: Counter[str] = Counter()

    async def one(slots: DecodeSlots, number: int) -> None:
        name, mutator = names[number % len(names)], rng.choice(MUTATORS)
        content = bytearray(files[name])
        mutator(content, rng, files[rng.choice(names)])
        try:
            found = await make(slots, BytesSource(bytes(content)))
        except ThumbnailError as error:
            assert isinstance(error, PermanentError), f"{number} {name} {mutator.__name__}: {error}"
            assert error.code in EXPECTED, f"{number} {name} {mutator.__name__}: {error}"
            outcomes[error.code] += 1
        else:
            assert len(found.renditions) == 3
            outcomes["ready"] += 1

    async def body(slots: DecodeSlots) -> None:
        await one(slots, 0)
        slot, descriptors = slots.pids, open_files()
        for number in range(1, MUTATIONS):
            await one(slots, number)
        assert slots.pids == slot
        assert jobs_of(slots) == []
        assert open_files() == descriptors

    with_slots(body, timeout_s=10.0)
    assert outcomes.total() == MUTATIONS
    assert min(outcomes["ready"], outcomes[ErrorCode.MEDIA_CORRUPT]) > MUTATIONS / 10, outcomes
