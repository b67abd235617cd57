"""The limit of one company: whose uploads wait, how many are tried meanwhile, and when it ends."""

import heapq
import itertools
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from streams.failures.company_limiter import (
    LONGEST_WAIT_S,
    MAX_COMPANIES,
    PART_OF_A_SLOT,
    CompanyLimit,
    CompanyLimitedError,
    CompanyLimiter,
)

PER_MINUTE, WINDOW_S, ENOUGH, TIER_S = 60, 300.0, 100, 60.0
CORRUPT = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
TIMEOUT = TransientError(ErrorCode.MEDIA_TIMEOUT, "x")


class Company:
    """Company 2's uploads, one after the other, on a clock of its own."""

    def __init__(self, per_minute: int = PER_MINUTE) -> None:
        self.now_s = 1000.0
        self.tried: list[float] = []
        limit = CompanyLimit(per_minute, 0.5, WINDOW_S, ENOUGH)
        self.limiter = CompanyLimiter(limit, clock=lambda: self.now_s)

    def upload(
        self, error: ThumbnailError | None = None, took_s: float = 0.01, *, is_again: bool = False, company: int = 2
    ) -> float | None:
        """Try one upload: None, or the seconds that it must wait."""
        try:
            with self.limiter.attempt(company, is_again=is_again):
                self.tried.append(self.now_s)
                self.now_s += took_s
                if error is not None:
                    raise error
        except CompanyLimitedError as limited:
            assert limited.retry_after_s is not None
            return limited.retry_after_s
        except ThumbnailError as failed:
            self.limiter.given_up(company, failed.code)
            return None
        self.limiter.succeeded(company)
        return None

    def fail(self, error: ThumbnailError, took_s: float) -> None:
        """Fail for a while, and not for good."""
        with self.limiter.attempt(2, is_again=False):
            self.now_s += took_s
            raise error

    def all(self, count: int, error: ThumbnailError | None = None, took_s: float = 0.01) -> list[float]:
        """Publish so many at once and see all to their ends: the seconds after which each ended."""
        waiting = [(self.now_s, number, False) for number in range(count)]
        began, ended = self.now_s, []
        while waiting:
            due, number, is_again = heapq.heappop(waiting)
            self.now_s = max(self.now_s, due)
            wait_s = self.upload(error, took_s, is_again=is_again)
            if wait_s is None:
                ended.append(self.now_s - began)
            else:
                heapq.heappush(waiting, (self.now_s + max(TIER_S, wait_s), number, True))
        return ended


def test_a_company_is_limited_once_most_of_enough_uploads_fail_and_another_is_not() -> None:
    company = Company()
    with capture_logs() as lines:
        assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}
        assert company.upload(CORRUPT) is not None
    assert company.limiter.limited() == [2]
    assert [(line["event"], line["company_id"]) for line in lines] == [("company_limited", 2)]
    assert {company.upload(company=1) for _ in range(500)} == {None}


def test_a_company_most_of_whose_uploads_succeed_is_not_limited() -> None:
    company = Company()
    for _ in range(500):
        assert company.upload() is None
        assert company.upload() is None
        assert company.upload(CORRUPT) is None


def test_of_a_limited_company_as_many_are_tried_in_each_minute_as_the_setting_says_and_all_come_to_an_end() -> None:
    company = Company()
    ended = company.all(1500, CORRUPT)
    assert len(ended) == 1500
    after_the_first = company.tried[ENOUGH:]
    for begin in range(int(after_the_first[0]), int(after_the_first[-1]), 60):
        assert sum(begin <= at < begin + 60 for at in after_the_first) <= 2 * PER_MINUTE
    minutes = (1500 - ENOUGH) / PER_MINUTE
    assert minutes * 60 * 0.9 <= ended[-1] <= (minutes + 4) * 60 * 1.5


def test_uploads_that_take_long_to_fail_take_a_bounded_part_of_one_slot() -> None:
    company = Company()
    company.all(60, TIMEOUT, took_s=10.0)
    at_first = [at for at in company.tried if at <= 1000 + WINDOW_S * PART_OF_A_SLOT]
    assert len(at_first) <= 8  # a minute of wasted work is enough to know
    later = company.tried[len(at_first) :]
    assert all(after - before >= 10.0 / PART_OF_A_SLOT - 0.01 for before, after in itertools.pairwise(later))


