"""The flood limit: what trips it, what must not, whose failures count, and what a restart remembers."""

import itertools

import pytest
from structlog.testing import capture_logs

from schemas.errors import ErrorCode
from streams.failures.failure_counts import MAX_OWNERS, FailureCounts
from streams.failures.guard import SEEN_FOR_S, DeadLetterFloodError, DeadLetterGuard, DeadLetterLimit

OURS, THEIRS = ErrorCode.INTERNAL_ERROR, ErrorCode.MEDIA_CORRUPT


class Guard:
    """A guard with a clock of its own; `dead_letters` says whether it lets them all through."""

    def __init__(self, max_ratio: float = 0.0, max_consecutive: int = 0, min_events: int = 10) -> None:
        self.now_s = 1000.0
        limit = DeadLetterLimit(max_ratio, max_consecutive, window_s=60, min_events=min_events)
        self.guard = DeadLetterGuard(limit, clock=lambda: self.now_s)

    def dead_letters(self, count: int, code: ErrorCode = OURS, partition: int = 0, company: int | None = 1) -> bool:
        """Whether `count` more may become dead letters."""
        try:
            for _ in range(count):
                self.guard.check(partition, code, company)
        except DeadLetterFloodError:
            return False
        return True

    def successes(self, count: int, partition: int = 0, company: int = 1) -> None:
        for _ in range(count):
            self.guard.succeeded(partition, company)


def the_default_one() -> Guard:
    return Guard(max_ratio=0.5, max_consecutive=500, min_events=100)


@pytest.mark.parametrize("code", [OURS, THEIRS])
def test_a_row_of_failures_of_any_kind_stops_the_worker(code: ErrorCode) -> None:
    guard = Guard(max_consecutive=20)
    assert guard.dead_letters(20, code)
    assert not guard.dead_letters(1, code)
    assert not guard.dead_letters(1, code)  # those in flight beside it, too


def test_a_success_ends_the_row() -> None:
    guard = Guard(max_consecutive=20)
    for _ in range(10):
        assert guard.dead_letters(20)
        guard.successes(1)


def test_the_row_of_one_partition_is_not_ended_by_the_others() -> None:
    guard = Guard(max_consecutive=20)
    for _ in range(20):
        assert guard.dead_letters(1, partition=3)
        guard.successes(1, partition=4)
    assert not guard.dead_letters(1, partition=3)


def test_partitions_make_one_row_together() -> None:
    guard = Guard(max_consecutive=20)
    assert all(guard.dead_letters(5, partition=number) for number in range(4))
    assert not guard.dead_letters(1, partition=9)


def test_more_than_the_ratio_stops_the_worker() -> None:
    guard = Guard(max_ratio=0.5)
    guard.successes(20)
    assert guard.dead_letters(20)
    assert not guard.dead_letters(1)


def test_few_records_are_no_ratio() -> None:
    guard = Guard(max_ratio=0.5, min_events=100)
    assert guard.dead_letters(99)
    assert not guard.dead_letters(1)


def test_broken_files_of_users_never_trip_the_ratio() -> None:
    guard = Guard(max_ratio=0.1)
    assert guard.dead_letters(1000, THEIRS)
    guard.successes(1)
    assert guard.dead_letters(100, ErrorCode.SOURCE_MISSING)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    guard = Guard(max_ratio=0.5)
    guard.successes(20)
    assert guard.dead_letters(20)
    guard.now_s += 61
    assert guard.dead_letters(9)
    assert not guard.dead_letters(1)


def test_zero_switches_a_limit_off() -> None:
    assert Guard().dead_letters(10_000)


def test_after_a_restart_amid_a_flood_a_few_letters_are_enough() -> None:
    guard = Guard(max_consecutive=500)
    guard.guard.prime({1: 500})
    assert guard.dead_letters(10)
    assert not guard.dead_letters(1)


def test_after_a_restart_one_success_ends_what_was_before_it() -> None:
    guard = Guard(max_consecutive=500)
    guard.guard.prime({1: 100_000})
    guard.successes(1)
    assert guard.dead_letters(500)


