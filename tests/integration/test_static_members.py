"""Static membership on a real broker: a restart moves no partition, and one name for two processes is said in one sentence."""

import asyncio
import threading
from typing import cast

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, KafkaException, Producer

from schemas.metrics import Metrics
from service.kafka.clients import consumer_config, membership, producer_config
from service.settings import KafkaSettings
from streams.kafka.client import explain_fault
from streams.kafka.ports import KafkaClients
from streams.persist.role import PersistOptions, PersistRole
from streams.worker.faust.client import FaustClient
from tests.doubles.results import a_database
from tests.integration.test_retry_role import settings_for
from tests.integration.test_roles_on_kafka import running, wait_until
from tests.integration.test_worker_group import a_worker, is_divided, until

SENTENCE = "Another process of this role has the same KAFKA_GROUP_INSTANCE_ID"


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    return settings_for(kafka, topic_prefix)


def generation(client: FaustClient) -> int:
    return client.app.consumer_generation_id


def test_a_static_member_that_restarts_causes_no_rebalance_and_keeps_its_partitions(settings: KafkaSettings) -> None:
    async def scenario() -> None:
        async with a_worker(settings, instance_id="b") as other:
            async with a_worker(settings, instance_id="a") as first:
                await until(lambda: is_divided([first, other]))
                had, generations = first.owned(), generation(other)
            async with a_worker(settings, instance_id="a") as successor:
                await until(lambda: is_divided([successor, other]))
                assert successor.owned() == had
                assert generation(other) == generations
                assert other.app.rebalancing_count == generations

    asyncio.run(scenario())


def test_a_worker_whose_name_in_the_group_another_has_taken_ends_with_one_sentence(settings: KafkaSettings) -> None:
    def failure(client: FaustClient) -> BaseException | None:
        signs = client.signs(0)
        return None if signs is None else signs.failure

    async def scenario() -> None:
        async with a_worker(settings, instance_id="same") as first:
            await until(lambda: is_divided([first]))
            async with a_worker(settings, instance_id="same") as second:
                await until(lambda: failure(first))
                reason = explain_fault(cast(BaseException, failure(first)))
                assert reason.startswith(SENTENCE)
                await until(lambda: is_divided([second]))
                assert failure(second) is None

    asyncio.run(scenario())


def a_static_persist_role(settings: KafkaSettings, engine: sa.Engine, name: str) -> PersistRole:
    named = settings.model_copy(update={"kafka_group_instance_id": name})
    consumer = Consumer(consumer_config(named, f"{settings.kafka_topic_prefix}persist") | membership(named))
    clients = KafkaClients(consumer, Producer(producer_config(settings)))
    return PersistRole(clients, PersistOptions("persist", settings.topics), engine, Metrics())


def test_a_static_persist_role_that_restarts_moves_nothing_and_one_that_is_replaced_says_so(
    settings: KafkaSettings, postgres_url: str
) -> None:
    engine = a_database(postgres_url)
    other, first = (a_static_persist_role(settings, engine, name) for name in ("b", "a"))
    with running(other):
        with running(first):
            wait_until(lambda: {len(first.owned), len(other.owned)} == {5, 7})
            had, others = first.owned, other.owned
        replaced = a_static_persist_role(settings, engine, "a")
        raised: list[BaseException] = []

        def run() -> None:
            try:
                replaced.run()
            except KafkaException as exc:
                raised.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: replaced.owned == had)
        assert other.owned == others
        with running(a_static_persist_role(settings, engine, "a")):
            wait_until(lambda: bool(raised))
        thread.join(20)
    assert explain_fault(raised[0]).startswith(SENTENCE)
    engine.dispose()
