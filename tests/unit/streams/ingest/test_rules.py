"""The rules: which one is for an object, what it makes of the key, and what is wrong with a file."""

from pathlib import Path

import pytest

from schemas.events import MediaKind, upload_version
from storage.keys import thumbnail_key, thumbnails_prefix, version_folder
from streams.ingest.rules import RulesError, Target, UnplacedError, is_ours, parse_rules, read_rules
from tests.doubles.pipeline import NOW

RULES = r"""
[[rules]]
bucket = "media"
prefix = "tmp/"
skip = true

[[rules]]
bucket_pattern = 'tenant-(?P<company>\d+)'
pattern = 'videos/(?P<content>\d+)/(?P<video>\d+)\.(mp4|mov)'
company = "{company}"
kind = "video"
id = "{video}"
ar_content_id = "{content}"
deletions = true

[[rules]]
bucket = "media"
base_path = "vault"
pattern = 'vault/acme/photos/(?P<id>\w+)\.jpg'
company = 1
kind = "image"
id = "{id}"

[[rules]]
bucket = "media"
prefix = "acme/uploads/"
lookup = true
"""


@pytest.mark.parametrize(
    ("bucket", "key", "number"),
    [
        ("media", "tmp/acme/uploads/a.mp4", 1),
        ("tenant-7", "videos/9/42.mp4", 2),
        ("tenant-7", "videos/9/42.mp4.part", None),
        ("tenant-7-old", "videos/9/42.mp4", None),
        ("media", "vault/acme/photos/9.jpg", 3),
        ("media", "acme/uploads/a/b.mp4", 4),
        ("other", "acme/uploads/a/b.mp4", None),
        ("media", "acme/uploads\n/a", None),
    ],
)
def test_the_first_rule_that_matches_is_taken(bucket: str, key: str, number: int | None) -> None:
    match = parse_rules(RULES).find(bucket, key)
    assert (match.number if match else None) == number


def test_ids_are_made_of_the_groups_of_bucket_and_key() -> None:
    match = parse_rules(RULES).find("tenant-7", "videos/009/42.mp4")
    assert match is not None
    assert match.target() == Target(7, MediaKind.VIDEO, 42, 9)
    assert match.key == "videos/009/42.mp4"


def test_the_key_of_the_event_begins_after_the_base_path_and_a_photograph_is_its_ar_content() -> None:
    match = parse_rules(RULES).find("media", "vault/acme/photos/9.jpg")
    assert match is not None
    assert (match.key, match.target()) == ("acme/photos/9.jpg", Target(1, MediaKind.IMAGE, 9, 9))


@pytest.mark.parametrize("name", ["abc", "0", "99999999999", "٤٢"])
def test_an_id_that_is_no_number_is_no_media(name: str) -> None:
    match = parse_rules(RULES).find("media", f"vault/acme/photos/{name}.jpg")
    assert match is not None
    with pytest.raises(UnplacedError, match=r"Rule 3 makes .* no number for id"):
        match.target()


def test_only_rules_that_look_up_need_the_database() -> None:
    assert parse_rules(RULES).look_up
    assert not parse_rules("[[rules]]\nskip = true").look_up


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rules]", "it is no TOML"),
        ("", "[[rules]]"),
        ("rules = []", "[[rules]]"),
        ("[[rule]]\nskip = true", "[[rules]]"),
        ("[[rules]]\nskip = true\nbuckets = 'a'", "rule 1: buckets"),
        ("[[rules]]\nskip = true\n[[rules]]\nbucket = 1\nskip = true", "rule 2: bucket is 1, but must be text"),
        ("[[rules]]\nskip = true\npattern = '('", "rule 1: pattern: not a regular expression"),
        ("[[rules]]\nskip = true\nlookup = true", "lookup has no effect with skip"),
        ("[[rules]]\nskip = true\nid = 1", "id has no effect with skip"),
        ("[[rules]]\nlookup = true\nid = 1", "id has no effect with lookup"),
        ("[[rules]]\nbucket = 'a'", "company is needed"),
        ("[[rules]]\ncompany = 1\nkind = 'image'", "id is needed"),
        ("[[rules]]\ncompany = 1\nkind = 'video'\nid = 1", "ar_content_id is needed"),
        ("[[rules]]\ncompany = 1\nkind = 'photo'\nid = 1", "kind is \"photo\", but must be 'video' or 'image'"),
        ("[[rules]]\ncompany = 1\nkind = 'image'\nid = '{id}'", "{id} is no named group"),
        ("[[rules]]\nskip = true\nbucket = 'a'\nbucket_pattern = 'b'", "exclude each other"),
    ],
)
def test_a_file_that_cannot_be_used_says_which_rule_is_wrong_and_why(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(RulesError) as caught:
        read_rules(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="No such file"):
        read_rules(tmp_path / "none.toml")


def test_what_the_worker_writes_is_known_as_ours() -> None:
    folder = version_folder(upload_version(NOW, "e", "thumbnail.due/0/1"), 1, [("medium.webp", b"x")])
    for kind in MediaKind:
        key = thumbnail_key(thumbnails_prefix("acme/media", kind.value, 42), folder, "medium", "webp")
        assert is_ours(key)
        assert is_ours(f"base/{key}")
    assert is_ours("acme/health-probe/0123456789abcdef")


@pytest.mark.parametrize(
    "key", ["acme/thumbnails/a.mp4", "acme/thumbnails/video/42/holiday/a.mp4", "acme/health-probe/a"]
)
def test_a_users_own_folder_of_a_like_name_is_not(key: str) -> None:
    assert not is_ours(key)
