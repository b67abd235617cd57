"""Several servers in one DATABASE_URL, written as libpq has it: the driver gets all of them, and the rest as it was."""

import pytest

from schemas.database import DatabaseUrlError, create_engine_for

ROLE = {"user": "me", "password": "s3:c,ret", "dbname": "x"}


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        (
            "postgres://me:s3:c,ret@one:5433,two:5434/x?target_session_attrs=read-write",
            ROLE | {"host": "one,two", "port": "5433,5434", "target_session_attrs": "read-write"},
        ),
        ("postgresql+asyncpg://me:s3:c,ret@one,two/x", ROLE | {"host": "one,two", "port": "5432,5432"}),
        ("postgresql://[::1]:5433,[fe80::2]/x", {"host": "::1,fe80::2", "port": "5433,5432", "dbname": "x"}),
        ("postgresql://one,two:5434", {"host": "one,two", "port": "5432,5434"}),
        ("postgresql://me:s3:c,ret@one/x", ROLE | {"host": "one"}),
        ("postgresql://me:s3:c,ret@/x?host=one:1&host=two:2", ROLE | {"host": "one,two", "port": "1,2"}),
    ],
)
def test_the_driver_gets_every_server(url: str, arguments: dict[str, str]) -> None:
    engine = create_engine_for(url)
    _, given = engine.dialect.create_connect_args(engine.url)
    assert {name: value for name, value in given.items() if name != "context"} == arguments
    assert "s3:c" not in repr(engine)


@pytest.mark.parametrize("hosts", ["one:s3cret,two:1", "s3@cret@one,two"])
def test_hosts_that_cannot_be_read_are_refused_without_the_password(hosts: str) -> None:
    with pytest.raises(DatabaseUrlError) as refused:
        create_engine_for(f"postgresql://me:{hosts}/x").connect()
    assert "s3" not in str(refused.value)