@pytest.mark.parametrize(("took_s", "most"), [(0.001, 2 * PER_MINUTE), (10.0, 3)], ids=["quick", "slow"])
def test_when_all_come_again_at_once_as_after_a_restart_no_more_are_tried_in_a_minute(took_s: float, most: int) -> None:
    company = Company()
    assert {company.upload(CORRUPT, 0.001) for _ in range(ENOUGH)} == {None}
    company.now_s += 100
    begin = company.now_s
    while company.now_s < begin + 60:
        company.upload(CORRUPT, took_s, is_again=True)
        company.now_s += 0.05
    assert 1 <= sum(at >= begin for at in company.tried) <= most


def test_a_fresh_upload_goes_behind_those_that_wait_and_one_that_comes_again_has_its_turn() -> None:
    company = Company()
    assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}
    waits = [company.upload(CORRUPT) or 0.0 for _ in range(30)]
    assert waits == sorted(waits)
    assert waits[-1] - waits[0] == pytest.approx(29 * 60 / PER_MINUTE, abs=1)
    company.now_s += 10
    assert (company.upload(CORRUPT) or 0.0) > 15
    assert company.upload(CORRUPT, is_again=True) is None


def test_no_upload_waits_for_more_than_an_hour_before_it_asks_again() -> None:
    company = Company(per_minute=1)
    assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}
    assert max(company.upload(CORRUPT) or 0.0 for _ in range(200)) == LONGEST_WAIT_S


def test_the_limit_ends_when_what_is_tried_succeeds_again() -> None:
    company = Company()
    assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}
    with capture_logs() as lines:
        company.all(400)
    assert company.limiter.limited() == []
    assert [line["event"] for line in lines] == ["company_limited", "company_limit_ended"]
    assert {company.upload() for _ in range(50)} == {None}


def test_the_limit_ends_when_nothing_failed_for_a_window() -> None:
    company = Company()
    assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}
    assert company.upload(CORRUPT) is not None
    company.now_s += WINDOW_S + 11
    assert company.limiter.limited() == []
    assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}


def test_one_at_a_time_of_a_limited_company_is_tried() -> None:
    company = Company()
    assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}
    company.upload(CORRUPT)
    company.now_s += 60
    with company.limiter.attempt(2, is_again=True):
        assert company.upload(CORRUPT, is_again=True) is not None
    assert company.upload(CORRUPT, is_again=True) is None


def failures() -> Iterator[ThumbnailError]:
    yield ObjectNotFoundError("acme/a.mp4")
    for code in (ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_PAUSED, ErrorCode.DATABASE_UNAVAILABLE):
        yield TransientError(code, "x")


@pytest.mark.parametrize("error", list(failures()), ids=lambda error: str(error.code))
def test_waits_for_a_file_or_a_service_limit_nobody(error: ThumbnailError) -> None:
    company = Company()
    for _ in range(1000):
        with pytest.raises(type(error)):
            company.fail(error, took_s=0.3)
    for code in (ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_PAUSED, ErrorCode.DATABASE_UNAVAILABLE):
        for _ in range(1000):
            company.limiter.given_up(2, code)
    assert company.upload() is None


def test_ids_that_somebody_makes_up_end_no_limit_and_fill_no_memory() -> None:
    company = Company()
    assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}
    assert company.upload(CORRUPT) is not None
    for made_up in range(1000, 1000 + 2 * MAX_COMPANIES):
        company.upload(company=made_up, took_s=0.0)
    assert company.upload(CORRUPT) is not None
    assert len(company.limiter._companies) <= MAX_COMPANIES


def test_limits_that_are_over_keep_nobody_else_from_being_limited() -> None:
    """Those of ids that somebody made up, and does not use any more."""
    company = Company()
    with capture_logs():
        for made_up in range(1000, 1000 + MAX_COMPANIES):
            for _ in range(ENOUGH):
                company.limiter.given_up(made_up, ErrorCode.TENANT_UNKNOWN)
            assert company.upload(company=made_up, took_s=0.0) is not None
    assert len(company.limiter.limited()) == MAX_COMPANIES
    company.now_s += WINDOW_S + 11
    assert {company.upload(CORRUPT) for _ in range(ENOUGH)} == {None}
    assert company.upload(CORRUPT) is not None
    assert len(company.limiter._companies) <= MAX_COMPANIES


def test_zero_limits_nobody() -> None:
    company = Company(per_minute=0)
    assert {company.upload(CORRUPT) for _ in range(1000)} == {None}
    assert company.limiter.limited() == []
