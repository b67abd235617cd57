"""The retry policy: how often, how late, and when no more."""

from datetime import timedelta

import pytest

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from streams.failures.policy import Attempts, GiveUp, RetryAt, RetryPolicy
from streams.failures.retry_limits import parse_limits
from tests.doubles.pipeline import NOW

POLICY = RetryPolicy((60.0, 120.0, 240.0), budget_s=86_400.0)
UNAVAILABLE = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "x")


def decide(
    error: ThumbnailError, failed_attempts: int, policy: RetryPolicy = POLICY, age_s: float = 0
) -> RetryAt | GiveUp:
    first = NOW - timedelta(seconds=age_s)
    return policy.decide(error, Attempts(failed_attempts, first), NOW)


@pytest.mark.parametrize(("attempt", "delay_s"), [(1, 60), (2, 120), (3, 240)])
def test_each_retry_waits_twice_as_long_in_the_next_topic(attempt: int, delay_s: int) -> None:
    assert decide(UNAVAILABLE, attempt) == RetryAt(attempt, NOW + timedelta(seconds=delay_s), attempt)


def test_the_fourth_failure_is_the_last() -> None:
    assert isinstance(decide(UNAVAILABLE, 4), GiveUp)
    assert isinstance(decide(UNAVAILABLE, 3), RetryAt)


def test_a_connection_that_is_given_a_rest_uses_up_no_attempt() -> None:
    paused = TransientError(ErrorCode.STORAGE_PAUSED, "x", retry_after_s=20)
    assert decide(paused, 4) == RetryAt(3, NOW + timedelta(seconds=240), 3)
    assert decide(paused, 1) == RetryAt(1, NOW + timedelta(seconds=60), 0)


def test_the_rest_of_a_connection_is_bounded_by_the_time_budget() -> None:
    paused = TransientError(ErrorCode.STORAGE_PAUSED, "x", retry_after_s=20)
    assert isinstance(decide(paused, 1, age_s=POLICY.budget_s), GiveUp)


def test_a_permanent_error_is_given_up_at_once() -> None:
    assert isinstance(decide(PermanentError(ErrorCode.MEDIA_CORRUPT, "x"), 1), GiveUp)


@pytest.mark.parametrize("code", [ErrorCode.MEDIA_TIMEOUT, ErrorCode.MEDIA_CRASHED_DECODER])
def test_a_decoder_that_failed_gets_one_retry(code: ErrorCode) -> None:
    assert isinstance(decide(TransientError(code, "x"), 1), RetryAt)
    assert isinstance(decide(TransientError(code, "x"), 2), GiveUp)


def test_a_wait_for_its_turn_uses_up_no_attempt_and_hides_no_failure() -> None:
    limited = TransientError(ErrorCode.TENANT_LIMITED, "x", retry_after_s=100)
    assert decide(limited, 2) == RetryAt(2, NOW + timedelta(seconds=120), 1)
    after_the_wait = Attempts(2, NOW, ErrorCode.TENANT_LIMITED)
    assert isinstance(POLICY.decide(TransientError(ErrorCode.MEDIA_TIMEOUT, "x"), after_the_wait, NOW), GiveUp)


def test_an_upload_asks_for_its_turn_until_its_time_budget_ends() -> None:
    """How long it should wait is a guess: the limit may end sooner."""
    limited = TransientError(ErrorCode.TENANT_LIMITED, "x", retry_after_s=3600)
    short = RetryPolicy((60.0, 120.0, 240.0), budget_s=1800)
    assert decide(limited, 1, short) == RetryAt(
        3, NOW + timedelta(seconds=240), 0, not_before=NOW + timedelta(seconds=1800)
    )
    assert decide(limited, 1, short, age_s=1740) == RetryAt(1, NOW + timedelta(seconds=60), 0)
    assert isinstance(decide(limited, 1, short, age_s=1741), GiveUp)