def test_the_reason_tells_the_codes_and_the_way_out() -> None:
    guard = Guard(max_consecutive=2)
    guard.dead_letters(2, THEIRS)
    with pytest.raises(DeadLetterFloodError) as raised:
        guard.guard.check(0, OURS, 1)
    text = str(raised.value)
    assert "media.corrupt 2" in text
    assert "internal.error 1" in text
    assert "thumbnails dlq stats" in text
    assert "DLQ_MAX_CONSECUTIVE" in text
    assert "By company: 1 (3)." in text


TENANT_CONTROLLED = [ErrorCode.MEDIA_TIMEOUT, ErrorCode.MEDIA_CRASHED_DECODER, ErrorCode.STORAGE_BAD_KEY, OURS]


@pytest.mark.parametrize("code", TENANT_CONTROLLED)
def test_one_companys_bad_uploads_among_anothers_good_ones_never_stop_the_worker(code: ErrorCode) -> None:
    guard = the_default_one()
    for _ in range(1000):
        guard.successes(1, company=1)
        assert guard.dead_letters(1, code, company=2)
    assert guard.dead_letters(1000, code, partition=1, company=2)


@pytest.mark.parametrize("code", [THEIRS, *TENANT_CONTROLLED])
def test_a_long_row_of_one_companys_broken_files_never_stops_the_worker_for_another(code: ErrorCode) -> None:
    guard = the_default_one()
    guard.successes(1, company=1)
    assert guard.dead_letters(5000, code, company=2)


def test_one_companys_failures_go_on_beside_the_ordinary_ones_of_others() -> None:
    guard = the_default_one()
    for number in range(200):
        guard.successes(4, company=1)
        guard.successes(1, company=3)
        assert guard.dead_letters(20, ErrorCode.STORAGE_BAD_KEY, company=2)
        assert guard.dead_letters(1, ErrorCode.MEDIA_TIMEOUT, company=1 if number % 2 else 3)


@pytest.mark.parametrize("shares", [(1, 1), (1, 1, 1, 1), (9, 1)], ids=["two", "four", "one big and one small"])
def test_a_broken_deploy_over_several_companies_stops_the_worker(shares: tuple[int, ...]) -> None:
    uploads = itertools.cycle([number for number, share in enumerate(shares, start=1) for _ in range(share)])
    by_ratio, by_row = the_default_one(), the_default_one()
    for company in itertools.islice(uploads, 99):
        assert by_ratio.dead_letters(1, OURS, company=company)
    assert not all(by_ratio.dead_letters(1, OURS, company=company) for company in itertools.islice(uploads, 12))
    for company in itertools.islice(uploads, 490):
        assert by_row.dead_letters(1, THEIRS, company=company)
    assert not all(by_row.dead_letters(1, THEIRS, company=company) for company in itertools.islice(uploads, 20))


def test_a_deploy_that_breaks_most_files_of_several_companies_is_seen_beside_their_successes() -> None:
    guard = the_default_one()
    for _ in range(16):
        guard.successes(2, company=1)
        guard.successes(1, company=2)
        assert guard.dead_letters(3, company=1)
    assert guard.dead_letters(3, company=2)
    assert not all(guard.dead_letters(1, company=1 + number % 2) for number in range(100))


def test_a_company_that_was_seen_more_than_a_day_ago_is_no_other_one() -> None:
    guard = the_default_one()
    guard.successes(1, company=1)
    guard.now_s += SEEN_FOR_S + 1
    assert guard.dead_letters(500, THEIRS, company=2)
    assert not guard.dead_letters(1, THEIRS, company=2)


@pytest.mark.parametrize("code", [THEIRS, *TENANT_CONTROLLED])
def test_on_a_fresh_installation_the_other_companies_of_the_database_are_enough(code: ErrorCode) -> None:
    guard = the_default_one()
    guard.guard.prime({}, known={1, 2})
    assert guard.dead_letters(2000, code, company=2)
    assert not all(guard.dead_letters(1, code, company=1) for _ in range(60))


def test_the_only_company_of_the_database_stops_the_worker() -> None:
    guard = the_default_one()
    guard.guard.prime({}, known={2})
    assert not guard.dead_letters(101, company=2)


