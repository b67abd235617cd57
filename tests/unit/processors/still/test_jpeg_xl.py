"""JPEG XL, by the extra `jxl`: the pixels of the source, upright, in sRGB, within the cage; damage and giants end as codes."""

import ctypes
import io
import struct
from functools import cache
from typing import Any

import numpy as np
import pytest
from imagecodecs import _jpegxl
from numpy.typing import NDArray
from PIL import Image

from processors.colour.linear_light import DISPLAY_P3, SRGB_LIGHT, into_gamut, to_bt709, to_codes
from processors.sandbox.pool import DecodeSlots
from processors.still import libjxl
from processors.types import ThumbnailSet
from schemas.errors import ErrorCode, ThumbnailError
from service.demo.media import scene
from tests.doubles.profiles import ink_profile
from tests.doubles.sources import BytesSource
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import UNTURN, code_of, encoded, make

SCENE = scene(320, 240, 0.3)
GREY = np.asarray(Image.fromarray(SCENE).convert("L"))
CUT_OUT = np.dstack([SCENE, np.where(np.arange(320) < 160, 0, 255)[None].repeat(240, 0)]).astype(np.uint8)
LIGHT = np.where(SCENE <= 10, SCENE / 255 / 12.92, ((SCENE / 255 + 0.055) / 1.055) ** 2.4).astype(np.float32)

_LINEAR = 8
_DATA_TYPES = {"float32": 0, "uint8": 2, "uint16": 3}


@cache
def jxl(kind: str = "lossless") -> bytes:
    """A file of SCENE, or of what of it the kind keeps. Numbers of 16 bits and floats are linear light."""
    encode = _jpegxl.jpegxl_encode
    encoded: dict[str, Any] = {
        "lossless": lambda: encode(SCENE, lossless=True),
        "lossy": lambda: encode(SCENE, level=95, lossless=False),
        "container": lambda: encode(SCENE, lossless=True, usecontainer=True),
        "grey": lambda: encode(GREY, lossless=True),
        "lossy grey": lambda: encode(GREY, level=95, lossless=False),
        "alpha": lambda: encode(CUT_OUT, lossless=True),
        "lossy alpha": lambda: encode(CUT_OUT, level=95, lossless=False),
        "16 bits": lambda: encoded_with(np.rint(LIGHT * 65535).astype(np.uint16), curve=_LINEAR),
        "floats": lambda: encoded_with(LIGHT, curve=_LINEAR),
        "moving": lambda: encode(np.stack([SCENE, 255 - SCENE]), lossless=True),
        "from a jpeg": lambda: _jpegxl.jpegxl_encode_jpeg(_as_jpeg(), usecontainer=True),
    }
    return bytes(encoded[kind]())


def _as_jpeg() -> bytes:
    out = io.BytesIO()
    Image.fromarray(SCENE).save(out, "JPEG", quality=95)
    return out.getvalue()


