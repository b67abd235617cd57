"""The real parts that the other tests stand on do what those tests rely on."""

import sqlalchemy as sa
from confluent_kafka import Consumer, Producer

from service.kafka_clients import consumer_config, producer_config
from service.kafka_topics import create_topics, list_topics
from service.local_kafka.apache import ApacheKafka
from service.settings import KafkaSettings
from streams.kafka_io import read_records
from tests.services.postgres import SystemPostgres


def test_records_survive_the_kill_and_restart_of_a_broker(own_kafka: ApacheKafka) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=own_kafka.bootstrap_servers, kafka_replication_factor=1)
    create_topics(settings)
    producer = Producer(producer_config(settings))
    producer.produce("media.uploaded", key=b"video:1", value=b"before")
    assert producer.flush(20) == 0
    own_kafka.kill()
    own_kafka.start()
    consumer = Consumer(consumer_config(settings, "reader"))
    consumer.subscribe(["media.uploaded"])
    found = []
    for _ in range(100):
        found += read_records(consumer, 10, 0.3)
        if found:
            break
    consumer.close()

    assert [record.value for record in found] == [b"before"]


def test_topics_are_made_once_and_then_found_right(kafka: str, topic_prefix: str) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka, kafka_topic_prefix=topic_prefix, kafka_replication_factor=1)
    assert len(create_topics(settings)) == 10
    assert create_topics(settings) == ()
    assert [state.problems for state in list_topics(settings) if state.problems] == []


def test_rows_survive_the_restart_of_the_database(own_postgres: SystemPostgres) -> None:
    engine = sa.create_engine(own_postgres.url, pool_pre_ping=True)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (id int)"))
        connection.execute(sa.text("INSERT INTO kept VALUES (7)"))
    own_postgres.stop_process()
    own_postgres.start()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT id FROM kept")).scalar_one() == 7
    engine.dispose()
