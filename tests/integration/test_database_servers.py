"""One DATABASE_URL with several servers: the one that takes writes is used, also after a failover."""

import socket
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from schemas.database import create_engine_for, write_transaction
from schemas.database_faults import READ_ONLY, sqlstate_of
from schemas.tables import companies
from service.demo.processes import free_port
from streams.kafka.records import InboundRecord
from streams.persist.batch import BatchWriter, DatabaseDownError, Item
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database, a_media, ready
from tests.integration.test_roles_on_kafka import statuses
from tests.servers.postgres import SystemPostgres

OPTIONS = "target_session_attrs=read-write&connect_timeout=2"
RECORD = InboundRecord("t", 0, 0, 0, None, None, ())


@pytest.fixture
def second_postgres(own_postgres: SystemPostgres) -> Iterator[SystemPostgres]:
    server = SystemPostgres(own_postgres.binaries)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_a_server_that_vanishes_without_a_word_is_noticed_within_half_a_minute(own_postgres: SystemPostgres) -> None:
    """The kernel's own bounds: of a connection at rest, and of one whose query is never acknowledged."""
    engine = create_engine_for(own_postgres.url)
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        with socket.fromfd(driver.fileno(), socket.AF_INET, socket.SOCK_STREAM) as own:
            idle_s, interval_s, count, unacknowledged_ms = (
                own.getsockopt(socket.IPPROTO_TCP, option)
                for option in (
                    socket.TCP_KEEPIDLE,
                    socket.TCP_KEEPINTVL,
                    socket.TCP_KEEPCNT,
                    socket.TCP_USER_TIMEOUT,
                )
            )
    engine.dispose()
    assert 0 < idle_s + interval_s * count <= 30
    assert 0 < unacknowledged_ms <= 30_000


def both(*ports: int) -> str:
    places = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://postgres:s3cret@{places}/postgres?{OPTIONS}"


def test_a_server_that_does_not_answer_is_passed_over(own_postgres: SystemPostgres) -> None:
    a_database(own_postgres.url).dispose()
    engine = create_engine_for(both(free_port(), own_postgres.port))
    with write_transaction(engine) as connection:
        connection.execute(sa.insert(companies).values(id=9, name="n", slug="s", storage_path="p"))
    engine.dispose()


def test_after_a_failover_results_go_to_the_server_that_takes_writes(
    own_postgres: SystemPostgres, second_postgres: SystemPostgres
) -> None:
    first, second = (a_database(server.url) for server in (own_postgres, second_postgres))
    engine = create_engine_for(both(own_postgres.port, second_postgres.port))
    writer = BatchWriter(engine, lambda: NOW)
    writer.write([Item(RECORD, ready(1, a_media(40)))])
    assert (statuses(first), statuses(second)) == ({40: "ready"}, {})

    owner = sa.create_engine(own_postgres.url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    results = [Item(RECORD, ready(1, a_media(41)))]
    written = 0
    for _ in range(20):  # a session takes the new value at its next statement
        try:
            written += len(writer.write(results).outcomes)
        except DatabaseDownError as refused:
            assert isinstance(refused.__cause__, DBAPIError)
            assert sqlstate_of(refused.__cause__) == READ_ONLY
        if statuses(second):
            break
    assert statuses(second) == {41: "ready"}
    assert written >= 1
    for made in (engine, owner, first, second):
        made.dispose()
