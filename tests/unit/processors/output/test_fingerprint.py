"""The name of the settings: another one for everything that changes the pictures, the same for all else."""

from dataclasses import fields, replace
from typing import Any

import pytest

from processors.output import fingerprint
from processors.output.fingerprint import settings_fingerprint
from processors.types import STANDARD_RENDITIONS, PictureFormat, RenditionSpec, ThumbnailSpec

STANDARD = ThumbnailSpec()
CHANGES: dict[str, dict[str, Any]] = {
    "a size": {"renditions": (*STANDARD_RENDITIONS[:2], RenditionSpec("large", 641, 480))},
    "a mode": {"renditions": (*STANDARD_RENDITIONS[:2], RenditionSpec("large", 640, 480, "fill"))},
    "a name": {"renditions": (*STANDARD_RENDITIONS[:2], RenditionSpec("huge", 640, 480))},
    "one more": {"renditions": (*STANDARD_RENDITIONS, RenditionSpec("huge", 1280, 720))},
    "the format of one": {
        "renditions": (*STANDARD_RENDITIONS[:2], RenditionSpec("large", 640, 480, format=PictureFormat.AVIF))
    },
    "the quality of one": {"renditions": (*STANDARD_RENDITIONS[:2], RenditionSpec("large", 640, 480, quality=81))},
    "the effort": {"effort": "high"},
    "the format": {"format": PictureFormat.AVIF},
    "the quality": {"quality": 81},
    "the size limit": {"max_rendition_bytes": 20_000},
    "the background": {"background": "000000"},
    "transparency": {"alpha": "flatten"},
    "the decoder": {"decoder": "opencv"},
    "the choice of the frame": {"strategy": "fixed"},
}
SAME: dict[str, dict[str, Any]] = {
    "the uploader's own moment": {"frame_time_s": 3.0},
    "its own format said again": {
        "renditions": (
            *STANDARD_RENDITIONS[:2],
            RenditionSpec("large", 640, 480, "fit", STANDARD.format, STANDARD.quality),
        )
    },
    "another order": {"renditions": STANDARD_RENDITIONS[::-1]},
    "the source's size": {"max_source_bytes": 1},
    "its pixels": {"max_pixels": 1},
    "its frames": {"max_frames": 1},
    "the reads": {"max_reads": 20},
    "the bytes read": {"max_bytes_read": 2**20},
    "upper case": {"background": "FFFFFF"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_pictures_changes_the_name(change: str) -> None:
    assert settings_fingerprint(replace(STANDARD, **CHANGES[change])) != settings_fingerprint(STANDARD)


def test_all_these_names_differ() -> None:
    names = {settings_fingerprint(replace(STANDARD, **change)) for change in CHANGES.values()}
    assert len(names) == len(CHANGES)


@pytest.mark.parametrize("change", SAME)
def test_what_leaves_them_as_they_are_leaves_the_name(change: str) -> None:
    assert settings_fingerprint(replace(STANDARD, **SAME[change])) == settings_fingerprint(STANDARD)


def test_every_setting_is_looked_at() -> None:
    looked_at = {name for change in (CHANGES | SAME).values() for name in change}
    assert looked_at == {field.name for field in fields(ThumbnailSpec)}


def test_without_a_medium_one_the_order_decides_which_stands_for_all() -> None:
    some = (RenditionSpec("a", 10, 10), RenditionSpec("b", 20, 20), RenditionSpec("c", 30, 30))
    names = {
        settings_fingerprint(replace(STANDARD, renditions=order)) for order in (some, some[::-1], some[1:] + some[:1])
    }
    assert len(names) == 2, "b stands for all in two of them, c in the third"


def test_a_new_recipe_makes_every_picture_old(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings_fingerprint(STANDARD)
    monkeypatch.setattr(fingerprint, "RECIPE", 2)
    assert settings_fingerprint(STANDARD) != before


def test_the_name_of_the_standard_settings_stays_between_releases() -> None:
    """Whatever changes it makes every row of every installation old: then raise RECIPE, and say so in docs/upgrades.md."""
    assert settings_fingerprint(STANDARD) == "1-0d625d0a7c220b7c"