def test_an_outage_of_the_database_uses_up_no_attempt() -> None:
    down = TransientError(ErrorCode.DATABASE_UNAVAILABLE, "x")
    decision = decide(down, 1)
    assert decision == RetryAt(1, NOW + timedelta(seconds=60), 0)


def test_the_time_budget_ends_also_what_uses_up_no_attempt() -> None:
    down = TransientError(ErrorCode.DATABASE_UNAVAILABLE, "x")
    assert isinstance(decide(down, 1, age_s=86_400), GiveUp)


def test_what_the_store_asked_for_is_the_least_wait() -> None:
    patient = TransientError(ErrorCode.STORAGE_RATE_LIMITED, "x", retry_after_s=100)
    assert decide(patient, 1) == RetryAt(2, NOW + timedelta(seconds=120), 1)
    very_patient = TransientError(ErrorCode.STORAGE_RATE_LIMITED, "x", retry_after_s=1000)
    assert decide(very_patient, 1) == RetryAt(
        3, NOW + timedelta(seconds=240), 1, not_before=NOW + timedelta(seconds=1000)
    )


def test_a_longer_wait_than_the_time_budget_is_given_up_at_once() -> None:
    too_patient = TransientError(ErrorCode.STORAGE_RATE_LIMITED, "x", retry_after_s=90_000)
    assert isinstance(decide(too_patient, 1), GiveUp)


@pytest.mark.parametrize(("chance", "delay_s"), [(0.0, 60.0), (0.5, 63.0), (1.0, 66.0)])
def test_jitter_makes_a_wait_longer_and_never_shorter(chance: float, delay_s: float) -> None:
    policy = RetryPolicy((60.0, 120.0), budget_s=100, jitter=0.1, chance=lambda: chance)
    assert decide(UNAVAILABLE, 1, policy) == RetryAt(1, NOW + timedelta(seconds=delay_s), 1)


def test_whether_an_event_is_given_up_is_no_matter_of_chance() -> None:
    policy = RetryPolicy((60.0,), budget_s=60, jitter=1.0, chance=lambda: 1.0)
    assert isinstance(decide(UNAVAILABLE, 1, policy), RetryAt)


def test_a_code_has_attempts_and_a_budget_of_its_own() -> None:
    policy = RetryPolicy(
        (60.0, 120.0), budget_s=1000, limits=parse_limits("storage.unavailable=4/500, source.missing=0")
    )
    assert decide(UNAVAILABLE, 4, policy) == RetryAt(2, NOW + timedelta(seconds=120), 4)
    assert isinstance(decide(UNAVAILABLE, 5, policy), GiveUp)
    assert isinstance(decide(UNAVAILABLE, 1, policy, age_s=450), GiveUp)
    assert isinstance(decide(TransientError(ErrorCode.SOURCE_MISSING, "x"), 1, policy), GiveUp)
    assert isinstance(decide(TransientError(ErrorCode.STORAGE_LOCKED, "x"), 3, policy), GiveUp)


@pytest.mark.parametrize(
    "text", ["source.missing", "source.lost=1", "source.missing=x", "source.missing=-1", "source.missing=1/0"]
)
def test_limits_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_limits(text)


def test_fewer_delays_mean_fewer_attempts() -> None:
    policy = RetryPolicy((5.0,), budget_s=100)
    assert isinstance(decide(UNAVAILABLE, 1, policy), RetryAt)
    assert isinstance(decide(UNAVAILABLE, 2, policy), GiveUp)


def test_a_decoder_that_is_killed_after_another_failure_still_gets_its_retry() -> None:
    killed = TransientError(ErrorCode.MEDIA_CRASHED_DECODER, "x")
    assert isinstance(POLICY.decide(killed, Attempts(2, NOW, "source.missing"), NOW), RetryAt)
    assert isinstance(POLICY.decide(killed, Attempts(2, NOW, "media.crashed_decoder"), NOW), GiveUp)
    assert isinstance(POLICY.decide(killed, Attempts(4, NOW, "source.missing"), NOW), GiveUp)
