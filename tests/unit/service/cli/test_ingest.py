"""`thumbnails ingest rules`: what the rules make of an object, before anything runs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.ingest import ingest_app

RULES = r"""
[[rules]]
prefix = "tmp/"
skip = true

[[rules]]
pattern = 'v/(?P<content>\d+)/(?P<video>\w+)\.mp4'
company = 2
kind = "video"
id = "{video}"
ar_content_id = "{content}"
deletions = true

[[rules]]
prefix = "vault/up/"
base_path = "vault"
company = 3
lookup = true
"""
OURS = "a/thumbnails/video/42/20261130T100000.123000Z-0123456789ab-1-abcdefabcdef/medium.webp"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("tmp/a", {"rule": 1, "media_key": "tmp/a", "skip": True}),
        (
            "v/9/42.mp4",
            {
                "rule": 2,
                "media_key": "v/9/42.mp4",
                "company": 2,
                "kind": "video",
                "id": 42,
                "ar_content_id": 9,
                "deletions": True,
            },
        ),
        ("vault/up/a.mp4", {"rule": 3, "media_key": "up/a.mp4", "lookup": "up/a.mp4", "company": 3, "kind": None}),
        (OURS, {"skip": True, "why": "It is our own thumbnail."}),
    ],
)
def test_it_says_of_an_object_what_would_become_of_it(rules: Path, key: str, said: dict[str, object]) -> None:
    done = CliRunner().invoke(ingest_app, ["rules", "--rules", str(rules), f"media/{key}"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"bucket": "media", "key": key} | said)


@pytest.mark.parametrize(("key", "said"), [("other", "No rule"), ("v/9/holiday.mp4", "no number for id")])
def test_an_object_that_would_get_no_thumbnail_is_a_failure(rules: Path, key: str, said: str) -> None:
    done = CliRunner().invoke(ingest_app, ["rules", "m/tmp/a", f"m/{key}"], env={"INGEST_RULES": str(rules)})
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (done.exit_code, first["rule"]) == (1, 1)
    assert said in second["problem"]


def test_without_a_file_or_with_a_wrong_one_it_says_so_in_one_sentence(tmp_path: Path) -> None:
    without = CliRunner().invoke(ingest_app, ["rules", "m/a"], env={"INGEST_RULES": ""})
    assert (without.exit_code, "INGEST_RULES" in without.stderr) == (2, True)
    (tmp_path / "rules.toml").write_text("[[rules]]")
    wrong = CliRunner().invoke(ingest_app, ["rules", "--rules", str(tmp_path / "rules.toml"), "m/a"])
    assert (wrong.exit_code, "rule 1: company is needed" in wrong.stderr) == (1, True)
