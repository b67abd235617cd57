"""SVG: drawn at the size that is shown, without reaching for anything outside of the file."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from processors.sandbox.pool import DecodeSlots
from processors.still.svg import WITHOUT_TEXT
from processors.thumbnails import create_thumbnails
from processors.types import ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError
from tests.doubles.sources import BytesSource, colour_at, is_near, pixels_of
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import code_of, encoded, make

RED, BLUE = (220, 30, 30), (20, 20, 200)
INSIDE = '<rect width="20" height="20" fill="#dc1e1e"/><rect x="20" width="20" height="20" fill="#1414c8"/>'


def svg(attributes: str = 'width="40" height="20"', inside: str = INSIDE, before: str = "") -> bytes:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"{before}<svg {names} {attributes}>{inside}</svg>".encode()


def assert_halves(made: Any) -> None:
    pixels = pixels_of(made.renditions[2])
    assert is_near(colour_at(pixels, 0.2, 0.5), RED, 12)
    assert is_near(colour_at(pixels, 0.8, 0.5), BLUE, 12)


SHAPES: dict[str, tuple[bytes, tuple[int, int]]] = {
    "pixels": (svg(), (40, 20)),
    "a view box alone": (svg('viewBox="0 0 40 20"'), (40, 20)),
    "a width and a view box": (svg('width="100" viewBox="0 0 40 20"'), (100, 50)),
    "per cent": (svg('width="100%" height="100%" viewBox="0 0 40 20"'), (40, 20)),
    "millimetres": (svg('width="40mm" height="20mm" viewBox="0 0 40 20"'), (151, 76)),
    "points": (svg('width="30pt" height="15pt"'), (40, 20)),
    "a declaration, a comment and a document type": (
        svg(before='<?xml version="1.0"?>\n<!-- drawn -->\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "a.dtd">\n'),
        (40, 20),
    ),
    "a long comment": (svg(before=f"<!-- {'words ' * 2000} -->"), (40, 20)),
    "a byte order mark": (b"\xef\xbb\xbf" + svg(), (40, 20)),
    "sixteen bits a letter": (svg().decode().encode("utf-16"), (40, 20)),
    "latin letters": (
        svg(before='<?xml version="1.0" encoding="ISO-8859-1"?><!-- x -->').replace(b" x ", b" \xe9 "),
        (40, 20),
    ),
    "packed": (gzip.compress(svg()), (40, 20)),
    "a prefix": (
        svg().replace(b"<svg xmlns=", b"<s:svg xmlns:s=").replace(b"</svg", b"</s:svg").replace(b"<rect", b"<s:rect"),
        (40, 20),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_drawn_as_large_as_it_is_shown(name: str) -> None:
    content, size = SHAPES[name]
    made = make(content)
    assert (made.source.kind, made.source.codec, made.degraded) == ("image", "svg", False)
    assert (made.source.width, made.source.height) == size
    assert made.renditions[2].width == pytest.approx(640, abs=4)
    assert made.renditions[2].height == 320
    assert_halves(made)


@pytest.mark.parametrize(("attribute", "size"), [('width="40"', (40, 150)), ('height="20"', (300, 20))])
def test_without_a_view_box_one_side_says_nothing_of_the_other(attribute: str, size: tuple[int, int]) -> None:
    made = make(svg(attribute))
    assert (made.source.width, made.source.height) == size
    shown = pixels_of(made.renditions[2], "RGBA")
    assert shown.shape[1] / shown.shape[0] == pytest.approx(size[0] / size[1], rel=0.02)


def test_what_is_not_drawn_is_transparent() -> None:
    made = make(svg('width="40" height="40"'))
    alpha = pixels_of(made.renditions[2], "RGBA")[..., 3]
    assert (alpha[:200].min(), alpha[-200:].max()) == (255, 0)


def test_a_drawing_with_text_is_called_degraded_for_there_are_no_fonts() -> None:
    made = make(svg(inside=f"{INSIDE}<text x='1' y='9'>Hello</text>"))
    assert (made.degraded, made.frame.method) == (True, WITHOUT_TEXT)
    assert_halves(made)


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("way", ["{path}", "file://{path}", "&outside;"])
def test_pictures_outside_of_the_file_are_never_opened(tmp_path: Path, way: str, quote: str) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(Image.new("RGB", (40, 20), (0, 255, 0))))
    picture = f"<image width='40' height='20' xlink:href={quote}{way.format(path=secret)}{quote}/>"
    before = f'<!DOCTYPE svg [<!ENTITY outside "{secret}">]>'
    made = make(svg(inside=INSIDE + picture, before=before))
    assert_halves(made)


def test_a_picture_inside_of_the_file_is_drawn() -> None:
    import base64

    data = base64.b64encode(encoded(Image.new("RGB", (40, 20), (0, 200, 0)))).decode()
    made = make(svg(inside=f"{INSIDE}<image width='40' height='20' xlink:href='data:image/png;base64,{data}'/>"))
    assert is_near(colour_at(pixels_of(made.renditions[2]), 0.5, 0.5), (0, 200, 0), 12)


@pytest.mark.parametrize("languages", ["en", "en-US", "ru, en"])
def test_of_parts_in_several_languages_the_english_one_is_drawn(languages: str) -> None:
    """As in Chromium; without any language the last part, which is for all others, stood in its place."""
    other = '<rect width="40" height="20" fill="#0f0"/>'
    inside = f'<switch><g systemLanguage="ja">{other}</g><g systemLanguage="{languages}">{INSIDE}</g>{other}</switch>'
    assert_halves(make(svg(inside=inside)))


def test_scripts_do_nothing() -> None:
    assert_halves(make(svg(inside=f"{INSIDE}<script>document.documentElement.innerHTML = ''</script>")))


BOMBS = {
    "entities": svg(
        inside="<desc>&e9;</desc>" + INSIDE,
        before="<!DOCTYPE svg [<!ENTITY e0 'aaaaaaaaaa'>"
        + "".join(f"<!ENTITY e{n + 1} '{f'&e{n};' * 10}'>" for n in range(9))
        + "]>",
    ),
    "uses of uses": svg(
        inside="<defs><g id='a0'><rect width='1' height='1'/></g>"
        + "".join(f"<g id='a{n + 1}'>{f'''<use xlink:href='#a{n}'/>''' * 10}</g>" for n in range(9))
        + "</defs><use xlink:href='#a9'/>"
    ),
    **{
        f"{depth} deep": svg(inside="<g opacity='.9'>" * depth + INSIDE + "</g>" * depth)
        for depth in (110, 300, 700, 20_000)
    },
    **{
        f"{depth} uses deep": svg(
            inside="<defs><g id='a0'><rect width='1' height='1'/></g>"
            + "".join(f"<g id='a{n + 1}'><use xlink:href='#a{n}'/></g>" for n in range(depth))
            + f"</defs><use xlink:href='#a{depth}'/>"
        )
        for depth in (50, 300, 5000)
    },
    **{
        f"{depth} patterns deep": svg(
            inside="".join(
                f"<pattern id='p{n + 1}' width='5' height='5'><rect width='9' height='9' style='fill: url(#p{n})'/></pattern>"
                for n in range(depth)
            )
            + f"<rect width='9' height='9' fill='url(#p{depth})'/>"
        )
        for depth in (55, 600, 20_000)
    },
    "itself": svg(inside="<g id='a'><use xlink:href='#a'/></g>" + INSIDE),
    "huge": svg('width="1e30" height="1e30"'),
    "thin": svg('width="900000" height="0.001"'),
    "packed zeros": gzip.compress(svg(inside=" " * 30_000_000)),
    "a wide stroke": svg(inside="<path d='M0 0L1e30 1e30' stroke-width='1e30' stroke-dasharray='1e-30' stroke='red'/>"),
    "a large filter": svg(
        inside="<filter id='f' width='1e9' height='1e9'><feGaussianBlur stdDeviation='1e9'/></filter>"
        "<rect width='20' height='20' filter='url(#f)'/>"
    ),
}


def test_bombs_end_as_ready_or_as_a_code() -> None:
    async def body(slots: DecodeSlots) -> None:
        for name, content in BOMBS.items():
            try:
                await make_caged(slots, BytesSource(content))
            except PermanentError as error:
                assert error.code in (
                    ErrorCode.MEDIA_CORRUPT,
                    ErrorCode.MEDIA_UNSUPPORTED,
                    ErrorCode.MEDIA_TOO_MANY_PIXELS,
                ), name

    with_slots(body)


CIRCLES = {
    "a group in itself": "<g id='a'><use xlink:href='#a'/>{}</g>",
    "two groups": "<g id='a'><use xlink:href='#b'/>{}</g><defs><g id='b'><use xlink:href='#a'/></g></defs>",
    "a pattern in itself": (
        "<pattern id='p' width='5' height='5' patternUnits='userSpaceOnUse'><rect width='5' height='5' fill='url(#p)'/></pattern>"
        "<rect width='20' height='20' fill='url(#p)'/>{}"
    ),
    "a pattern in a style": (
        "<pattern id='p' width='5' height='5'><rect width='5' height='5' style='fill: url( \"#p\" ); stroke: none'/></pattern>"
        "<rect width='20' height='20' style='fill:url(#p)'/>{}"
    ),
    "a gradient of itself": "<linearGradient id='l' xlink:href='#l'/><rect width='1' height='1' fill='url(#l)'/>{}",
}


@pytest.mark.parametrize("name", CIRCLES)
def test_what_would_be_drawn_inside_itself_is_left_out_and_the_rest_is_shown(name: str) -> None:
    """As Chromium does, whose rule is SVG 2's: a reference in a circle is invalid, and paints nothing."""
    assert_halves(make(svg(inside=CIRCLES[name].format(INSIDE))))


@pytest.mark.parametrize(
    "content", [b"<html><body>svg</body></html>", b"<?xml version='1.0'?><rss>svg</rss>", b"<svgs/>"]
)
def test_other_text_is_not_read(content: bytes) -> None:
    assert code_of(content) is ErrorCode.MEDIA_UNSUPPORTED


def test_it_works_in_the_cage_and_whatever_the_upload_says() -> None:
    made = with_slots(lambda slots: make_caged(slots, BytesSource(svg())))
    assert_halves(made)
    assert_halves(create_thumbnails(BytesSource(svg()), ThumbnailSpec(), kind="video"))
