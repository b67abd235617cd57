"""Providers between events: one a connection and state of its row, closed with its last user, never too many open."""

import random
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from schemas.errors import ErrorCode, TransientError
from storage.breaker import BreakerPolicy, BreakerState, ConnectionPausedError
from storage.connections import ProviderConfigurationError, StorageConnection
from storage.memory import MemoryStorageProvider
from storage.provider_cache import ConnectionHealth, Lease, ProviderCache
from tests.contracts.objects import put

DOWN = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "It does not answer.")


class Provider(MemoryStorageProvider):
    """Knows whether it was closed."""

    def __init__(self, connection: StorageConnection) -> None:
        super().__init__()
        self.connection = connection
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Factory:
    """Builds providers and remembers them all."""

    def __init__(self) -> None:
        self.built: list[Provider] = []
        self.error: Exception | None = None

    def __call__(self, connection: StorageConnection) -> Provider:
        if self.error is not None:
            raise self.error
        self.built.append(Provider(connection))
        return self.built[-1]

    @property
    def open(self) -> int:
        return sum(not provider.closed for provider in self.built)


@pytest.fixture
def factory() -> Factory:
    return Factory()


def a_connection(number: int = 1, credentials: str = "{}") -> StorageConnection:
    return StorageConnection(number, "theirs", "minio", credentials)


def test_a_connection_is_built_once_and_stays_open_between_its_users(factory: Factory) -> None:
    cache = ProviderCache(factory)
    for _ in range(3):
        cache.lease(a_connection()).release()
    assert (len(factory.built), factory.open) == (1, 1)


@pytest.mark.parametrize(
    "change", [{"credentials": '{"a": 1}'}, {"base_path": "other"}, {"provider": "yandex_disk"}], ids=str
)
def test_an_edited_row_gets_a_new_provider_and_the_old_one_is_closed(factory: Factory, change: dict[str, str]) -> None:
    cache = ProviderCache(factory)
    cache.lease(a_connection()).release()
    cache.lease(replace(a_connection(), **change)).release()  # type: ignore[arg-type]
    assert [provider.closed for provider in factory.built] == [1, 0]


def test_another_name_is_no_reason_to_connect_anew(factory: Factory) -> None:
    cache = ProviderCache(factory)
    cache.lease(a_connection()).release()
    cache.lease(replace(a_connection(), name="renamed")).release()
    assert len(factory.built) == 1


def test_who_has_the_old_provider_keeps_it_until_he_is_done(factory: Factory) -> None:
    cache = ProviderCache(factory)
    old, also_old = cache.lease(a_connection()), cache.lease(a_connection())
    new = cache.lease(a_connection(credentials='{"rotated": true}'))
    old.release()
    assert [provider.closed for provider in factory.built] == [0, 0]
    put(also_old.provider, "acme/a")
    also_old.release()
    assert [provider.closed for provider in factory.built] == [1, 0]
    new.release()
    assert cache.open_count == 1


def test_the_least_recently_used_of_those_that_are_idle_makes_room(factory: Factory) -> None:
    cache = ProviderCache(factory, max_open=2)
    for number in (1, 2, 1, 3):
        cache.lease(a_connection(number)).release()
    assert [(p.connection.id, p.closed) for p in factory.built] == [(1, 0), (2, 1), (3, 0)]


def test_who_finds_all_places_taken_waits_until_one_is_free(factory: Factory) -> None:
    cache = ProviderCache(factory, max_open=1)
    first, found = cache.lease(a_connection(1)), []
    waiting = threading.Thread(target=lambda: found.append(cache.lease(a_connection(2))))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    assert len(factory.built) == 1
    first.release()
    waiting.join(10)
    assert len(found) == 1
    assert [provider.closed for provider in factory.built] == [1, 0]


def test_waiting_ends_with_an_error_that_is_tried_again(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.provider_cache._WAIT_S", 0.05)
    cache = ProviderCache(factory, max_open=1)
    cache.lease(a_connection(1))
    with pytest.raises(TransientError, match="Too many storage connections"):
        cache.lease(a_connection(2))


def test_a_broken_row_is_an_error_each_time_and_takes_no_place(factory: Factory) -> None:
    cache = ProviderCache(factory, max_open=1)
    factory.error = ProviderConfigurationError("It is broken.")
    for _ in range(3):
        with pytest.raises(ProviderConfigurationError):
            cache.lease(a_connection())
    factory.error = None
    cache.lease(a_connection()).release()
    assert factory.open == 1


def test_threads_that_come_at_once_get_one_provider(factory: Factory) -> None:
    cache, together, leases = ProviderCache(factory), threading.Barrier(8), list[Lease]()

    def work() -> None:
        together.wait()
        leases.append(cache.lease(a_connection()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(factory.built) == 1
    assert len({id(lease.provider) for lease in leases}) == 1


def test_a_breaker_outlives_its_provider_but_not_an_edit_of_the_row(factory: Factory) -> None:
    opened: list[str] = []
    cache = ProviderCache(factory, max_open=1, breaker_policy=BreakerPolicy(failures=1), on_breaker_open=opened.append)
    lease = cache.lease(a_connection(1))
    factory.built[0].fail_next("file_exists", DOWN)
    with pytest.raises(ConnectionPausedError):
        lease.provider.file_exists("acme/a")
    lease.release()
    assert opened == ["minio"]
    assert cache.health() == [ConnectionHealth(1, "minio", BreakerState.OPEN)]

    cache.lease(a_connection(2)).release()  # takes the only place
    lease = cache.lease(a_connection(1))
    with pytest.raises(ConnectionPausedError):
        lease.provider.file_exists("acme/a")
    lease.release()
    assert not cache.lease(a_connection(1, '{"fixed": true}')).provider.file_exists("acme/a")


def test_closing_closes_everything(factory: Factory) -> None:
    cache = ProviderCache(factory)
    cache.lease(a_connection(1)).release()
    cache.lease(a_connection(2))
    cache.lease(a_connection(2, '{"rotated": true}'))
    cache.close()
    assert (factory.open, cache.open_count) == (0, 0)
    with pytest.raises(TransientError, match="about to end"):
        cache.lease(a_connection(1))


def test_a_lease_is_given_back_once_however_often_it_is_released(factory: Factory) -> None:
    cache = ProviderCache(factory, max_open=1)
    first, second = cache.lease(a_connection()), cache.lease(a_connection())
    first.release()
    first.release()
    cache.close()
    second.release()
    assert [provider.closed for provider in factory.built] == [1]


def test_whatever_is_done_nobody_has_a_closed_provider_and_never_are_too_many_open(factory: Factory) -> None:
    generator = random.Random(7)
    cache, held = ProviderCache(factory, max_open=6), list[tuple[Lease, Provider]]()
    states = dict.fromkeys(range(9), 0)

    def take() -> None:
        number = generator.choice(list(states))
        if len({id(provider) for _, provider in held}) == 6:
            return  # it would wait
        lease = cache.lease(a_connection(number, str(states[number])))
        newest = [provider for provider in factory.built if provider.connection.id == number][-1]
        held.append((lease, newest))

    def give_back() -> None:
        if held:
            held.pop(generator.randrange(len(held)))[0].release()

    def edit() -> None:
        states[generator.choice(list(states))] += 1

    actions: list[Callable[[], None]] = [take, take, give_back, give_back, edit]
    for _ in range(3000):
        generator.choice(actions)()
        assert factory.open <= 6
        assert all(not provider.closed for _, provider in held)
    for lease, _ in held:
        lease.release()
    cache.close()
    assert all(provider.closed == 1 for provider in factory.built)
    assert len(factory.built) > 100
