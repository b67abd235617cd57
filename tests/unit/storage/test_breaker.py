"""The breaker of one connection: what opens it, who is let through, and what its callers see."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.breaker import (
    LISTED_AT_ONCE,
    BreakerPolicy,
    BreakerProvider,
    BreakerState,
    CircuitBreaker,
    ConnectionPausedError,
)
from storage.memory import MemoryStorageProvider
from tests.contracts.objects import put

DOWN = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "It does not answer.")
LIMITED = TransientError(ErrorCode.STORAGE_RATE_LIMITED, "Slow down.", retry_after_s=70)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("Storage connection 5", BreakerPolicy(failures=3, open_s=30, slow_s=5), clock=clock)


def fail(breaker: CircuitBreaker, error: BaseException = DOWN, times: int = 1) -> BaseException:
    """Let so many calls fail; what the last caller got."""
    caught: BaseException = error
    for _ in range(times):
        try:
            with breaker.call():
                _raise(error)
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            caught = exc
    return caught


def _raise(error: BaseException) -> None:
    raise error


def state_of(breaker: CircuitBreaker) -> BreakerState:
    """Asked again each time; mypy would take the last answer for granted."""
    return breaker.state


def succeed(breaker: CircuitBreaker) -> None:
    with breaker.call():
        pass


def test_failures_in_a_row_open_it_and_then_nobody_is_let_through(breaker: CircuitBreaker) -> None:
    assert fail(breaker, times=2) is DOWN
    assert state_of(breaker) is BreakerState.CLOSED
    last = fail(breaker)
    assert isinstance(last, ConnectionPausedError), "who opens it waits as all others do"
    assert last.__cause__ is DOWN
    with pytest.raises(ConnectionPausedError, match="Storage connection 5 failed repeatedly") as caught:
        succeed(breaker)
    assert (caught.value.code, caught.value.retry_after_s) == (ErrorCode.STORAGE_PAUSED, 30)


def test_a_success_in_between_begins_the_count_anew(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        fail(breaker, times=2)
        succeed(breaker)
    assert state_of(breaker) is BreakerState.CLOSED


@pytest.mark.parametrize(
    "error",
    [
        ObjectNotFoundError("a"),
        PermanentError(ErrorCode.STORAGE_DENIED, "x"),
        TransientError(ErrorCode.STORAGE_FULL, "x"),
        TransientError(ErrorCode.STORAGE_LOCKED, "x"),
        TransientError(ErrorCode.UPLOAD_UNVERIFIED, "x"),
        ValueError("a bug"),
    ],
    ids=str,
)
def test_errors_that_prove_an_answer_never_open_it(breaker: CircuitBreaker, error: Exception) -> None:
    assert fail(breaker, error, times=10) is error
    assert state_of(breaker) is BreakerState.CLOSED


def test_one_probe_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, times=3)
    clock.now_s += 30
    assert state_of(breaker) is BreakerState.HALF_OPEN
    with breaker.call(), pytest.raises(ConnectionPausedError):
        succeed(breaker)
    assert state_of(breaker) is BreakerState.CLOSED
    succeed(breaker)


def test_a_probe_that_fails_opens_it_again_and_burns_no_attempt(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, times=3)
    clock.now_s += 30
    assert isinstance(fail(breaker), ConnectionPausedError)
    assert state_of(breaker) is BreakerState.OPEN
    clock.now_s += 29
    assert state_of(breaker) is BreakerState.OPEN


@pytest.mark.parametrize("leaving", [KeyboardInterrupt(), GeneratorExit(), ValueError()])
def test_a_probe_that_ends_without_an_answer_leaves_its_place_to_the_next(
    breaker: CircuitBreaker, clock: Clock, leaving: BaseException
) -> None:
    fail(breaker, times=3)
    clock.now_s += 30
    assert fail(breaker, leaving) is leaving
    succeed(breaker)
    assert state_of(breaker) is BreakerState.CLOSED


def test_calls_from_before_neither_close_it_nor_lengthen_its_rest(breaker: CircuitBreaker, clock: Clock) -> None:
    late_success, late_failure = breaker.call(), breaker.call()
    late_success.__enter__()
    late_failure.__enter__()
    fail(breaker, times=3)
    clock.now_s += 1
    late_success.__exit__(None, None, None)
    assert state_of(breaker) is BreakerState.OPEN
    with pytest.raises(ConnectionPausedError):
        late_failure.__exit__(type(DOWN), DOWN, None)
    clock.now_s += 29
    assert state_of(breaker) is BreakerState.HALF_OPEN


def test_what_began_before_a_good_probe_does_not_open_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    old = [breaker.call() for _ in range(4)]
    for call in old:
        call.__enter__()
    fail(breaker, times=3)
    clock.now_s += 30
    succeed(breaker)
    succeed(breaker)  # the four still hang, and count no more
    assert not any(call.__exit__(type(DOWN), DOWN, None) for call in old)
    assert state_of(breaker) is BreakerState.CLOSED


def test_calls_that_hang_count_as_failures_after_a_while(breaker: CircuitBreaker, clock: Clock) -> None:
    hanging = [breaker.call() for _ in range(3)]
    for call in hanging:
        call.__enter__()
    clock.now_s += 4.9
    succeed(breaker)
    clock.now_s += 0.2
    with pytest.raises(ConnectionPausedError):
        succeed(breaker)


def test_the_store_s_own_wish_lengthens_the_rest(breaker: CircuitBreaker, clock: Clock) -> None:
    last = fail(breaker, LIMITED, times=3)
    assert isinstance(last, ConnectionPausedError)
    assert last.retry_after_s == 70
    clock.now_s += 69
    assert state_of(breaker) is BreakerState.OPEN


def test_a_wish_that_comes_late_still_lengthens_the_rest(breaker: CircuitBreaker, clock: Clock) -> None:
    late = breaker.call()
    late.__enter__()
    fail(breaker, times=3)
    with pytest.raises(ConnectionPausedError):
        late.__exit__(type(LIMITED), LIMITED, None)
    clock.now_s += 69
    assert state_of(breaker) is BreakerState.OPEN


def test_of_many_threads_one_is_the_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, times=3)
    clock.now_s += 30
    inside: list[int] = []
    refused: list[int] = []
    together, others = threading.Barrier(8), threading.Event()

    def work() -> None:
        together.wait()
        try:
            with breaker.call():
                inside.append(1)
                assert others.wait(10), "the others come meanwhile"
        except ConnectionPausedError:
            refused.append(1)
            if len(refused) == 7:
                others.set()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(inside), len(refused)) == (1, 7)


@pytest.fixture
def behind(breaker: CircuitBreaker) -> tuple[BreakerProvider, MemoryStorageProvider]:
    memory = MemoryStorageProvider()
    return BreakerProvider(memory, breaker), memory


def test_every_method_of_a_provider_is_behind_it(
    behind: tuple[BreakerProvider, MemoryStorageProvider], breaker: CircuitBreaker, tmp_path: Path
) -> None:
    provider, memory = behind
    put(memory, "acme/a")
    source = provider.open_source("acme/a")
    fail(breaker, times=3)
    calls: list[Callable[[], object]] = [
        lambda: put(provider, "acme/b"),
        lambda: provider.download_file("acme/a", tmp_path / "copy"),
        lambda: provider.open_source("acme/a"),
        lambda: provider.file_exists("acme/a"),
        lambda: provider.delete_file("acme/a"),
        lambda: list(provider.list_files("acme")),
        lambda: list(provider.list_objects("acme")),
        lambda: provider.get_file_url("acme/a"),
        lambda: source.read_at(0, 1),
        provider.check,
    ]
    for call in calls:
        with pytest.raises(ConnectionPausedError):
            call()
    assert memory.objects == {"acme/a": b"content"}


def test_a_caller_that_takes_its_time_over_a_listing_is_no_failure_of_the_store(
    behind: tuple[BreakerProvider, MemoryStorageProvider], breaker: CircuitBreaker, clock: Clock
) -> None:
    provider, memory = behind
    put(memory, "acme/a")
    listings = [provider.list_files("acme") for _ in range(3)]
    clock.now_s += 60
    assert provider.file_exists("acme/a")
    assert [list(found) for found in listings] == [["acme/a"]] * 3
    assert state_of(breaker) is BreakerState.CLOSED


def test_a_long_listing_goes_on_while_its_caller_takes_its_time(
    behind: tuple[BreakerProvider, MemoryStorageProvider], breaker: CircuitBreaker, clock: Clock
) -> None:
    provider, memory = behind
    keys = [f"acme/{number:04}" for number in range(2 * LISTED_AT_ONCE + 1)]
    memory.objects.update(dict.fromkeys(keys, b"x"))
    found = []
    for one in provider.list_objects("acme"):
        clock.now_s += 1
        found.append(one.key)
    assert found == keys
    assert state_of(breaker) is BreakerState.CLOSED
    assert [one.key for one in provider.list_objects("acme", after=keys[-2])] == keys[-1:]


def test_a_store_that_fails_is_not_asked_while_it_rests(
    behind: tuple[BreakerProvider, MemoryStorageProvider], clock: Clock
) -> None:
    provider, memory = behind
    memory.fail_next("upload_file", DOWN, times=4)
    errors: list[ThumbnailError] = []
    for _ in range(10):
        try:
            put(provider, "acme/a")
        except ThumbnailError as error:
            errors.append(error)
    assert [error.code for error in errors] == [ErrorCode.STORAGE_UNAVAILABLE] * 2 + [ErrorCode.STORAGE_PAUSED] * 8
    clock.now_s += 30
    with pytest.raises(ConnectionPausedError):
        put(provider, "acme/a")  # the fourth planned failure: the other seven never arrived
    clock.now_s += 30
    put(provider, "acme/a")
