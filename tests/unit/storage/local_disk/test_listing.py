"""Listings of large folders: in order, in bounded memory, from any key on."""

from pathlib import Path

import pytest

from storage.local_disk import files
from storage.local_disk.provider import LocalStorageProvider


@pytest.mark.parametrize("at_once", [1, 3, 7, 1000])
def test_a_folder_of_more_names_than_are_held_at_once_is_listed_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(files, "NAMES_AT_ONCE", at_once)
    keys = [f"acme/{number}/{name}" for number in range(1, 31) for name in ("a", "b")] + ["acme/1-x", "acme/30.y"]
    for key in keys:
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    provider = LocalStorageProvider(tmp_path, "http://x")
    assert [found.key for found in provider.list_objects("acme")] == sorted(keys)
    for after in ("acme/1", "acme/12/a", "acme/2", "acme/30/b", "acme/9/z"):
        found = [one.key for one in provider.list_objects("acme", after=after)]
        assert found == [key for key in sorted(keys) if key > after], after


def test_what_goes_away_during_a_listing_ends_it_no_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "NAMES_AT_ONCE", 2)
    for number in range(1, 8):
        (tmp_path / f"acme/{number}").mkdir(parents=True)
        (tmp_path / f"acme/{number}/a").write_bytes(b"x")
    listing = LocalStorageProvider(tmp_path, "http://x").list_objects("acme")
    seen = [next(listing).key]
    (tmp_path / "acme/2/a").unlink()
    (tmp_path / "acme/2").rmdir()
    (tmp_path / "acme/5/a").unlink()
    seen += [found.key for found in listing]
    assert seen == [f"acme/{number}/a" for number in (1, 3, 4, 6, 7)]
