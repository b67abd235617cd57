"""The page through outages, and the two things that it lets a visitor do: sign in, and replay."""

import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from schemas.errors import ErrorCode
from schemas.events import Media, MediaKind, ThumbnailFailed
from tests.doubles.letter_topics import DeadLetterTopics, Done
from tests.doubles.results import failed, ready
from tests.integration.web.server import Results, WebOptions, running_web
from tests.servers.kafka.apache import ApacheKafka

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - of the tests alone
SLOW_MS = 30_000


def a_media(number: int) -> Media:
    return Media(kind=MediaKind.VIDEO, id=number, ar_content_id=number, key=f"acme/uploads/{number}.mp4")


def test_the_page_says_since_when_kafka_is_away_and_goes_on_by_itself(
    page: Page, own_kafka: ApacheKafka, tmp_path: Path
) -> None:
    results = Results(own_kafka.bootstrap_servers, "outage.")
    with running_web(results, tmp_path) as web:
        page.goto(web.url)
        link, headline, advice = page.get_by_role("status").first, page.locator("#headline"), page.locator("#advice")
        expect(headline).to_have_text("The topics are missing", timeout=SLOW_MS)
        expect(advice).to_contain_text("thumbnails topics create")
        results.create_topics()
        results.send(ready(1, a_media(1)))
        expect(page.locator("li.tile")).to_have_count(1, timeout=SLOW_MS)
        expect(link).to_have_text("Live")

        own_kafka.stop_process()
        expect(link).to_have_text("Kafka is away", timeout=SLOW_MS)
        expect(headline).to_have_text(re.compile(r"^Kafka is away since \d\d:\d\d:\d\d$"))
        expect(advice).to_have_text(re.compile(r"^No Kafka broker answers.*What is below is as of then\.$"))
        expect(page.locator("li.tile")).to_have_count(1)  # what is known stays
        own_kafka.start()
        expect(link).to_have_text("Live", timeout=SLOW_MS)
        results.send(ready(2, a_media(2)))
        expect(page.locator("li.tile")).to_have_count(2, timeout=SLOW_MS)


def test_the_page_outlives_its_own_server(page: Page, results: Results, tmp_path: Path) -> None:
    results.send(ready(10, a_media(10), 10))
    with running_web(results, tmp_path) as first:
        page.goto(f"{first.url}?company=10")
        expect(page.locator("li.tile")).to_have_count(1)
        assert first.stop() == 0
        expect(page.get_by_role("status").first).to_have_text("Reconnecting…")
        expect(page.locator("#headline")).to_have_text("The page's server does not answer")
        expect(page.locator("li.tile")).to_have_count(1)  # what is known stays
    results.send(ready(11, a_media(11), 10))
    port = first.url.rpartition(":")[2].strip("/")
    with running_web(results, tmp_path, WebOptions(("--port", port))):
        expect(page.get_by_role("status").first).to_have_text("Live", timeout=SLOW_MS)
        expect(page.locator("li.tile")).to_have_count(2)


def test_a_dead_letter_is_replayed_from_its_card_and_once_only(page: Page, results: Results, tmp_path: Path) -> None:
    dead_letters = DeadLetterTopics(results.kafka, results.prefix, lambda _arguments: Done(0, "", ""))
    for number in (20, 21):
        results.send_failed_upload("thumbnail.dlq", number, "source.missing")
        results.send(missing_source(number))
    results.send(missing_source(22))  # its dead letter is gone
    results.send(failed(23, a_media(23)))  # media.corrupt: a replay fails again
    before = dead_letters.length("thumbnail.due")
    with running_web(results, tmp_path, WebOptions(("--allow-replay",))) as web:
        page.goto(f"{web.url}?state=failed")
        said = {}
        for number in (20, 22):
            shown = page.locator(f"li.tile[data-media='video:{number}']")
            button = shown.get_by_role("button", name="Replay")
            button.click()
            expect(shown.get_by_role("status")).not_to_have_text(re.compile("^(Replaying…)?$"), timeout=SLOW_MS)
            said[number] = (shown.get_by_role("status").inner_text(), button.is_disabled())
        assert said[20] == (f"Replayed to {results.prefix}thumbnail.due: its result comes here when it is made.", True)
        assert "no dead letter of this upload" in said[22][0]
        assert said[22][1] is False
        expect(page.locator("li.tile[data-media='video:23']").get_by_role("button", name="Replay")).to_have_count(0)

        page.reload()
        again = page.locator("li.tile[data-media='video:20']")
        again.get_by_role("button", name="Replay").click()
        expect(again.get_by_role("status")).to_contain_text("It was replayed before", timeout=SLOW_MS)
    replayed = dead_letters.committed("thumbnail.due")
    assert len(replayed) == before + 1
    assert json.loads(replayed[-1].value())["event_id"] == "upload-20"


def missing_source(number: int) -> ThumbnailFailed:
    error = failed(number, a_media(number)).error.model_copy(update={"code": ErrorCode.SOURCE_MISSING})
    return failed(number, a_media(number)).model_copy(update={"error": error})


def test_a_page_with_a_token_is_seen_by_who_signs_in(page: Page, results: Results, tmp_path: Path) -> None:
    options = WebOptions(("--host", "0.0.0.0"), {"WEB_TOKEN": TOKEN})  # noqa: S104 - what the test is about
    with running_web(results, tmp_path, options) as web:
        page.goto(web.url.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        expect(page).to_have_url(re.compile("/login$"))
        page.get_by_label("Token").fill("wrong-wrong-wrong-wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("status").first).to_have_text("Live")
        assert page.evaluate("document.cookie") == ""
        log = web.log.read_text()
    assert TOKEN not in log


def test_many_failures_say_whether_they_are_all_of_one_company(page: Page, results: Results, tmp_path: Path) -> None:
    alone = Results(results.kafka, "whose.")
    alone.create_topics()
    of_three = [failed(number, a_media(number)).model_copy(update={"company_id": 3}) for number in (30, 31)]
    alone.send(ready(32, a_media(32)), *of_three)
    with running_web(alone, tmp_path) as web:
        page.goto(web.url)
        expect(page.locator("#count")).to_have_text("3 shown, 2 failed, all of company 3")
        alone.send(failed(33, a_media(33)))
        expect(page.locator("#count")).to_have_text("4 shown, 3 failed, of 2 companies")
