"""The cage: nothing gets out of it, every format can be decoded in it, and a worker proves it at its start."""

import asyncio
import errno
import json
import os
import platform
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from processors.sandbox import process as slot_process
from processors.sandbox import seccomp
from processors.sandbox.confinement import Confinement, ConfinementError
from processors.sandbox.pool import DecodeSlots
from processors.types import ThumbnailSet
from schemas.errors import ErrorCode, PermanentError
from service.demo.media import scene
from tests.doubles.clips import clip
from tests.doubles.sources import BytesSource
from tests.unit.processors.sandbox.escapes import ATTEMPTS
from tests.unit.processors.sandbox.test_pool import PICTURE, job_of, make, with_slots
from tests.unit.processors.still.test_pictures import assert_upright, encoded

REFUSED = {"EACCES", "EPERM", "EAGAIN", "ENOSYS", "ENOTTY", "SIGSYS"}
NOBODY = 65534
FRAMES = [scene(160, 128, number / 8) for number in range(8)]


@cache
def outcomes(mode: str, uid: int) -> dict[str, str]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.unit.processors.sandbox.escapes", mode, str(uid)]
    run = subprocess.run(command, check=True, capture_output=True, timeout=60)
    found: dict[str, str] = json.loads(run.stdout)
    return found


def users() -> list[int]:
    """Root and nobody, where this is root; else whoever this is."""
    return [0, NOBODY] if os.getuid() == 0 else [os.getuid()]


@pytest.mark.parametrize("uid", users())
@pytest.mark.parametrize("name", ATTEMPTS)
def test_no_attempt_gets_out(name: str, uid: int) -> None:
    caged, uncaged = outcomes("caged", uid)[name], outcomes("open", uid)[name]
    assert caged in REFUSED or (name, caged) == ("import late", "ENOENT")
    assert uncaged != caged, "the attempt proves nothing: it fails without the cage as well"


@pytest.mark.parametrize("name", ATTEMPTS)
def test_no_attempt_gets_out_of_a_cage_with_threads(name: str) -> None:
    """As HEIC needs it: a thread may start, and is caged like the one that started it."""
    uid = users()[-1]
    if name == "start a thread":
        assert outcomes("threads", uid)[name] == "through"
    else:
        assert outcomes("threads", uid)[name] == outcomes("caged", uid)[name]


def test_most_attempts_succeed_without_the_cage() -> None:
    assert list(outcomes("open", users()[-1]).values()).count("through") >= 49


def test_every_job_runs_under_the_filter_and_without_files() -> None:
    async def body(slots: DecodeSlots) -> tuple[str, list[str]]:
        seen: list[tuple[str, list[str]]] = []

        def look() -> None:
            job = Path(f"/proc/{job_of(slots)}")
            seen.append(((job / "status").read_text(), sorted(entry.name for entry in (job / "fd").iterdir())))

        await make(slots, BytesSource(PICTURE, look))
        return seen[0]

    status, descriptors = with_slots(body)
    assert "Seccomp:\t2\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert "Threads:\t1\n" in status
    assert len(descriptors) == 4, "three of /dev/null, and the job's socket"


def test_a_decoder_that_breaks_a_rule_is_no_case_for_a_retry() -> None:
    async def body(slots: DecodeSlots) -> None:
        with pytest.raises(PermanentError, match="break out") as caught:
            await make(slots, BytesSource(PICTURE, lambda: os.kill(job_of(slots), signal.SIGSYS)))
        assert caught.value.code is ErrorCode.MEDIA_CRASHED_DECODER
        assert len((await make(slots, BytesSource(PICTURE))).renditions) == 3

    with_slots(body)


PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "avif": ("AVIF", {}),
    "gif": ("GIF", {}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
}


@pytest.fixture(scope="module")
def in_the_cage() -> Iterator[Callable[[bytes], ThumbnailSet]]:
    """Makes thumbnails in one slot for all formats: each job is a process of its own, in its own cage."""
    with asyncio.Runner() as runner:
        slots = DecodeSlots(1)
        runner.run(slots.start())
        yield lambda content: runner.run(make(slots, BytesSource(content)))
        runner.run(slots.stop())


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_format_is_decoded_in_the_cage(name: str, in_the_cage: Callable[[bytes], ThumbnailSet]) -> None:
    picture_format, options = PICTURES[name]
    found = in_the_cage(encoded(Image.fromarray(FRAMES[4]), picture_format, **options))
    assert found.source.kind == "image"
    assert (found.source.width, found.source.height) == (160, 128)
    assert_upright(found)


