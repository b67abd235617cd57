"""Is a rendition what a decoder says? Our own encoders' pictures are; and whatever else is believed, Pillow shows as one."""

import io
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from processors.output.lossless import OPTIONS
from processors.output.render import encode
from processors.sandbox.encoded import NotAPictureError, check_picture
from processors.sandbox.wire import WireError, pack_result, unpack_result
from processors.thumbnails import create_thumbnails
from processors.types import PictureFormat, ThumbnailSet, ThumbnailSpec
from tests.doubles.sources import BytesSource
from tests.unit.processors.still.test_pictures import encoded

WEBP, JPEG, AVIF = PictureFormat.WEBP, PictureFormat.JPEG, PictureFormat.AVIF
ANSWERS_OF_EACH_FORMAT: Final = 3334


def a_picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(7).integers(0, 255, (height, width, len(mode)), np.uint8)
    return Image.fromarray(noise, mode)


def as_pillow_writes(image: Image.Image, picture_format: PictureFormat, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, picture_format.name, **options)
    return out.getvalue()


@pytest.mark.parametrize("picture_format", list(PictureFormat))
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (161, 119)], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_what_our_encoders_write_passes(picture_format: PictureFormat, size: tuple[int, int], mode: str) -> None:
    image = a_picture(*size, mode if picture_format.keeps_alpha else "RGB")
    for quality in (25, 80, 100):
        check_picture(encode(image, picture_format, quality), picture_format, *size)
    if picture_format in OPTIONS:
        check_picture(as_pillow_writes(image, picture_format, **OPTIONS[picture_format]), picture_format, *size)


def with_chunk(webp: bytes, kind: bytes, data: bytes) -> bytes:
    whole = webp + kind + struct.pack("<I", len(data)) + data
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + jpeg[2:]