def encoded_with(
    pixels: NDArray[Any], orientation: int = 1, primaries: int = 1, curve: int = 13, ink_profile: bytes = b""
) -> bytes:
    """Without loss, by libjxl's encoder itself: imagecodecs writes no turns, no gamuts and no inks. Source: jxl/encode.h.

    With a profile of inks the four channels of `pixels` are inks, of which 0 is the most.
    """
    library = ctypes.CDLL(_jpegxl.__file__)
    library.JxlEncoderCreate.restype = library.JxlEncoderFrameSettingsCreate.restype = ctypes.c_void_p
    encoder = ctypes.c_void_p(library.JxlEncoderCreate(None))
    info = libjxl.BasicInfo()
    library.JxlEncoderInitBasicInfo(ctypes.byref(info))
    info.height, info.width = pixels.shape[:2]
    info.bits = pixels.dtype.itemsize * 8
    info.uses_original_profile, info.orientation = 1, orientation
    info.extra_channels = 1 if ink_profile else 0
    colours = libjxl.ColourEncoding(white_point=1, primaries=primaries, curve=curve, intent=1)
    settings = ctypes.c_void_p(library.JxlEncoderFrameSettingsCreate(encoder, None))
    info.exponent_bits = 8 if pixels.dtype == np.float32 else 0
    form, one = (libjxl.PixelFormat(channels, _DATA_TYPES[pixels.dtype.name], 0, 0) for channels in (3, 1))
    extra = libjxl.ExtraChannelInfo(libjxl.BLACK, bits=info.bits)
    out = ctypes.create_string_buffer(1 << 20)
    place, left = ctypes.c_void_p(ctypes.addressof(out)), ctypes.c_size_t(len(out))
    content, black = np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., -1])

    def numbers(array: NDArray[Any]) -> tuple[ctypes.c_void_p, ctypes.c_size_t]:
        return ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)

    statuses = [library.JxlEncoderSetBasicInfo(encoder, ctypes.byref(info))]
    if ink_profile:
        statuses += [
            library.JxlEncoderSetExtraChannelInfo(encoder, ctypes.c_size_t(0), ctypes.byref(extra)),
            library.JxlEncoderSetICCProfile(encoder, ink_profile, ctypes.c_size_t(len(ink_profile))),
        ]
    else:
        statuses.append(library.JxlEncoderSetColorEncoding(encoder, ctypes.byref(colours)))
    statuses += [
        library.JxlEncoderSetFrameLossless(settings, 1),
        library.JxlEncoderAddImageFrame(settings, ctypes.byref(form), *numbers(content)),
    ]
    if ink_profile:
        statuses.append(
            library.JxlEncoderSetExtraChannelBuffer(settings, ctypes.byref(one), *numbers(black), ctypes.c_uint32(0))
        )
    library.JxlEncoderCloseInput(encoder)
    statuses.append(library.JxlEncoderProcessOutput(encoder, ctypes.byref(place), ctypes.byref(left)))
    library.JxlEncoderDestroy(encoder)
    assert not any(statuses), statuses
    return out.raw[: len(out) - left.value]


def shown(made: ThumbnailSet, mode: str = "RGB") -> NDArray[np.float64]:
    with Image.open(io.BytesIO(made.renditions[1].content)) as opened:
        return np.asarray(opened.convert(mode), np.float64)


def difference(made: ThumbnailSet, expected: NDArray[Any]) -> float:
    wanted = Image.fromarray(expected).convert("RGB")
    assert made.renditions[1].width == wanted.width
    return float(np.abs(shown(made) - np.asarray(wanted)).mean())


@pytest.mark.parametrize(
    "kind", ["lossless", "lossy", "container", "grey", "lossy grey", "16 bits", "floats", "moving", "from a jpeg"]
)
def test_its_pixels_are_the_sources(kind: str) -> None:
    made = make(jxl(kind))
    assert (made.source.kind, made.source.codec, made.source.width, made.source.height) == ("image", "jxl", 320, 240)
    assert (made.frame.method, made.degraded) == ("image", False)
    assert difference(made, GREY if "grey" in kind else SCENE) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright_once(orientation: int) -> None:
    turn = UNTURN[orientation]
    upright = Image.fromarray(SCENE)
    stored = upright if turn is None else upright.transpose(turn)
    made = make(encoded_with(np.asarray(stored), orientation))
    assert (made.source.width, made.source.height) == stored.size
    assert difference(made, SCENE) < 4


def test_a_wide_gamut_is_brought_into_srgb() -> None:
    """A red of P3 that sRGB has: linear light by the matrix of the standards, outside of libjxl."""
    stored = np.full((240, 320, 3), (190, 60, 50), np.uint8)
    light = SRGB_LIGHT[stored[:1, :1]]
    expected = to_codes(into_gamut(light, to_bt709(DISPLAY_P3)))[0, 0]
    plain = shown(make(encoded_with(stored)))[120, 160]
    wide = shown(make(encoded_with(stored, primaries=11)))[120, 160]
    assert np.abs(plain - stored[0, 0]).max() <= 3
    assert np.abs(wide - expected).max() <= 3
    assert np.abs(wide - plain).max() > 10


