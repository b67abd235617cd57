"""The options of `thumbnails backfill`, and what it says of a library without sending anything."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from processors.output.fingerprint import settings_fingerprint
from processors.types import ThumbnailSpec
from service.cli.main import app
from service.exits import EXIT_USAGE
from tests.unit.service.backfill.platform_rows import PHOTO, READY, VIDEO, a_library


def backfill(*arguments: str, url: str = "sqlite://", **settings: str) -> Result:
    return CliRunner().invoke(app, ["backfill", *arguments], env={"DATABASE_URL": url} | settings)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--failed", "--all"), "Give one of --failed, --older-than-settings and --all"),
        (("--older-than-settings", "--failed"), "Give one of --failed, --older-than-settings and --all"),
        (("--since", "24h"), "Rows without thumbnails have no time"),
        (("--until", "1h"), "Rows without thumbnails have no time"),
        (("--resume", "--all"), "give no others"),
        (("--resume", "--company", "acme"), "give no others"),
        (("--kind", "photograph"), "photograph"),
        (("--rate", "0"), "--rate"),
        (("--max-waiting", "0"), "--max-waiting"),
        (("--since", "yesterday", "--all"), "give a time"),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments: tuple[str, ...], says: str) -> None:
    done = backfill(*arguments)
    assert done.exit_code == EXIT_USAGE
    assert says in done.stderr


def test_a_dry_run_counts_by_company_and_kind_and_names_what_is_left_out(sqlite_url: str, tmp_path: Path) -> None:
    rows: dict[int, dict[str, Any]] = {
        1: VIDEO,
        2: VIDEO | READY,
        3: PHOTO,
        4: {"video_path": "globex/uploads/v.mp4", "company_id": 2},
        5: {"video_path": ""},
    }
    a_library(sqlite_url, rows).dispose()
    state = tmp_path / "state.json"
    done = backfill("--dry-run", "--json", "--rate", "0.5", "--state", str(state), url=sqlite_url)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"company_id": 1, "slug": "acme", "kind": "ar_content", "events": 1},
        {"company_id": 1, "slug": "acme", "kind": "video", "events": 1},
        {"company_id": 2, "slug": "globex", "kind": "video", "events": 1},
        {
            "state": "dry_run",
            "events": 3,
            "at_least_s": 6.0,
            "objects_written": 9,
            "left_out": {"no_key": {"rows": 1, "examples": ["video:5"]}},
        },
    ]
    assert done.exit_code == 1, "a row has to be corrected"
    assert not state.exists()

    plain = backfill("--dry-run", "--company", "globex", url=sqlite_url)
    assert [line.split() for line in plain.stdout.splitlines()] == [
        ["company", "slug", "kind", "events"],
        ["2", "globex", "video", "1"],
    ]
    assert plain.exit_code == 0


def test_after_a_change_of_the_settings_a_dry_run_finds_the_rows_made_before(sqlite_url: str) -> None:
    now = settings_fingerprint(ThumbnailSpec(quality=70))
    rows: dict[int, dict[str, Any]] = {
        1: VIDEO | READY,
        2: VIDEO | READY | {"thumbnail_settings": now},
        3: VIDEO | READY | {"thumbnail_settings": settings_fingerprint(ThumbnailSpec())},
        4: VIDEO,
    }
    a_library(sqlite_url, rows).dispose()
    done = backfill("--older-than-settings", "--dry-run", "--json", url=sqlite_url, THUMBNAIL_QUALITY="70")
    counted, summary = map(json.loads, done.stdout.splitlines())
    assert (counted["kind"], counted["events"]) == ("video", 2)
    assert (summary["events"], summary["settings"]) == (2, now)
    plain = backfill("--older-than-settings", "--dry-run", url=sqlite_url, THUMBNAIL_QUALITY="70")
    assert f"other settings than {now}" in plain.stderr