def test_malformed_records_among_good_ones_never_stop_the_worker() -> None:
    guard = the_default_one()
    guard.successes(1)
    guard.now_s += 11
    for _ in range(1000):
        assert guard.dead_letters(4, ErrorCode.EVENT_MALFORMED, company=None)
        guard.successes(1)
    assert guard.dead_letters(1000, ErrorCode.EVENT_MALFORMED, company=None)


def test_malformed_records_do_not_add_to_one_companys_failures() -> None:
    guard = the_default_one()
    guard.successes(1, company=1)
    for _ in range(1000):
        assert guard.dead_letters(1, ErrorCode.EVENT_MALFORMED, company=None)
        assert guard.dead_letters(1, company=2)


def test_ids_that_no_company_has_are_not_several_companies() -> None:
    guard = the_default_one()
    guard.successes(1, company=1)
    guard.now_s += 11
    assert all(guard.dead_letters(1, ErrorCode.TENANT_UNKNOWN, company=1000 + number) for number in range(1000))


@pytest.mark.parametrize("code", [ErrorCode.EVENT_MALFORMED, ErrorCode.TENANT_UNKNOWN])
def test_a_worker_that_ends_no_companys_record_stops(code: ErrorCode) -> None:
    guard = the_default_one()
    assert guard.dead_letters(
        1000, code, company=7 if code == ErrorCode.TENANT_UNKNOWN else None
    )  # in its first seconds
    guard.now_s += 11
    assert not guard.dead_letters(1, code, company=None)


def test_after_a_restart_one_companys_flood_goes_on_for_another_had_thumbnails_of_late() -> None:
    guard = the_default_one()
    guard.guard.prime({2: 1000}, companies={1, 2})
    assert guard.dead_letters(2000, ErrorCode.STORAGE_BAD_KEY, company=2)


def test_after_a_restart_a_flood_of_several_companies_stops_the_worker_soon() -> None:
    guard = the_default_one()
    guard.guard.prime({1: 300, 2: 300, None: 400}, companies={1, 2})
    assert guard.dead_letters(10, THEIRS)
    assert not guard.dead_letters(2, THEIRS)


def test_the_company_that_fails_alone_is_named_in_the_log() -> None:
    guard = the_default_one()
    guard.successes(1, company=1)
    with capture_logs() as lines:
        guard.dead_letters(501, THEIRS, company=2)
        guard.dead_letters(501, ErrorCode.EVENT_MALFORMED, company=None)
    one = next(line for line in lines if line["event"] == "company_failure_limit_exceeded")
    assert (one["company_id"], one["failed"], one["log_level"]) == (2, 501, "warning")
    assert "media.corrupt 501" in one["reason"]
    assert any(line["event"] == "unattributed_failure_limit_exceeded" for line in lines)


def test_the_producers_of_malformed_records_are_named_those_with_most_first() -> None:
    guard = the_default_one()
    guard.successes(1, company=1)
    with capture_logs() as lines:
        for number in range(120):
            producer = "https://cms.example" if number % 4 else None
            guard.guard.check(0, ErrorCode.EVENT_MALFORMED, None, producer)
    (line,) = lines
    assert line["event"] == "unattributed_failure_limit_exceeded"
    assert line["producers"] == "https://cms.example (74), without one (25)"
    guard.now_s += 120
    with capture_logs() as lines:
        for number in range(101):
            guard.guard.check(0, ErrorCode.EVENT_MALFORMED, None, "x" * 10_000 if number else "\x1b[2J")
    assert "https" not in lines[-1]["producers"]
    assert len(lines[-1]["producers"]) < 200


def test_however_many_companies_there_are_the_memory_is_bounded() -> None:
    counts = FailureCounts()
    for company in range(1, 10_000):
        counts.failed(1, company, OURS, is_counted=True)
    assert len(counts.row) <= MAX_OWNERS + 1
    assert len(counts.window()) <= MAX_OWNERS + 1
    assert counts.row.total() == sum(part.failures for part in counts.window().values()) == 9_999
