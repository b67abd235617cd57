"""Which files `make` means: folders, patterns and names, and that no thumbnail is taken for another file's."""

import os
from pathlib import Path

import pytest

from service.cli.make.sources import find_items
from tests.system.platform import a_photo

PHOTO = a_photo(1)


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.jpg", "in/sub/a.jpg", "in/sub/without-ending", "in/.hidden/b.jpg", "in/.c.jpg", "out/d.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PHOTO)
    (tmp_path / "in" / "notes.txt").write_text("dear diary")
    (tmp_path / "in" / "broken.mp4").write_text("dear diary")
    return tmp_path


def names_of(*arguments: str, out: str = "out") -> list[tuple[str, str]]:
    return [(item.path, item.name) for item in find_items(arguments, Path(out)).items]


def test_a_folder_is_all_media_below_it_with_its_subfolders(media: Path) -> None:
    found = find_items(["in"], media / "out")
    assert [(item.path, item.name) for item in found.items] == [
        ("in/a.jpg", "a"),
        ("in/broken.mp4", "broken"),  # its name says that it should be one: it is to be reported
        ("in/sub/a.jpg", "sub/a"),
        ("in/sub/without-ending", "sub/without-ending"),
    ]
    assert found.passed_over == 1


@pytest.mark.usefixtures("media")
def test_the_folder_for_thumbnails_is_not_looked_into() -> None:
    assert [path for path, _ in names_of(".")] == [
        "in/a.jpg",
        "in/broken.mp4",
        "in/sub/a.jpg",
        "in/sub/without-ending",
    ]


def test_a_quoted_pattern_is_what_fits_it(media: Path) -> None:
    assert names_of("in/**/*.jpg") == [("in/a.jpg", "a-jpg-1"), ("in/sub/a.jpg", "a-jpg-2")]
    (media / "in" / "[x].jpg").write_bytes(PHOTO)
    assert names_of("in/[x].jpg") == [("in/[x].jpg", "_x_")]


def test_two_files_with_one_stem_have_names_that_a_third_does_not_change(media: Path) -> None:
    (media / "in" / "a.png").write_bytes(PHOTO)
    before = dict(names_of("in"))
    assert (before["in/a.jpg"], before["in/a.png"]) == ("a-jpg", "a-png")
    (media / "in" / "a.gif").write_bytes(PHOTO)
    after = dict(names_of("in"))
    assert before.items() <= after.items()


def test_only_a_name_that_is_the_files_own_lasts(media: Path) -> None:
    items = find_items(["in/a.jpg", "in/sub/a.jpg", "in/a.jpg", "-"], media / "out").items
    assert len({item.name for item in items}) == 4
    assert [item.is_lasting for item in items] == [False] * 4
    (alone,) = find_items(["in/a.jpg"], media / "out").items
    assert alone.is_lasting


def test_a_folder_that_may_not_be_read_is_reported_and_stops_nothing(media: Path) -> None:
    if os.geteuid() == 0:
        (media / "in" / "sub" / "without-ending").unlink()
        (media / "in" / "sub" / "a.jpg").unlink()
        (media / "in" / "sub").rmdir()
        (media / "in" / "sub").symlink_to("sub")  # a folder that root cannot read either
        assert [path for path, _ in names_of("in")] == ["in/a.jpg", "in/broken.mp4"]
        return
    (media / "in" / "sub").chmod(0)
    try:
        problems = [item.problem.message for item in find_items(["in"], media / "out").items if item.problem]
    finally:
        (media / "in" / "sub").chmod(0o700)
    assert problems == ["in/sub: Permission denied."]
