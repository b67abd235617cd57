"""The product behind PgBouncer in transaction mode, as it comes: each transaction may get another of the server's sessions."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from confluent_kafka import Producer

from schemas.database import STATEMENT_TIMEOUT_MS, create_engine_for
from schemas.migrations import upgrade
from schemas.tables import videos
from service.kafka.clients import producer_config
from service.kafka.topics import create_topics
from service.settings import KafkaSettings
from streams.kafka.client import send_and_wait
from streams.kafka.records import InboundRecord
from streams.persist.batch import BatchWriter, Item
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database, a_media, ready
from tests.integration.test_roles_on_kafka import a_persist_role, a_result, count_records, running, statuses, wait_until

WRITERS = 4
"""More than PgBouncer has sessions for, so that their transactions go through one another's sessions."""
ROWS = range(1, 601)


def write_all(url: str, ids: range, size: int) -> int:
    """Write a result for each row as one of several persist roles would; how many became dead letters."""
    engine = create_engine_for(url)
    writer, record = BatchWriter(engine, lambda: NOW), InboundRecord("t", 0, 0, 0, None, None, ())
    refused = 0
    for start in range(0, len(ids), size):
        written = writer.write([Item(record, ready(1, a_media(number))) for number in ids[start : start + size]])
        refused += len(written.rejected)
    engine.dispose()
    return refused


@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_result_of_several_writers_is_written(pooled_url: str, size: int) -> None:
    engine = a_database(pooled_url, ROWS)
    with ThreadPoolExecutor(WRITERS) as threads:
        shares = [ROWS[number::WRITERS] for number in range(WRITERS)]
        refused = list(threads.map(lambda ids: write_all(pooled_url, ids, size), shares))
    assert refused == [0] * WRITERS
    with engine.connect() as connection:
        ready_rows = sa.select(sa.func.count()).where(videos.c.thumbnail_status == "ready")
        assert connection.execute(ready_rows).scalar_one() == len(ROWS)
    engine.dispose()


def test_the_database_is_upgraded_and_the_upgrade_can_be_repeated(pooled_url: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(upgrade, [pooled_url, pooled_url]))
    engine = create_engine_for(pooled_url)
    assert "videos" in sa.inspect(engine).get_table_names()
    engine.dispose()


@pytest.mark.parametrize("url_fixture", ["postgres_url", "pooled_url"], ids=["direct", "through PgBouncer"])
def test_each_transaction_has_the_time_limit_for_statements_and_leaves_none_behind(
    url_fixture: str, request: pytest.FixtureRequest
) -> None:
    engine = create_engine_for(request.getfixturevalue(url_fixture))
    show = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'"
    for _ in range(2):
        with engine.connect() as connection:
            assert connection.execute(sa.text(show)).scalar_one() == STATEMENT_TIMEOUT_MS
    raw = engine.raw_connection()
    try:
        assert raw.cursor().execute(show).fetchone() == (0,)
    finally:
        raw.close()
    engine.dispose()


def test_two_persist_roles_write_every_result(kafka: str, topic_prefix: str, pooled_url: str) -> None:
    settings = KafkaSettings(
        kafka_bootstrap_servers=kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_session_timeout_s=6,
        kafka_replication_factor=1,
    )
    create_topics(settings)
    engine, producer = a_database(pooled_url, ROWS), Producer(producer_config(settings))
    first, second = (a_persist_role(settings, create_engine_for(pooled_url)) for _ in range(2))
    with running(first), running(second):
        for start in range(0, len(ROWS), 5):  # a few at a time: many small transactions
            send_and_wait(producer, [a_result(settings, ready(1, a_media(n))) for n in ROWS[start : start + 5]])
        wait_until(lambda: len(statuses(engine)) == len(ROWS))
    assert count_records(settings, "thumbnail.ready.dlq") == 0
    engine.dispose()
