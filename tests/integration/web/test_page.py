"""The page in a real browser: it loads, updates by itself, filters, explains failures, and obeys the keyboard."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Dialog, Locator, Page, expect

from processors.output.thumbhash import thumbhash
from schemas.errors import NEXT_ACTIONS, ErrorCode
from schemas.events import FrameInfo, Media, MediaKind, TimingsMs
from tests.doubles.results import failed, ready
from tests.integration.web.gallery import a_result, picture
from tests.integration.web.server import Results, WebServer

HOSTILE = (
    "<img src=x onerror=window.pwned=1>",
    "<script>window.pwned=1</script>",
    '"><svg onload=window.pwned=1>',
    "javascript:window.pwned=1",
    "{{constructor.constructor('window.pwned=1')()}}",
    "\u202egpj.exe",
)


def a_media(number: int, key: str = "acme/uploads/clip.mp4") -> Media:
    return Media(kind=MediaKind.VIDEO, id=number, ar_content_id=number, key=key)


def card(page: Page, media: str) -> Locator:
    return page.locator(f"li.tile[data-media='{media}']")


def test_an_upload_has_its_placeholder_its_picture_and_its_numbers(
    page: Page, web: WebServer, results: Results, pictures: tuple[str, Path]
) -> None:
    results.send(
        a_result(4, *pictures, "meadow.mp4").model_copy(
            update={
                "frame": FrameInfo(time_s=83.4, method="pyav-smart", score=0.644, candidates=7),
                "timings_ms": TimingsMs(read=7.9, decode=27, render=20.4, upload=27.6, total=112.1),
            }
        )
    )
    page.goto(web.url)
    shown = card(page, "video:104")
    expect(shown.get_by_role("heading")).to_have_text("meadow.mp4")
    expect(shown.locator(".picture.loaded img")).to_have_js_property("naturalWidth", picture(4).width)
    facts = {"Frame": "1:23 min", "Score": "0.64", "Candidates": "7", "Method": "pyav-smart"}
    for name, value in facts.items():
        expect(shown.locator("dl > div").filter(has_text=name).locator("dd")).to_have_text(value)
    expect(shown.locator(".timings")).to_have_text(re.compile("112 ms.*read 8.*decode 27.*render 20.*upload 28"))
    expect(shown.get_by_role("button")).to_have_count(0)  # read-only


@pytest.mark.parametrize("size", [(96, 54), (54, 96), (80, 80)], ids=str)
@pytest.mark.parametrize("opacity", [255, 120])
def test_the_placeholder_has_the_shape_and_the_colours_of_the_picture(
    page: Page, web: WebServer, size: tuple[int, int], opacity: int
) -> None:
    red, green = Image.linear_gradient("L").rotate(90), Image.linear_gradient("L")
    channels = [red, green, Image.new("L", red.size, 60), Image.new("L", red.size, opacity)]
    image = Image.merge("RGBA", channels).resize(size)
    page.goto(web.url)
    width, height, rgba = page.evaluate(
        """async (hash) => {
            const { decode } = await import("/static/thumbhash.js");
            const { width, height, rgba } = decode(hash);
            return [width, height, Array.from(rgba)];
        }""",
        thumbhash(image),
    )
    assert abs(width / height - size[0] / size[1]) < 0.3
    wanted = np.asarray(image.resize((width, height)), dtype=float)
    # A ThumbHash has what is translucent laid over the picture's average.
    colours, share = wanted[:, :, :3], opacity / 255
    colours[:] = colours * share + colours.mean(axis=(0, 1)) * (1 - share)
    assert np.abs(np.array(rgba, dtype=float).reshape(wanted.shape) - wanted).mean() < 10


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "é"])
def test_what_is_no_placeholder_is_none(page: Page, web: WebServer, text: str) -> None:
    page.goto(web.url)
    assert page.evaluate("async (hash) => (await import('/static/thumbhash.js')).decode(hash)", text) is None


def test_results_appear_by_themselves_and_a_failure_that_comes_right_turns_ready(
    page: Page, web: WebServer, results: Results
) -> None:
    page.goto(web.url)
    expect(page.locator("#link")).to_have_text("Live")
    results.send(failed(50, a_media(50), "The video is cut short."))
    shown = card(page, "video:50")
    expect(shown.locator("strong")).to_have_text("media.corrupt")
    expect(shown).to_contain_text("The video is cut short.")
    expect(shown.locator(".next")).to_have_text(f"What to do: {NEXT_ACTIONS[ErrorCode.MEDIA_CORRUPT]}")
    assert page.locator("li.tile").first.get_attribute("data-state") == "failed"

    results.send(ready(50, a_media(50), attempt=2))
    expect(shown).to_have_attribute("data-state", "ready")
    expect(shown).to_have_count(1)


def test_filters_are_in_the_address_and_survive_a_reload(page: Page, web: WebServer, results: Results) -> None:
    results.send(ready(60, a_media(60), 60), ready(61, a_media(61), 61), ready(62, a_media(62), 61, degraded=True))
    page.goto(web.url)
    tiles = page.locator("li.tile")
    page.get_by_role("combobox", name="Company").select_option("61")
    expect(tiles).to_have_count(2)
    page.get_by_role("combobox", name="State").select_option("degraded")
    expect(tiles).to_have_count(1)
    expect(page).to_have_url(f"{web.url}?company=61&state=degraded")
    expect(page.get_by_role("status").filter(has_text="shown")).to_contain_text("1 of ")

    page.reload()
    expect(tiles).to_have_count(1)
    expect(card(page, "video:62")).to_be_visible()
    page.go_back()
    expect(tiles).to_have_count(2)
    results.send(ready(63, a_media(63), 61), ready(64, a_media(64), 60))
    expect(tiles).to_have_count(3)

    page.get_by_role("combobox", name="Code").select_option("storage.full")
    expect(page.get_by_text("No upload matches the filters.")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page).to_have_url(web.url)
    expect(card(page, "video:64")).to_be_visible()


def test_hostile_names_and_messages_are_shown_as_text_and_run_nothing(
    page: Page, web: WebServer, results: Results
) -> None:
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    for number, text in enumerate(HOSTILE, 70):
        results.send(failed(number, a_media(number, f"acme/{text.replace('/', '')}"), text))
        frame = FrameInfo(method=text, score=None, time_s=None)
        results.send(ready(number + 10, a_media(number + 10, text), thumbnail_url=text, placeholder=text, frame=frame))
    page.goto(f"{web.url}?company={HOSTILE[0]}&state={HOSTILE[2]}&code={HOSTILE[1]}")
    page.get_by_role("button", name="Clear").click()
    for number, text in enumerate(HOSTILE, 80):
        expect(card(page, f"video:{number}").locator("dd").filter(has_text=text)).to_have_count(1)
    page.get_by_role("combobox", name="State").select_option("failed")
    for number, text in enumerate(HOSTILE, 70):
        expect(card(page, f"video:{number}").locator(".message")).to_have_text(text)
    assert page.evaluate("window.pwned") is None
    assert dialogs == []
    assert page.locator("#tiles :is(script, svg, a), #tiles img[src^=x]").count() == 0


def test_a_picture_that_cannot_be_loaded_leaves_the_placeholder_and_says_why(
    page: Page, web: WebServer, results: Results, pictures: tuple[str, Path]
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    gone = a_result(8, *pictures, "gone.mp4").model_copy(update={"thumbnail_url": f"{pictures[0]}/gone.webp"})
    private = a_result(9, *pictures, "private.mp4").model_copy(
        update={"thumbnail_url": "https://s3.private.example/a.webp"}
    )
    results.send(gone, private)
    page.goto(web.url)
    expect(card(page, "video:108").locator(".note")).to_contain_text("its storage is out of reach")
    expect(card(page, "video:109").locator(".note")).to_contain_text(
        "https://s3.private.example is not among WEB_IMAGE_ORIGINS"
    )
    for number in (108, 109):
        shown = card(page, f"video:{number}")
        expect(shown.locator("img")).to_have_count(0)
        assert shown.locator("canvas").evaluate("canvas => canvas.width") > 1
    assert not [url for url in asked if "private.example" in url]


def test_everything_can_be_done_by_keyboard(page: Page, web: WebServer, results: Results) -> None:
    results.send(ready(90, a_media(90), 90))
    page.goto(web.url)
    expect(card(page, "video:90")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the uploads")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#tiles")).to_be_focused()

    page.reload()
    expect(card(page, "video:90")).to_be_visible()
    page.wait_for_function("document.hasFocus()")
    focused = "document.activeElement.name || document.activeElement.textContent.split(':')[0]"
    for name in ("Skip to the uploads", "Topics and roles"):
        page.keyboard.press("Tab")
        page.wait_for_function(f"name => ({focused}).startsWith(name)", arg=name)  # it is moved a moment later
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text="thumbnail.ready").first).to_be_visible(timeout=15_000)
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="The topics' state")).to_be_focused()
    page.keyboard.press("Tab")
    for name in ("company", "state", "code", "Pause", "Details"):
        page.keyboard.press("Tab")
        page.wait_for_function(f"name => ({focused}) === name", arg=name)
    page.keyboard.press("Enter")
    expect(card(page, "video:90").locator("dl")).to_be_visible()

    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    results.send(ready(91, a_media(91), 90))
    expect(page.get_by_role("button", name="Resume (1 new)")).to_be_focused()
    expect(card(page, "video:91")).to_have_count(0)
    page.keyboard.press("Space")
    expect(card(page, "video:91")).to_be_visible()


def test_a_record_that_is_no_result_is_counted_and_nothing_breaks(page: Page, web: WebServer, results: Results) -> None:
    results.send_raw("thumbnail.ready", b"video:1", b"not a result")
    page.goto(web.url)
    expect(page.locator("#unreadable")).to_contain_text("1 records were no results")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(page: Page, web: WebServer, results: Results, width: int) -> None:
    long = "x" * 300
    results.send(failed(95, a_media(95, f"acme/{long}"), long), ready(96, a_media(96, f"acme/{long}")))
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(web.url)
    expect(card(page, "video:96")).to_be_visible()
    page.locator("#topics summary").click()
    page.locator("li.tile summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
