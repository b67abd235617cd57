"""What the person on call sees on the page: how it is going, what fails, whose it is, and that it is well once they acted."""

import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page, expect

from schemas.events import Media, MediaKind
from tests.doubles.results import failed, ready
from tests.integration.web.server import Results, WebOptions, running_web

LOOK_MS = 45_000
"""A look at the dead letters is 15 s old at most."""


def a_media(number: int) -> Media:
    return Media(kind=MediaKind.VIDEO, id=number, ar_content_id=number, key=f"acme/uploads/{number}.mp4")


def test_failures_are_one_entry_whose_command_makes_all_well_again(
    page: Page, kafka: str, topic_prefix: str, database: str, tmp_path: Path
) -> None:
    results = Results(kafka, topic_prefix)  # a real one: what is discarded is marked in one transaction
    results.create_topics()
    results.send(ready(1, a_media(1)))
    for number in (2, 3, 4):
        results.send(failed(number, a_media(number)).model_copy(update={"company_id": 3}))
        results.send_failed_upload("thumbnail.dlq", number, "media.corrupt", 3)
    due = (datetime.now(UTC) + timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    results.send_failed_upload("thumbnail.retry.1", 5, "source.missing", 2, retry_due_at=due)
    environment = {"DATABASE_URL": database}
    with running_web(results, tmp_path, WebOptions(environment=environment)) as web:
        page.goto(web.url)
        expect(page.locator("#headline")).to_have_text("3 dead letters: media.corrupt, all of Initech", timeout=LOOK_MS)
        expect(page.locator("#overview")).to_have_attribute("data-mood", "trouble")
        waiting = page.locator("#failures li[data-code='source.missing']")
        expect(waiting).to_contain_text("1 waits for a retry, the next in")
        expect(waiting).to_contain_text("all of Globex")
        expect(waiting.locator(".next")).to_have_text(
            "What to do: Check that the uploads finish, and that their keys are right."
            " What waits for a retry then goes on by itself."
        )
        assert waiting.get_attribute("data-urgent") is None
        urgent = page.locator("#failures li[data-code='media.corrupt']")
        expect(urgent).to_contain_text(re.compile(r"Such as video:([234]) of Initech: Upload \1 failed\."))
        expect(urgent.locator(".next")).to_contain_text("ask the uploader")

        said = page.evaluate(
            """async () => (await import("/static/names.js")).withNames(
                "Most uploads of company 3 fail: `thumbnails dlq list --company 3` says why.")"""
        )
        assert said == "Most uploads of company 3 (Initech) fail: `thumbnails dlq list --company 3` says why."

        tiles = page.locator("li.tile")
        expect(tiles).to_have_count(2)  # the failures are one card
        expect(tiles.filter(has_text="Initech")).to_have_count(1)
        tiles.get_by_role("button", name="Show all 3 uploads that failed with media.corrupt").click()
        expect(tiles).to_have_count(3)
        expect(page).to_have_url(f"{web.url}?code=media.corrupt")
        page.get_by_role("button", name="Clear").click()
        urgent.get_by_role("button", name="Show 3 uploads").click()
        expect(tiles).to_have_count(3)

        results.finish_persisting()
        command = shlex.split(urgent.locator(".command code").inner_text())
        thumbnails(results, environment, *command[1:], "--yes", "--note", "no new file came")
        expect(page.locator("#headline")).to_have_text("All is well", timeout=LOOK_MS)
        expect(urgent).to_have_count(0)
        expect(page.locator("#figures")).to_contain_text("dead letters0")
        expect(page.locator("#figures")).to_contain_text("roles–not asked")


def test_what_the_roles_say_needs_attention_first(page: Page, tansu: str, roles: str, tmp_path: Path) -> None:
    results = Results(tansu, "roles.")
    results.create_topics()
    with running_web(results, tmp_path, WebOptions(("--metrics", roles))) as web:
        page.goto(web.url)
        expect(page.locator("#headline")).to_have_text("1 thing needs attention", timeout=LOOK_MS)
        expect(page.locator("#attention li")).to_contain_text("has lost database. Start PostgreSQL.")
        expect(page.locator("#figures")).to_contain_text("roles1 of 2ready")
        expect(page.locator("#empty")).to_contain_text("No upload yet.")
        page.locator("#topics summary").click()
        expect(page.get_by_role("row").filter(has_text="persist").filter(has_text="lost database")).to_be_visible()


def thumbnails(results: Results, environment: dict[str, str], *arguments: str) -> None:
    """The command line, as the person on call has it."""
    subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env=os.environ | {"KAFKA_BOOTSTRAP_SERVERS": results.kafka, "KAFKA_TOPIC_PREFIX": results.prefix} | environment,
        check=True,
        capture_output=True,
    )
