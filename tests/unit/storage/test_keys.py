"""Which keys are plain relative paths, and how thumbnails are named."""

import posixpath
import unicodedata

import pytest

from schemas.errors import ErrorCode, PermanentError
from storage.keys import (
    check_folder,
    check_key,
    is_inside,
    is_key,
    is_partial,
    partial_name,
    thumbnail_key,
    thumbnails_prefix,
)

GOOD_KEYS = [
    "acme/uploads/a.mp4",
    "a",
    "acme/.hidden",
    "acme/...",
    "acme/..a",
    "acme/a b+c&d=e#f?g.mp4",
    "acme/100%.mp4",
    "acme/caf\u00e9.mp4",
    "acme/cafe\u0301.mp4",
    "acme/Part 1\u2026.mp4",
    "acme/\u52d5\u753b\uff0emp4",
    "acme/\u00bd.mp4",
    "acme/\u06cc\u200c\u062e.mp4",
    "acme/\U0001f468\u200d\U0001f469\u200d\U0001f467.mp4",
    "acme/.mine.part",
    "acme/" + "x" * 255,
    "acme/\u202egpj.exe",
    "acme/\u2067a\u2069",
    "acme/\u200fa",
    "acme/\u061ca",
    "acme\\a",
    "acme/C:\\clips\\a.mp4",
    "acme%2Fa",
    "acme/a%5cb",
    "acme/%2eb",
    "acme/a%252Fb",
    "acme\uff0fa",
    "acme\uff3ca",
    "acme/1\u20442.mp4",
    "acme/a\u2215b",
    "acme/a\u2216b",
    "acme/a\u29f8b",
    "acme/\u2100",
]
BAD_KEYS = {
    "nothing": "",
    "absolute": "/etc/passwd",
    "parent": "acme/../globex",
    "this folder": "acme/./a",
    "empty part": "acme//a",
    "folder": "acme/",
    "NUL": "acme/a\0",
    "newline": "acme/a\n",
    "delete character": "acme/\x7f",
    "C1 control": "acme/\x85",
    "line separator": "acme/\u2028",
    "lone surrogate": "acme/\udcff",
    "encoded dots": "acme/%2e%2E/a",
    "encoded dots and slashes": "acme/a%2f..%2fb",
    "encoded slash at the end": "acme/a%2f",
    "backslashes and dots": "acme/a\\..\\b",
    "backslash at the beginning": "\\acme",
    "look-alike slashes and dots": "acme/a\u2215..\u2215b",
    "encoded look-alike dots": "acme/%E2%80%A5/a",
    "dots with an encoded mark between": "acme/.%E2%80%8F./a",
    "slashes at the end of both kinds": "acme/a\\\u2044",
    "encoded NUL": "acme/a%00.mp4",
    "encoded twice": "acme/%252e%25252e/a",
    "fullwidth dots": "acme/\uff0e\uff0e/a",
    "fullwidth percent": "acme/\uff052e\uff052e/a",
    "small dots": "acme/\ufe52\ufe52/a",
    "one-dot leaders": "acme/\u2024\u2024/a",
    "two-dot leader": "acme/\u2025/a",
    "a dot and a leader": "acme/.\u2024/a",
    "dots with something invisible between": "acme/.\u200b./a",
    "something invisible only": "acme/\u200b/a",
    "part of 256 bytes": "acme/" + "x" * 256,
    "part of 258 bytes in 86 characters": "acme/" + "\u4e16" * 86,
    "1025 bytes": "/".join(["y" * 204] * 4 + ["y" * 205]),
    "2000 characters": "a/" * 999 + "aa",
    "unfinished upload": "acme/" + partial_name("a.webp"),
    "folder called like an unfinished upload": f"acme/{partial_name('a')}/b",
}


@pytest.mark.parametrize("key", GOOD_KEYS, ids=[ascii(key)[:30] for key in GOOD_KEYS])
def test_a_plain_relative_path_is_taken_as_it_is(key: str) -> None:
    assert check_key(key) == key
    assert is_key(key)


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_anything_else_is_refused_for_good(key: str) -> None:
    with pytest.raises(PermanentError) as caught:
        check_key(key)
    assert caught.value.code is ErrorCode.STORAGE_BAD_KEY
    assert not is_key(key)


@pytest.mark.parametrize("path", ["acme", "shared/acme", "acme/caf\u00e9", "acme/50%", "acme/\u0641\u200f"])
def test_a_folder_of_an_operator_has_the_same_parts_for_everybody(path: str) -> None:
    assert check_folder(path) == path


@pytest.mark.parametrize(
    "path", ["acme\\sub", "acme%2fsub", "acme/%255Cb", "acme\uff0fsub", "acme\u2215sub", "..", "a//b"]
)
def test_a_folder_of_an_operator_with_slashes_that_are_none_is_refused(path: str) -> None:
    with pytest.raises(PermanentError) as caught:
        check_folder(path)
    assert caught.value.code is ErrorCode.STORAGE_BAD_KEY


def test_the_message_is_one_printable_line_that_utf8_can_write() -> None:
    for key in BAD_KEYS.values():
        with pytest.raises(PermanentError) as caught:
            check_key(key)
        assert caught.value.message.isprintable()
        assert len(caught.value.message.encode()) < 1024


def test_no_single_character_makes_a_way_out_of_a_folder() -> None:
    """Every character that Unicode folds into others: refused, or harmless to whoever folds what we let pass."""
    folding = [char for char in map(chr, range(0x110000)) if unicodedata.normalize("NFKC", char) != char]
    keys = [f"acme/{char}{char}/a" for char in folding]
    passed = [unicodedata.normalize("NFKC", key) for key in keys if is_key(key)]
    assert 4000 < len(passed) < len(keys)
    for read in passed:
        assert posixpath.normpath(read.replace("\\", "/")) == read, ascii(read)
        assert read.startswith("acme/"), ascii(read)


def test_whole_parts_decide_what_is_inside() -> None:
    assert is_inside("acme/x", "acme")
    assert not is_inside("acme-2/x", "acme")
    assert not is_inside("acme", "acme")
    assert not is_inside("x/acme/y", "acme")


def test_a_thumbnail_is_named_by_tenant_media_version_and_rendition() -> None:
    folder = thumbnails_prefix("acme", "ar_content", 9)
    assert thumbnail_key(folder, "v1", "small", "webp") == "acme/thumbnails/ar_content/9/v1/small.webp"


@pytest.mark.parametrize("name", ["a.webp", "x" * 255, "\u4e16" * 85, "a" + "\U0001f468" * 63, ".a.part"])
def test_the_name_of_an_unfinished_upload_is_known_and_fits(name: str) -> None:
    partial = partial_name(name)
    assert is_partial(partial)
    assert len(partial.encode()) <= 255
    assert partial != partial_name(name)


@pytest.mark.parametrize("name", [".mine.part", "a.part", ".a.12345678.part", "a.0123456789abcdef.part", ".part"])
def test_a_tenants_own_name_is_not_taken_for_an_unfinished_upload(name: str) -> None:
    assert not is_partial(name)
