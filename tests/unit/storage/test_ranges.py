"""RangedAnswer: one range of an object, from servers that give it, ignore it, or give another one."""

import io

import pytest

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from storage.ranges import MAX_SKIPPED_BYTES, RangedAnswer, replaced

CONTENT = bytes(range(256)) * 16
SIZE = len(CONTENT)


def an_answer(body: bytes, content_range: str | None, content_length: int | None = None) -> RangedAnswer:
    return RangedAnswer("The store", content_range, content_length, io.BytesIO(body).read)


def test_the_range_that_was_asked_for_is_read() -> None:
    answer = an_answer(CONTENT[100:110], f"bytes 100-109/{SIZE}", 10)
    assert answer.total == SIZE
    assert answer.read_range(100, 10, SIZE) == CONTENT[100:110]


@pytest.mark.parametrize("offset", [0, 1, 4000])
def test_the_whole_object_is_read_up_to_the_range(offset: int) -> None:
    answer = an_answer(CONTENT, None, SIZE)
    assert answer.total == SIZE
    assert answer.read_range(offset, 10, SIZE) == CONTENT[offset : offset + 10]


def test_an_offset_of_several_steps_is_reached_exactly() -> None:
    content = b"-" * ((5 << 19) + 7) + b"here"
    assert an_answer(content, None).read_range((5 << 19) + 7, 4, len(content)) == b"here"


@pytest.mark.parametrize("content_range", ["bytes 0-9/4096", "bytes 100-109/4097", "bytes 100-109/*", ""])
def test_another_range_than_was_asked_for_is_refused(content_range: str) -> None:
    with pytest.raises(TransientError, match=r"The store answered with another range") as caught:
        an_answer(CONTENT[100:110], content_range).read_range(100, 10, SIZE)
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE


@pytest.mark.parametrize(("content_range", "offset"), [("bytes 100-109/4096", 100), (None, 0), (None, 50)])
def test_a_body_that_ends_early_is_not_taken_for_the_range(content_range: str | None, offset: int) -> None:
    with pytest.raises(TransientError, match=r"of \d+ bytes") as caught:
        an_answer(CONTENT[:9], content_range).read_range(offset, 10, SIZE)
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE


def test_a_far_offset_is_not_read_up_to() -> None:
    with pytest.raises(PermanentError, match="ignores ranges") as caught:
        an_answer(b"", None).read_range(MAX_SKIPPED_BYTES + 1, 1, MAX_SKIPPED_BYTES + 2)
    assert caught.value.code is ErrorCode.SOURCE_UNREADABLE


@pytest.mark.parametrize("content_range", ["bytes 0-9/*", "", "bytes 0-9"])
def test_a_range_without_a_total_gives_none(content_range: str) -> None:
    assert an_answer(b"", content_range, 10).total is None


def test_a_replaced_object_is_tried_again() -> None:
    error: ThumbnailError = replaced("acme/a")
    assert isinstance(error, TransientError)
    assert error.code is ErrorCode.SOURCE_UNREADABLE