def test_a_picture_in_pq_has_its_reference_white_and_not_a_grey() -> None:
    """203 cd/m2 is 0.58 of PQ's range (BT.2408), and an SDR screen's white."""
    stored = np.full((240, 320, 3), round(0.58069 * 65535), np.uint16)
    assert shown(make(encoded_with(stored, primaries=9, curve=16)))[120, 160].min() >= 250


def test_inks_are_shown_by_their_profile_with_black_among_them() -> None:
    """As the same inks are in a TIFF, where 0 is none."""
    inks = np.zeros((240, 320, 4), np.uint8)
    inks[:, :80, 0], inks[:, 80:160, 1], inks[:, 160:240, 3] = 255, 255, 255
    made = make(encoded_with(255 - inks, ink_profile=ink_profile()))
    same = make(encoded(Image.fromarray(inks, "CMYK"), "TIFF", icc_profile=ink_profile()))
    assert np.abs(shown(made) - shown(same)).mean() < 1
    assert shown(made)[120, 200].max() < 60, "black ink alone"
    assert shown(made)[120, 280].min() > 240, "no ink"


@pytest.mark.parametrize("kind", ["alpha", "lossy alpha"])
def test_what_is_transparent_stays_so(kind: str) -> None:
    pixels = shown(make(jxl(kind)), "RGBA")
    assert pixels[:, :156, 3].max() < 8
    assert pixels[:, 164:, 3].min() > 247
    assert np.abs(pixels[:, 164:, :3] - SCENE[:, 164:]).mean() < 4


def test_it_is_made_in_the_cage_and_what_is_spoilt_ends_as_one_code() -> None:
    content = jxl("lossy")

    async def body(slots: DecodeSlots) -> tuple[list[ThumbnailSet], set[str]]:
        made = [await make_caged(slots, BytesSource(jxl(kind))) for kind in ("lossless", "lossy grey", "floats")]
        ends = set()
        for seed in range(24):
            random = np.random.default_rng(seed)
            spoilt = bytearray(content if seed % 2 else jxl("16 bits"))
            for at in random.integers(2, len(spoilt), 1 + seed % 3):
                spoilt[at] ^= int(random.integers(1, 256))
            try:
                ends.add((await make_caged(slots, BytesSource(bytes(spoilt)))).source.codec)
            except ThumbnailError as error:
                ends.add(error.code)
        return made, ends

    made, ends = with_slots(body)
    assert [round(difference(one, GREY if one is made[1] else SCENE)) <= 3 for one in made] == [True] * 3
    assert ends <= {"jxl", ErrorCode.MEDIA_CORRUPT, ErrorCode.MEDIA_TOO_MANY_PIXELS}
    assert ErrorCode.MEDIA_CORRUPT in ends


def test_a_cut_one_is_shown_as_coarse_as_it_came() -> None:
    content = jxl("lossy")
    made = make(content[: len(content) * 2 // 3])
    assert (made.frame.method, made.degraded) == ("image-damaged", True)
    assert difference(made, SCENE) < 8


@pytest.mark.parametrize("length", [2, 12, 40])
def test_one_that_is_cut_before_its_pixels_is_damaged(length: int) -> None:
    assert code_of(jxl("lossy")[:length]) is ErrorCode.MEDIA_CORRUPT
    assert code_of(jxl("container")[:length]) is ErrorCode.MEDIA_CORRUPT


def test_a_giant_is_refused_by_its_header() -> None:
    """Two sizes of 20,000 in 18 bits each, behind the signature."""
    side = 20_000 - 1
    size = 0 | 2 << 1 | side << 3 | 0 << 21 | 2 << 24 | side << 26 | 3 << 44  # defaults for all else
    assert code_of(b"\xff\x0a" + struct.pack("<Q", size) + bytes(64)) is ErrorCode.MEDIA_TOO_MANY_PIXELS


def test_without_the_extra_it_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    libjxl.load_libjxl.cache_clear()
    monkeypatch.setattr(libjxl, "find_spec", lambda _: None)
    try:
        with pytest.raises(ThumbnailError, match=r"JPEG XL.*pip install 'thumbnail-pipeline\[jxl\]'") as caught:
            make(jxl())
    finally:
        libjxl.load_libjxl.cache_clear()
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED
