"""A worker that does not start leaves nothing open."""

import pytest

from service.check_result import CheckResult
from service.observability.traces import Traces
from service.roles.worker import run_worker_role
from service.settings import Settings


class CountedTraces(Traces):
    closed = 0

    def close(self) -> None:
        type(self).closed += 1


def test_a_worker_whose_dependency_fails_closes_its_traces_and_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr("service.roles.worker.start_traces", lambda *_: CountedTraces())
    monkeypatch.setattr("service.roles.worker.check_kafka", lambda _: CheckResult("Kafka", "No broker answers."))
    monkeypatch.setattr("storage.provider_cache.ProviderCache.close", lambda _: closed.append("stores"))
    monkeypatch.setenv("HTTP_PORT", "0")
    assert run_worker_role(Settings()) == 1
    assert (CountedTraces.closed, closed) == (1, ["stores"])
