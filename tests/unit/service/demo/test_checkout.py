"""The demo's test servers: found in a checkout, absent in an installed package."""

from pathlib import Path

import pytest

from service.demo import checkout
from service.demo.broker import NoKafkaError
from service.demo.choose_broker import choose_for_demo
from service.demo.processes import NoServerError
from service.demo.storages import DemoStorages, chosen_companies


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the test servers where an installed package has none."""
    monkeypatch.setattr("service.demo.checkout._ROOT", tmp_path)


def test_a_checkout_offers_every_test_server() -> None:
    servers = checkout.checkout_servers()
    assert servers is not None
    assert all(callable(offer) for offer in (servers.apache_kafka, servers.minio, servers.yandex_disk))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("provider", ["minio", "yandex"])
def test_an_installed_package_says_that_a_provider_needs_a_checkout(provider: str, tmp_path: Path) -> None:
    with (
        pytest.raises(NoServerError, match=f"^--providers {provider} needs a test server that only a checkout"),
        DemoStorages(chosen_companies(provider), tmp_path),
    ):
        raise AssertionError("unreachable")


@pytest.mark.parametrize("place", ["package", "checkout"])
def test_without_any_broker_the_demo_says_what_to_install(
    place: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "package":
        request.getfixturevalue("installed")
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("service.demo.choose_broker.tansu_binary", lambda: None)
    monkeypatch.setattr("tests.servers.kafka.docker.can_run", lambda: False)
    with pytest.raises(NoKafkaError, match=r"thumbnail-pipeline\[demo\].*KAFKA_BOOTSTRAP_SERVERS.*Java 17 and Maven"):
        choose_for_demo()
