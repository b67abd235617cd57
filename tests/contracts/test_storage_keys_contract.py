"""What every provider makes of keys: which are refused, what absence is, how folders and listings work."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError
from storage.base import StorageProvider
from tests.contracts.objects import put, read_all
from tests.doubles.odd_names import odd_names

ABSENT = ["acme/none", "none/at/all", "acme/folder", "acme/a/below"]
"""Nothing there, no folder there, a folder, and a place below an object."""


@pytest.mark.parametrize("key", ABSENT)
def test_absence_is_always_the_same_error(provider: StorageProvider, key: str, tmp_path: Path) -> None:
    put(provider, "acme/a")
    put(provider, "acme/folder/b")
    with pytest.raises(ObjectNotFoundError):
        provider.open_source(key)
    with pytest.raises(ObjectNotFoundError):
        provider.download_file(key, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not provider.file_exists(key)


@pytest.mark.parametrize("key", ABSENT)
def test_deleting_what_is_absent_is_no_error_and_takes_nothing_else(provider: StorageProvider, key: str) -> None:
    put(provider, "acme/a")
    put(provider, "acme/folder/b")
    provider.delete_file(key)
    assert list(provider.list_files("acme")) == ["acme/a", "acme/folder/b"]


def test_deleting_is_idempotent(provider: StorageProvider) -> None:
    put(provider, "acme/x/a")
    provider.delete_file("acme/x/a")
    provider.delete_file("acme/x/a")
    assert not provider.file_exists("acme/x/a")


def test_a_key_below_an_object_is_stored_or_refused_and_the_object_stays(provider: StorageProvider) -> None:
    put(provider, "acme/a", b"above")
    try:
        put(provider, "acme/a/below", b"below")
    except PermanentError as error:
        assert error.code is ErrorCode.STORAGE_BAD_KEY
    else:
        assert read_all(provider, "acme/a/below") == b"below"
    assert read_all(provider, "acme/a") == b"above"


def test_a_listing_has_whole_folders_in_order(provider: StorageProvider) -> None:
    for key in ("acme/b", "acme/a/2", "acme/a/1", "acme/a-1", "acme-2/c", "acmee/d"):
        put(provider, key)
    assert list(provider.list_files("acme")) == ["acme/a-1", "acme/a/1", "acme/a/2", "acme/b"]
    assert list(provider.list_files("acme/a")) == ["acme/a/1", "acme/a/2"]


def test_a_listing_says_how_large_and_how_old_each_object_is(provider: StorageProvider) -> None:
    before = datetime.now(UTC)
    put(provider, "acme/a", b"four")
    put(provider, "acme/folder/b", b"")
    (first, second) = provider.list_objects("acme")
    assert [(first.key, first.size_bytes), (second.key, second.size_bytes)] == [("acme/a", 4), ("acme/folder/b", 0)]
    for found in (first, second):
        assert abs(found.modified_at - before) < timedelta(seconds=30)


LISTED = ("a+b", "a-1", "a/1", "a/10", "a/2/x", "a/2/y", "a.b/c", "a0", "b", "caf\u00e9", "\uffee", "\U0001f600")


AFTER = ("", "a", "acme/", "acme/a/1", "acme/a/15", "acme/a/2", "acme/a/2/x", "acme/b", "acme/z", "b")


def test_a_listing_goes_on_after_any_text_in_the_order_of_bytes(provider: StorageProvider) -> None:
    keys = sorted((f"acme/{name}" for name in LISTED), key=str.encode)
    for key in (*reversed(keys), "acme-2/x"):
        put(provider, key)
    for after in AFTER:
        found = [found.key for found in provider.list_objects("acme", after=after)]
        assert found == [key for key in keys if key > after], after


@pytest.mark.parametrize("prefix", [*ABSENT[:2], "acme/a", "acm"])
def test_a_prefix_without_objects_lists_nothing(provider: StorageProvider, prefix: str) -> None:
    put(provider, "acme/a")
    assert list(provider.list_files(prefix)) == []


def test_hidden_files_of_a_tenant_are_objects_like_any_other(provider: StorageProvider) -> None:
    put(provider, "acme/.hidden")
    put(provider, "acme/.mine.part")
    assert list(provider.list_files("acme")) == ["acme/.hidden", "acme/.mine.part"]


def test_urls_are_stable_and_quoted(provider: StorageProvider) -> None:
    url = provider.get_file_url("acme/small picture#1.webp")
    assert url == provider.get_file_url("acme/small picture#1.webp")
    assert url.startswith("http://files.example/s/")
    assert url.endswith("acme/small%20picture%231.webp")


def test_two_forms_of_one_text_are_two_keys(provider: StorageProvider) -> None:
    put(provider, "acme/caf\u00e9", b"composed")
    put(provider, "acme/cafe\u0301", b"decomposed")
    assert read_all(provider, "acme/caf\u00e9") == b"composed"
    assert read_all(provider, "acme/cafe\u0301") == b"decomposed"
    assert list(provider.list_files("acme")) == ["acme/cafe\u0301", "acme/caf\u00e9"]


def test_odd_names_are_names(provider: StorageProvider, request: pytest.FixtureRequest) -> None:
    is_azure = request.node.callspec.params["provider"].startswith("azure_blob")
    keys = [f"acme/{name}" for name in odd_names()]
    if is_azure:  # which would take them for other keys
        others = [key for key in keys if "\\" in key]
        assert [refuses(provider, key) for key in others] == [True] * len(others) != []
        keys = [key for key in keys if key not in others]
    for number, key in enumerate(keys):
        put(provider, key, str(number).encode())
    assert list(provider.list_files("acme")) == sorted(keys)
    for number, key in enumerate(keys):
        assert read_all(provider, key) == str(number).encode(), ascii(key)
        assert urlsplit(provider.get_file_url(key)).path.endswith(quote(key))
        provider.delete_file(key)
    assert list(provider.list_files("acme")) == []


def refuses(provider: StorageProvider, key: str) -> bool:
    try:
        put(provider, key)
    except PermanentError as error:
        return error.code is ErrorCode.STORAGE_BAD_KEY
    return False


LONG_KEYS = {
    "a name of 255 bytes": "acme/" + "x" * 255,
    "a name of 255 bytes in few characters": "acme/" + "\u4e16" * 85,
    "a key of 1020 bytes": "/".join(["y" * 203] * 4 + ["y" * 204]),
    "510 folders": "z/" * 509 + "z",
}
"""With the four bytes of a base path, the longest that S3 takes."""


@pytest.mark.parametrize("key", LONG_KEYS.values(), ids=LONG_KEYS)
def test_the_longest_keys_work_from_writing_to_deleting(provider: StorageProvider, key: str) -> None:
    put(provider, key, b"old")
    put(provider, key, b"new")
    assert read_all(provider, key) == b"new"
    assert list(provider.list_files(key.partition("/")[0])) == [key]
    provider.delete_file(key)
    assert not provider.file_exists(key)


BAD_KEYS = [
    "",
    "/etc/passwd",
    "acme/../globex/a",
    "..",
    "./a",
    "acme//a",
    "acme/",
    "acme\\..\\a",
    "acme/a%2f..%2f..%2fb",
    "acme/a\0b",
    "acme/a\nb",
    "acme/%2e%2e/a",
    "acme/\u2025/a",
    "a" * 2000,
    "acme/" + "x" * 300,
    "\ud800",
    "acme/.a.0123456789abcdef.part",
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=[ascii(key)[:24] for key in BAD_KEYS])
def test_a_key_that_is_no_plain_path_is_refused_by_every_method(
    provider: StorageProvider, key: str, tmp_path: Path
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: put(provider, key),
        lambda: provider.open_source(key),
        lambda: provider.download_file(key, tmp_path / "copy"),
        lambda: provider.file_exists(key),
        lambda: provider.delete_file(key),
        lambda: list(provider.list_files(key)),
        lambda: provider.get_file_url(key),
    ]
    for call in calls:
        with pytest.raises(PermanentError) as caught:
            call()
        assert caught.value.code is ErrorCode.STORAGE_BAD_KEY
