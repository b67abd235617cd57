"""HEIC: read where the extra is installed and the slot allows it, upright once, in its colours, in a cage with threads."""

import asyncio
import errno
import io
from functools import cache
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageCms

from processors.sandbox.pool import DecodeSlots
from processors.sniff import is_heic, sniff_kind
from processors.still import heic
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError
from service.demo.media import scene
from service.roles.decoding import build_slots
from service.settings import DecodeSettings
from tests.doubles.giants import SIDE
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of
from tests.unit.processors.sandbox.test_cage import AUDIT, judge
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import UNTURN, assert_upright, encoded

UPRIGHT = Image.fromarray(scene(640, 480, 0.3))


@cache
def heif(orientation: int = 1, **options: Any) -> bytes:
    """As a telephone writes it: the turn in EXIF, and again in the container (irot, imir)."""
    turn = UNTURN[orientation]
    stored = UPRIGHT if turn is None else UPRIGHT.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "secret place"
    file = pillow_heif.from_pillow(stored)
    out = io.BytesIO()
    file.save(out, quality=90, exif=exif.tobytes(), **options)
    return out.getvalue()


def make_caged(content: bytes, *, is_on: bool = True) -> ThumbnailSet:
    async def body(slots: DecodeSlots) -> ThumbnailSet:
        return await slots.create_thumbnails(BytesSource(content), ThumbnailSpec(), kind=None)

    return with_slots(body, heic=is_on)


def test_every_orientation_comes_out_upright_once() -> None:
    async def body(slots: DecodeSlots) -> list[ThumbnailSet]:
        made = [slots.create_thumbnails(BytesSource(heif(turn)), ThumbnailSpec(), kind=None) for turn in UNTURN]
        return list(await asyncio.gather(*made))

    for made in with_slots(body, heic=True):
        assert (made.source.kind, made.source.codec) == ("image", "heif")
        assert [(r.width, r.height) for r in made.renditions] == [(149, 112), (320, 240), (640, 480)]
        assert_upright(made)
        assert all(b"secret" not in rendition.content for rendition in made.renditions)


def test_its_colour_profile_is_followed() -> None:
    """One whose red is green and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    file = pillow_heif.from_pillow(Image.new("RGB", (320, 240), (200, 30, 90)))
    out = io.BytesIO()
    file.save(out, quality=95, icc_profile=swapped)
    shown = make_caged(out.getvalue()).renditions[1]
    assert is_near(colour_at(pixels_of(shown), 0.5, 0.5), (30, 200, 90), 12)


def test_without_the_extra_it_is_refused_with_the_way_out() -> None:
    with pytest.raises(PermanentError, match=r"pip install 'thumbnail-pipeline\[heic\]'") as caught:
        make_caged(heif(), is_on=False)
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED


def test_a_giant_is_refused_by_its_header() -> None:
    at = heif().index(b"ispe") + 8
    giant = heif()[:at] + SIDE.to_bytes(4, "big") * 2 + heif()[at + 8 :]
    with pytest.raises(PermanentError) as caught:
        make_caged(giant)
    assert caught.value.code is ErrorCode.MEDIA_TOO_MANY_PIXELS


def test_one_whose_tags_at_its_end_are_cut_is_whole() -> None:
    made, whole = make_caged(heif()[:-40]), make_caged(heif())
    assert not made.degraded
    assert (pixels_of(made.renditions[1]) == pixels_of(whole.renditions[1])).all()


@pytest.mark.parametrize("cut", [400, 4000])
def test_a_damaged_one_is_a_code(cut: int) -> None:
    with pytest.raises(PermanentError) as caught:
        make_caged(heif()[:-cut] if cut < 4000 else heif()[:cut])
    assert caught.value.code is ErrorCode.MEDIA_CORRUPT


@pytest.mark.parametrize(("setting", "is_installed", "is_on"), [("auto", 1, 1), ("auto", 0, 0), ("off", 1, 0)])
def test_the_setting_and_the_extra_decide(
    setting: str, is_installed: int, is_on: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECODE_HEIC", setting)
    monkeypatch.setenv("DECODE_SLOTS", "1")
    monkeypatch.setattr(heic, "find_spec", lambda name: object() if is_installed and name == "pillow_heif" else None)

    async def run() -> str:
        async with build_slots(DecodeSettings()) as slots:
            try:
                made = await slots.create_thumbnails(BytesSource(heif()), ThumbnailSpec(), kind=None)
            except PermanentError as error:
                return error.code
            return made.source.codec

    assert asyncio.run(run()) == ("heif" if is_on else ErrorCode.MEDIA_UNSUPPORTED)


def test_brands_tell_heic_from_avif_in_the_container_that_both_use() -> None:
    avif = encoded(UPRIGHT, "AVIF")
    shared = avif.replace(b"ftypavif", b"ftypmif1", 1)
    assert sniff_kind(shared[:64]) == "image"
    assert not is_heic(shared[:64])
    assert is_heic(heif()[:64])
    assert is_heic(heif()[:64].replace(b"ftypheic", b"ftypmif1", 1))
    assert_upright(make_caged(shared, is_on=False))
    assert_upright(make_caged(heif().replace(b"ftypheic", b"ftypmif1", 1)))


@pytest.mark.parametrize("machine", AUDIT)
def test_threads_may_start_and_processes_may_not(machine: str) -> None:
    clone, prctl, clone3 = {"x86_64": (56, 157, 435), "aarch64": (220, 167, 435)}[machine]
    thread, apart = 0x3D0F00, 0x10000000

    def of(number: int, *arguments: int) -> str | int:
        return judge(machine, AUDIT[machine], number, arguments, allow_threads=True)

    assert of(clone, thread) == "allow"
    assert of(clone, 17) == errno.EAGAIN
    assert of(clone, thread | apart) == errno.EAGAIN
    assert of(clone, thread & ~0x10000) == errno.EAGAIN
    assert of(clone3) == errno.ENOSYS
    assert of(prctl, 15) == "allow"
    assert of(prctl, 22) == errno.EPERM
    assert judge(machine, AUDIT[machine], clone, (thread,)) == errno.EAGAIN, "only where they were allowed"
