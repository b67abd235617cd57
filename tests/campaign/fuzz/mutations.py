"""Ways to damage a file. Each changes the bytes in place; what it does depends on the random numbers alone."""

import random
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Mutator = Callable[[bytearray, random.Random, bytes], None]
"""Content, random numbers, and another sound file to take from."""

_EXTREME: Final = (0, 1, 127, 128, 255)
_LARGE: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER_BYTES: Final = 600
_MOST_BYTES: Final = 1 << 20
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_NUMBER: Final = re.compile(rb"\d+(?:\.\d+)?")
_HOSTILE_NUMBERS: Final = (b"0", b"-1", b"1e38", b"1e-38", b"999999999", b"NaN", b"")


def flip_bits(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """Turn over some bits, anywhere."""
    for _ in range(rng.choice((1, 3, 10, 100))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def truncate(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """Cut the file."""
    del content[rng.randrange(1, len(content)) :]


def splice_head(content: bytearray, rng: random.Random, other: bytes) -> None:
    """Begin like another file."""
    length = rng.randrange(4, 200)
    content[:length] = other[:length]


def exaggerate(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """Extreme bytes where headers are."""
    at, length = rng.randrange(min(len(content), _HEADER_BYTES)), rng.choice((1, 2, 4))
    content[at : at + length] = bytes(rng.choice((0, 127, 128, 255)) for _ in range(length))


def cut_out(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """Leave some bytes out."""
    at = rng.randrange(max(1, len(content) - 1))
    del content[at : at + rng.randrange(1, 64)]


def put_number(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """An extreme number of two, four or eight bytes, of either order; half of them where headers are."""
    form = rng.choice("<>") + rng.choice("HLQ")
    length = struct.calcsize(form)
    reach = len(content) if rng.random() < 0.5 else min(len(content), _HEADER_BYTES)
    at = rng.randrange(max(1, reach - length))
    number = rng.choice(_LARGE) if rng.random() < 0.8 else len(content) + rng.randrange(-2, 3)
    content[at : at + length] = struct.pack(form, max(0, number) & (1 << 8 * length) - 1)


def repeat(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """A part of the file twice, or many times."""
    at = rng.randrange(len(content))
    part = bytes(content[at : at + rng.randrange(1, 4096)])
    content[at:at] = part * min(rng.choice((1, 1, 2, 50)), max(1, _MOST_BYTES // len(part)))


def swap(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """Two parts of the file in each other's place."""
    length = rng.randrange(1, max(2, min(512, len(content) // 2)))
    one, two = (rng.randrange(max(1, len(content) - length)) for _ in range(2))
    first, second = bytes(content[one : one + length]), bytes(content[two : two + length])
    content[one : one + length], content[two : two + length] = second, first


def graft(content: bytearray, rng: random.Random, other: bytes) -> None:
    """A part of another file in the middle."""
    begin, at = rng.randrange(len(other)), rng.randrange(len(content))
    part = other[begin : begin + rng.randrange(1, 2048)]
    content[at : at + (len(part) if rng.random() < 0.5 else 0)] = part


def change_text(content: bytearray, rng: random.Random, _other: bytes) -> None:
    """Of formats that are text: a number that no drawing has. Of the others some digit."""
    numbers = list(_NUMBER.finditer(bytes(content[:_MOST_BYTES])))
    for found in sorted(rng.sample(numbers, min(len(numbers), rng.choice((1, 2, 5)))), key=re.Match.start)[::-1]:
        content[found.start() : found.end()] = rng.choice(_HOSTILE_NUMBERS)


def right_checksums(content: bytearray) -> None:
    """Give the chunks of a PNG the checksums that they should have, so that its damage reaches the decoder."""
    at = len(_PNG)
    while content.startswith(_PNG) and at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4])
        if end + 4 > len(content):
            return
        content[end : end + 4] = struct.pack(">L", zlib.crc32(content[at + 4 : end]))
        at = end + 4


MUTATORS: Final[tuple[Mutator, ...]] = (
    *(flip_bits, truncate, splice_head, exaggerate, cut_out),
    *(put_number, put_number, repeat, swap, graft, change_text),
)


@dataclass(frozen=True)
class MutatedFile:
    """A damaged file: which seed it was, and what was done to it."""

    seed: str
    steps: tuple[str, ...]
    content: bytes


def mutate(files: dict[str, bytes], seed: int, number: int) -> MutatedFile:
    """Return file `number` of the run `seed`: always the same, so that a run can be resumed, and a finding made again."""
    rng, names = random.Random(f"{seed}-{number}"), sorted(files)
    name = names[number % len(names)]
    content = bytearray(files[name])
    steps = [rng.choice(MUTATORS) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    for step in steps:
        if len(content) > 1:
            step(content, rng, files[rng.choice(names)])
    if rng.random() < 0.5:
        right_checksums(content)
    return MutatedFile(name, tuple(step.__name__ for step in steps), bytes(content))
