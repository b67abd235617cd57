"""Headers are one bounded line of text, whatever goes into them."""

import timeit

import pytest

from schemas import headers as h
from tests.doubles.pipeline import NOW


@pytest.mark.parametrize("value", ["a\nb\0c", "\ud800", "é" * 2000, "\u202eevil", 7, "x" * 5000])
def test_header_text_is_one_bounded_line_of_utf8(value: object) -> None:
    text = h.header_text(value)
    assert len(text) <= h.MAX_HEADER_BYTES
    assert text.decode().isprintable()


def test_plain_text_takes_a_small_part_of_the_time_that_other_text_takes() -> None:
    plain, other = "media.unsupported: not a video" * 10, "media.unsupported: не видео…" * 10

    def shortest_s(text: str) -> float:
        return min(timeit.repeat(lambda: h.header_text(text), number=200, repeat=5))

    assert shortest_s(plain) < shortest_s(other) / 5


def test_with_headers_replaces_every_earlier_one() -> None:
    headers = (("a", b"1"), ("b", b"2"), ("a", b"3"))
    assert h.with_headers(headers, {"a": "new"}) == (("b", b"2"), ("a", b"new"))


def test_times_are_read_as_they_are_written() -> None:
    assert h.parse_time(h.format_time(NOW)) == NOW


OVERFLOWS = ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "58882-01-01T00:00:00Z", "-0001-01-01T00:00:00Z"]


@pytest.mark.parametrize("text", [None, "", "soon", "2026-11-23T10:00:00", *OVERFLOWS])
def test_unreadable_times_are_none(text: str | None) -> None:
    assert h.parse_time(text) is None