VIDEOS = {
    "h264": ("libx264", "mp4", "yuv420p"),
    "hevc": ("libx265", "mp4", "yuv420p"),
    "hevc 10 bit": ("libx265", "matroska", "yuv420p10le"),
    "vp8": ("libvpx", "webm", "yuv420p"),
    "vp9": ("libvpx-vp9", "webm", "yuv420p"),
    "vp9 with alpha": ("libvpx-vp9", "webm", "yuva420p"),
    "av1": ("libsvtav1", "mp4", "yuv420p"),
    "mpeg-4": ("mpeg4", "avi", "yuv420p"),
    "mpeg-2 ts": ("mpeg2video", "mpegts", "yuv420p"),
    "mpeg-2 ps": ("mpeg2video", "vob", "yuv420p"),
    "mjpeg": ("mjpeg", "mov", "yuvj420p"),
    "prores": ("prores_ks", "mov", "yuv422p10le"),
    "flash": ("flv", "flv", "yuv420p"),
    "windows media": ("wmv2", "asf", "yuv420p"),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_every_codec_is_decoded_in_the_cage(name: str, in_the_cage: Callable[[bytes], ThumbnailSet]) -> None:
    codec, container, pixels = VIDEOS[name]
    found = in_the_cage(clip(FRAMES, codec, container, pixels))
    assert found.source.kind == "video"
    assert (found.source.width, found.source.height) == (160, 128)
    assert found.frame.method.startswith("pyav"), "no step of the ladder is lost"
    assert_upright(found)


def test_a_cage_that_is_open_keeps_the_worker_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    open_the_cage(monkeypatch)
    with pytest.raises(ConfinementError, match=r"open a socket.*DECODE_CONFINEMENT=best_effort"):
        start("required")


def test_an_open_cage_is_told_where_it_is_not_required(monkeypatch: pytest.MonkeyPatch) -> None:
    open_the_cage(monkeypatch)
    assert "start a process" in start("best_effort")


def test_cages_that_are_shut_have_no_open_door_and_cages_that_are_off_are_not_asked() -> None:
    assert start("required") == []
    assert start("off") == []


WITHOUT_SECCOMP = """
import ctypes, os, struct, sys
step = lambda code, yes, no, value: struct.pack("=HBBI", code, yes, no, value)
prctl, set_seccomp = int(sys.argv[1]), 22
program = b"".join([
    step(0x20, 0, 0, 0), step(0x15, 0, 3, prctl), step(0x20, 0, 0, 16), step(0x15, 0, 1, set_seccomp),
    step(0x06, 0, 0, 0x00050016), step(0x06, 0, 0, 0x7FFF0000),
])
code = ctypes.create_string_buffer(program, len(program))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(set_seccomp, 2, struct.pack("@HP", len(program) // 8, ctypes.addressof(code)), 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-m", "service", *sys.argv[2:]])
"""
"""Runs the command line as on a kernel that refuses filters: prctl(PR_SET_SECCOMP) gives EINVAL."""


@pytest.mark.parametrize(("setting", "code"), [("required", 1), ("best_effort", 0)])
def test_a_kernel_without_filters_is_named_on_the_command_line(setting: str, code: int, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PICTURE)
    prctl = "157" if platform.machine() == "x86_64" else "167"
    command = [sys.executable, "-c", WITHOUT_SECCOMP, prctl, "make", str(picture), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "DECODE_CONFINEMENT": setting, "DECODE_SLOTS": "1"}
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert run.returncode == code, run.stderr
    assert ("cannot be confined" in run.stderr) == (setting == "required")
    assert "Traceback" not in run.stderr
    assert len(list((tmp_path / "out").glob("*.webp"))) == (3 if setting == "best_effort" else 0)


def test_the_second_wall_is_told_apart_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without Landlock still has a shut cage."""
    no_landlock = "from processors.sandbox import landlock; landlock.restrict_self = lambda: 0; "
    changed = slot_process._START.replace("from processors.sandbox.slot", no_landlock + "from processors.sandbox.slot")
    monkeypatch.setattr(slot_process, "_START", changed)

    async def body(slots: DecodeSlots) -> tuple[bool, list[str]]:
        return slots.has_landlock, slots.sandbox_gaps

    assert with_slots(body) == (False, [])


def open_the_cage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take both walls away in the slots that are started from now on."""
    without = (
        "from processors.sandbox import confinement as c; c.lock_job = lambda **_: None; c.lock_slot = lambda: 0; "
    )
    changed = slot_process._START.replace("from processors.sandbox.slot", without + "from processors.sandbox.slot")
    monkeypatch.setattr(slot_process, "_START", changed)


def start(confinement: Confinement) -> list[str]:
    async def run() -> list[str]:
        async with DecodeSlots(1, confinement=confinement) as slots:
            assert isinstance(await make(slots, BytesSource(PICTURE)), ThumbnailSet)
            return slots.sandbox_gaps

    return asyncio.run(run())


NUMBERS: dict[str, tuple[int, int, str | int]] = {
    # name: x86-64, aarch64, action for plain arguments
    "read": (0, 63, "allow"),
    "exit_group": (231, 94, "allow"),
    "openat": (257, 56, errno.EACCES),
    "socket": (41, 198, errno.EPERM),
    "clone": (56, 220, errno.EAGAIN),
    "clone3": (435, 435, errno.ENOSYS),
    "ioctl": (16, 29, errno.ENOTTY),
    "execve": (59, 221, "kill"),
    "ptrace": (101, 117, "kill"),
    "a call of the future": (9999, 9999, errno.EPERM),
}
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@pytest.mark.parametrize("machine", AUDIT)
@pytest.mark.parametrize("name", NUMBERS)
def test_the_filter_judges_alike_on_both_machines(machine: str, name: str) -> None:
    on_x86, on_arm, action = NUMBERS[name]
    assert judge(machine, AUDIT[machine], on_x86 if machine == "x86_64" else on_arm) == action


@pytest.mark.parametrize("machine", AUDIT)
def test_the_filter_judges_by_arguments(machine: str) -> None:
    mmap, mprotect, tgkill, prlimit = {"x86_64": (9, 10, 234, 302), "aarch64": (222, 226, 131, 261)}[machine]
    audit = AUDIT[machine]
    assert judge(machine, audit, mmap, (0, 4096, 3, 0x22)) == "allow"
    assert judge(machine, audit, mmap, (0, 4096, 5, 0x22)) == errno.EACCES
    assert judge(machine, audit, mmap, (0, 4096, 3, 0x21)) == errno.EACCES
    assert judge(machine, audit, mmap, (0, 4096, 3, 0x03)) == errno.EACCES
    assert judge(machine, audit, mprotect, (0, 4096, 3)) == "allow"
    assert judge(machine, audit, mprotect, (0, 4096, 4)) == errno.EACCES
    assert judge(machine, audit, tgkill, (77, 77, 6)) == "allow"
    assert judge(machine, audit, tgkill, (78, 78, 6)) == errno.EPERM
    assert judge(machine, audit, prlimit, (0, 7, 0)) == "allow"
    assert judge(machine, audit, prlimit, (0, 7, 1 << 40)) == errno.EACCES
    assert judge(machine, 0x40000003, mmap) == "kill", "a 32-bit call"


def judge(
    machine: str, audit: int, number: int, arguments: tuple[int, ...] = (), *, allow_threads: bool = False
) -> str | int:
    """What the filter says of a call of process 77, by a small interpreter of its own."""
    data = struct.pack("<IIQ6Q", number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    program = list(struct.iter_unpack("=HBBI", seccomp.build_filter(machine, 77, allow_threads=allow_threads)))
    word, at = 0, 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x20:
            word = struct.unpack_from("<I", data, value)[0]
        elif code in (0x15, 0x45):
            at += if_true if (word == value if code == 0x15 else word & value) else if_false
        else:
            return "allow" if value == 0x7FFF0000 else "kill" if value == 0x80000000 else int(value & 0xFFFF)


def test_other_machines_are_told_that_they_have_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not seccomp.is_supported()
    with pytest.raises(ValueError, match="riscv64"):
        seccomp.build_filter("riscv64", 1)
