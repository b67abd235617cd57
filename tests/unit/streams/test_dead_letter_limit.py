"""The flood limit: what trips it, what must not, and what a restart remembers."""

import pytest

from schemas.errors import ErrorCode
from streams.dead_letter_limit import DeadLetterFloodError, DeadLetterGuard, DeadLetterLimit

OURS, THEIRS = ErrorCode.INTERNAL_ERROR, ErrorCode.MEDIA_CORRUPT


class Guard:
    """A guard with a clock of its own; `fails` says whether it is stopped."""

    def __init__(self, max_ratio: float = 0.0, max_consecutive: int = 0, min_events: int = 10) -> None:
        self.now_s = 1000.0
        limit = DeadLetterLimit(max_ratio, max_consecutive, window_s=60, min_events=min_events)
        self.guard = DeadLetterGuard(limit, clock=lambda: self.now_s)

    def letters(self, count: int, code: ErrorCode = OURS, partition: int = 0) -> bool:
        """Whether `count` more may become dead letters."""
        try:
            for _ in range(count):
                self.guard.check(partition, code)
        except DeadLetterFloodError:
            return False
        return True

    def successes(self, count: int, partition: int = 0) -> None:
        for _ in range(count):
            self.guard.succeeded(partition)


@pytest.mark.parametrize("code", [OURS, THEIRS])
def test_a_row_of_failures_of_any_kind_stops_the_worker(code: ErrorCode) -> None:
    guard = Guard(max_consecutive=20)
    assert guard.letters(20, code)
    assert not guard.letters(1, code)
    assert not guard.letters(1, code)  # those in flight beside it, too


def test_a_success_ends_the_row() -> None:
    guard = Guard(max_consecutive=20)
    for _ in range(10):
        assert guard.letters(20)
        guard.successes(1)


def test_the_row_of_one_partition_is_not_ended_by_the_others() -> None:
    guard = Guard(max_consecutive=20)
    for _ in range(20):
        assert guard.letters(1, partition=3)
        guard.successes(1, partition=4)
    assert not guard.letters(1, partition=3)


def test_partitions_make_one_row_together() -> None:
    guard = Guard(max_consecutive=20)
    assert all(guard.letters(5, partition=number) for number in range(4))
    assert not guard.letters(1, partition=9)


def test_more_than_the_ratio_stops_the_worker() -> None:
    guard = Guard(max_ratio=0.5)
    guard.successes(20)
    assert guard.letters(20)
    assert not guard.letters(1)


def test_few_records_are_no_ratio() -> None:
    guard = Guard(max_ratio=0.5, min_events=100)
    assert guard.letters(99)
    assert not guard.letters(1)


def test_broken_files_of_users_never_trip_the_ratio() -> None:
    guard = Guard(max_ratio=0.1)
    assert guard.letters(1000, THEIRS)
    guard.successes(1)
    assert guard.letters(100, ErrorCode.SOURCE_MISSING)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    guard = Guard(max_ratio=0.5)
    guard.successes(20)
    assert guard.letters(20)
    guard.now_s += 61
    assert guard.letters(9)
    assert not guard.letters(1)


def test_zero_switches_a_limit_off() -> None:
    assert Guard().letters(10_000)


def test_after_a_restart_amid_a_flood_a_few_letters_are_enough() -> None:
    guard = Guard(max_consecutive=500)
    guard.guard.prime(500)
    assert guard.letters(10)
    assert not guard.letters(1)


def test_after_a_restart_one_success_ends_what_was_before_it() -> None:
    guard = Guard(max_consecutive=500)
    guard.guard.prime(100_000)
    guard.successes(1)
    assert guard.letters(500)


def test_the_reason_tells_the_codes_and_the_way_out() -> None:
    guard = Guard(max_consecutive=2)
    guard.letters(2, THEIRS)
    with pytest.raises(DeadLetterFloodError) as raised:
        guard.guard.check(0, OURS)
    text = str(raised.value)
    assert "media.corrupt 2" in text
    assert "internal.error 1" in text
    assert "thumbnails dlq stats" in text
    assert "DLQ_MAX_CONSECUTIVE" in text
