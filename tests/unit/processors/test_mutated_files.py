"""Damaged files of every container and picture format: each ends as ready or as a code, and the slot never notices.

MUTATIONS=5000 tries more than the suite does; MUTATIONS_SEED tries others. `make fuzz` tries them by the hour.
"""

import io
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from processors.sandbox.pool import DecodeSlots
from schemas.errors import ErrorCode
from tests.campaign.fuzz.seeds import kept_files
from tests.doubles.corpus_openexr import by_openexr
from tests.doubles.corpus_rare import bitmap, pfm
from tests.doubles.sources import BytesSource
from tests.unit.campaign.fuzz.test_hunt import run_alone
from tests.unit.processors.sandbox.test_pool import code_of, with_slots

MUTATIONS = int(os.environ.get("MUTATIONS", "600"))
SEED = int(os.environ.get("MUTATIONS_SEED", "20"))
DURATION = b"\x44\x89\x88"
"""Of a Matroska file: what stands before its eight bytes."""
ALPHA = b"A\0" + struct.pack("<4L", 1, 0, 1, 1)
"""Of an OpenEXR picture: a channel of half floats, of every column and every row."""
IVF = b"DKIF\0\0\x20\0VP80\xa0\0\x80\0\x19\0\0\0\1\0\0\0"


def film_of_floats() -> bytes:
    """Matroska that calls them VP8, and claims to last for 30 years."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        stream = container.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for number in range(3):
            packet = av.Packet(pfm()[44:])
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
            packet.time_base = Fraction(1, 25)
            container.mux(packet)
    content = out.getvalue()
    at = content.find(DURATION) + len(DURATION)
    return content[:at] + struct.pack(">d", 1e12) + content[at + 8 :]


def deep_picture_with_half_the_rows() -> bytes:
    """Which no deep picture has."""
    content = by_openexr("DEEP")
    assert content.count(ALPHA) == 1
    return content.replace(ALPHA, ALPHA[:-4] + struct.pack("<L", 2))


CORRUPT, UNSUPPORTED = ErrorCode.MEDIA_CORRUPT, ErrorCode.MEDIA_UNSUPPORTED
FOUND: dict[str, tuple[Callable[[], bytes], ErrorCode]] = {
    "floats as a film of VP8, on which the FFmpeg inside OpenCV crashed": (lambda: IVF + pfm()[len(IVF) :], CORRUPT),
    "the same in Matroska": (film_of_floats, CORRUPT),
    "a bitmap that ends within a run of colours": (lambda: bitmap(b"\3\x10\x20", 24, 4, info_bytes=64), CORRUPT),
    "a deep picture whose alpha has half the rows": (deep_picture_with_half_the_rows, UNSUPPORTED),
}
"""Files of `make fuzz` that once ended as they must not, and how they must."""


@pytest.mark.slow
def test_damaged_files_end_as_ready_or_as_a_code(tmp_path: Path) -> None:
    ledger = run_alone(tmp_path, SEED, MUTATIONS)
    assert ledger.findings == []
    assert ledger.outcomes.total() == ledger.next == MUTATIONS
    assert min(ledger.outcomes["ready"], ledger.outcomes[ErrorCode.MEDIA_CORRUPT]) > MUTATIONS / 10, ledger.outcomes
    assert set(ledger.by_seed_file) == set(kept_files(tmp_path / "sound"))


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_ends_with_its_code(name: str) -> None:
    make_file, code = FOUND[name]

    async def body(slots: DecodeSlots) -> ErrorCode:
        return await code_of(slots, BytesSource(make_file()))

    assert with_slots(body) is code