SMALL: Final = a_picture(16, 12)
GOOD: Final = {picture_format: encode(SMALL, picture_format, 80) for picture_format in PictureFormat}
PAGE: Final = b"<script>alert(1)</script>"
CAMERA: Final = Image.Exif()
CAMERA[0x0110] = PAGE.decode()
HOSTILE: Final[dict[str, tuple[PictureFormat, bytes]]] = {
    "a page": (WEBP, PAGE),
    "another format": (WEBP, GOOD[JPEG]),
    "yet another format": (JPEG, as_pillow_writes(SMALL, AVIF)),
    "a page after the picture": (WEBP, GOOD[WEBP] + PAGE),
    "a page as a chunk": (WEBP, with_chunk(GOOD[WEBP], b"html", PAGE + b"!")),
    "EXIF in WebP": (WEBP, as_pillow_writes(SMALL, WEBP, exif=b"Exif\0\0" + PAGE)),
    "XMP in WebP": (WEBP, as_pillow_writes(SMALL, WEBP, xmp=PAGE)),
    "a profile in WebP": (WEBP, as_pillow_writes(SMALL, WEBP, icc_profile=PAGE)),
    "an animation": (WEBP, as_pillow_writes(SMALL, WEBP, save_all=True, append_images=[a_picture(16, 12).rotate(180)])),
    "a longer WebP than it has bytes": (WEBP, GOOD[WEBP][:-3]),
    "two pictures": (WEBP, with_chunk(GOOD[WEBP], b"VP8 ", GOOD[WEBP][20:])),
    "a WebP of another size": (WEBP, encode(a_picture(17, 12), WEBP, 80)),
    "a page after the JPEG": (JPEG, GOOD[JPEG] + PAGE),
    "a page before its last marker": (JPEG, GOOD[JPEG] + PAGE + b"\xff\xd9"),
    "a comment": (JPEG, as_pillow_writes(SMALL, JPEG, comment=PAGE)),
    "EXIF in JPEG": (JPEG, as_pillow_writes(SMALL, JPEG, exif=b"Exif\0\0" + PAGE)),
    "a page in JFIF": (JPEG, with_segment(GOOD[JPEG], 0xE0, b"JFIF\0" + PAGE)),
    "a page in another APP": (JPEG, with_segment(GOOD[JPEG], 0xEC, PAGE)),
    "a JPEG without pixels": (JPEG, GOOD[JPEG][:20] + b"\xff\xd9"),
    "a cut JPEG": (JPEG, GOOD[JPEG][:-2]),
    "a JPEG of another size": (JPEG, encode(a_picture(16, 13), JPEG, 80)),
    "EXIF in AVIF": (AVIF, as_pillow_writes(SMALL, AVIF, exif=CAMERA.tobytes())),
    "XMP in AVIF": (AVIF, as_pillow_writes(SMALL, AVIF, xmp=PAGE)),
    "an AVIF sequence": (AVIF, as_pillow_writes(SMALL, AVIF, save_all=True, append_images=[a_picture(16, 12)])),
    "a page after the AVIF": (AVIF, GOOD[AVIF] + PAGE),
    "a page as a box": (AVIF, GOOD[AVIF] + struct.pack(">I", 8 + len(PAGE)) + b"html" + PAGE),
    "a cut AVIF": (AVIF, GOOD[AVIF][:-1]),
    "an AVIF of another size": (AVIF, encode(a_picture(18, 12), AVIF, 80)),
    "nothing": (AVIF, b""),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_what_is_not_one_plain_picture_of_its_size_is_refused(name: str) -> None:
    picture_format, content = HOSTILE[name]
    with pytest.raises(NotAPictureError):
        check_picture(content, picture_format, 16, 12)


def seen_by_pillow(answer: ThumbnailSet) -> None:
    """Assert that each picture of it is a single one, of its format and size, which carries nothing else.

    One that Pillow cannot open has broken pixels: any decoder could have sent such, and only decoding would show it.
    """
    for rendition in answer.renditions:
        with suppress(UnidentifiedImageError, RuntimeError), Image.open(io.BytesIO(rendition.content)) as opened:
            assert (opened.format, opened.size) == (rendition.format.name, (rendition.width, rendition.height))
            assert getattr(opened, "n_frames", 1) == 1
            assert not {"exif", "xmp", "icc_profile", "comment", "XML:com.adobe.xmp"} & set(opened.info)
    texts = (answer.source.codec, answer.source.format, answer.frame.method, answer.placeholder or "")
    assert all(" " <= char <= "~" for text in texts for char in text)


def cut(answer: bytes, chance: random.Random) -> bytes:
    return answer[: chance.randrange(len(answer))]


def overwritten(answer: bytes, chance: random.Random) -> bytes:
    at, junk = chance.randrange(len(answer)), chance.randbytes(chance.choice((1, 2, 4, 8)))
    return answer[:at] + junk + answer[at + len(junk) :]


def in_its_facts(answer: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(260)
    return answer[:at] + bytes([chance.choice((0, 1, 10, 13, 27, 60, 127, 128, 255))]) + answer[at + 1 :]


def longer(answer: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(answer))
    return answer[:at] + chance.choice((PAGE, b"\0", chance.randbytes(9))) + answer[at:]


def shorter(answer: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(answer))
    return answer[:at] + answer[at + chance.randint(1, 30) :]


def a_bit_turned(answer: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(answer))
    return answer[:at] + bytes([answer[at] ^ 1 << chance.randrange(8)]) + answer[at + 1 :]


CHANGES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    *(cut, overwritten, in_its_facts, longer, shorter, a_bit_turned),
)


@pytest.mark.parametrize("picture_format", list(PictureFormat))
def test_whatever_a_decoder_answers_only_plain_pictures_are_believed(picture_format: PictureFormat) -> None:
    """Of thousands of changed answers, a third in their facts and the heads of their pictures, where it matters."""
    spec = ThumbnailSpec(format=picture_format)
    good = pack_result(create_thumbnails(BytesSource(encoded(a_picture(40, 30))), spec))
    assert unpack_result(good, spec, 0).renditions
    chance, believed = random.Random(picture_format), 0
    for _ in range(ANSWERS_OF_EACH_FORMAT):
        changed = chance.choice(CHANGES)(good, chance)
        try:
            answer = unpack_result(changed, spec, 0)
        except WireError:
            continue
        seen_by_pillow(answer)
        believed += 1
    assert 0 < believed < ANSWERS_OF_EACH_FORMAT, "changes of pixels alone are believed, and no others"


@pytest.mark.parametrize("text", [b"\x1b[2Jh264", b"h264\r\nx", b"h\0264", b"h\xff264"])
def test_a_text_with_control_characters_is_no_answer(text: bytes) -> None:
    good = pack_result(create_thumbnails(BytesSource(encoded(SMALL)), ThumbnailSpec()))
    at = good.index(b"jpeg" if b"jpeg" in good[:200] else b"png")
    with pytest.raises(WireError, match="not printable ASCII"):
        unpack_result(good[:at] + text + good[at + len(text) :], ThumbnailSpec(), 0)
