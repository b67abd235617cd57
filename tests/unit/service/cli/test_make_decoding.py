"""`make` decodes as the settings say, also where it does not load them."""

import asyncio
import os
from typing import Any

import pytest
from pydantic import ValidationError

from processors.types import RenditionSpec
from service.cli.make.decoding import decoding_by, decoding_of
from service.roles.decoding import build_slots, build_spec
from service.settings import DecodeSettings


def values_of(slots: Any) -> list[Any]:
    """All that a pool and its slots were made with, whatever it is called."""
    parts = [slots, *slots._slots, *(slot._config for slot in slots._slots)]
    plain = (int, float, str, bool)
    return [(name, value) for part in parts for name, value in vars(part).items() if isinstance(value, plain)]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ((None, None, None), {}),
        (("a:10x20:fill", None, None), {"thumbnail_renditions": "a:10x20:fill"}),
        ((None, "jpeg", 44), {"thumbnail_format": "jpeg", "thumbnail_quality": 44}),
    ],
)
def test_options_and_defaults_mean_what_they_mean_in_the_settings(
    options: tuple[Any, Any, Any], settings: dict[str, Any]
) -> None:
    found, meant = decoding_of(*options), DecodeSettings(**settings)
    assert found.spec == build_spec(meant)
    assert found.max_slots == meant.decode_slots
    assert values_of(found.make_slots(2, True)) == values_of(build_slots(meant, count=2))


def test_a_setting_in_the_environment_counts_and_an_option_goes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("thumbnail_renditions", "tile:64x64:fill")
    monkeypatch.setenv("THUMBNAIL_QUALITY", "31")
    monkeypatch.setenv("DECODE_SLOTS", "3")
    found = decoding_of(None, None, 52)
    assert found.spec.renditions == (RenditionSpec("tile", 64, 64, "fill"),)
    assert (found.spec.quality, found.max_slots) == (52, 3)


def test_sizes_that_cannot_be_are_refused_by_the_settings() -> None:
    with pytest.raises(ValidationError, match="thumbnail_renditions"):
        decoding_of("large", None, None)


@pytest.mark.parametrize(("files", "slots"), [(0, 1), (1, 1), (2, 2), (1000, 4)])
def test_there_are_no_more_slots_than_files(files: int, slots: int) -> None:
    decoding = decoding_by(DecodeSettings(decode_slots=4))
    assert decoding.slots_for(files).count == slots


def test_one_file_starts_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)

    async def pids() -> int:
        async with decoding_of(None, None, None).slots_for(1) as slots:
            return len(slots.pids)

    assert asyncio.run(pids()) == 1


def test_many_files_have_warm_slots_and_few_have_cold_ones() -> None:
    decoding = decoding_by(DecodeSettings(decode_slots=2))
    assert [dict(values_of(decoding.slots_for(files)))["is_warm"] for files in (1, 16, 17)] == [False, False, True]
