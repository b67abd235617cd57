"""A batch with a result that PostgreSQL refuses: its neighbours are written, and the dead letter says why."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.errors import ErrorCode
from schemas.tables import videos
from streams.kafka.records import InboundRecord
from streams.persist.batch import BatchWriter, Item, Written
from streams.rows.last_write_wins import RowOutcome
from streams.rows.upsert import Result
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database, a_media, failed, ready

ROWS = range(1, 101)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[sa.Engine]:
    made = a_database(postgres_url, ROWS)
    yield made
    made.dispose()


def write(engine: sa.Engine, results: list[Result]) -> Written:
    record = InboundRecord("t", 0, 0, 0, None, None, ())
    return BatchWriter(engine, lambda: NOW).write([Item(record, result) for result in results])


def written_ids(engine: sa.Engine) -> list[int]:
    with engine.connect() as connection:
        query = sa.select(videos.c.id).where(videos.c.thumbnail_status.is_not(None)).order_by(videos.c.id)
        return list(connection.execute(query).scalars())


def poison_in(results: list[Result], place: int, poison: Result) -> list[Result]:
    return [*results[:place], poison, *results[place + 1 :]]


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (ready(1, a_media(37), thumbnail_url="x" * 2049), "thumbnail_url has 2049 characters; the column holds 2048"),
        (ready(1, a_media(37), placeholder="x\0"), "thumbnail_placeholder holds a NUL"),
        (failed(1, a_media(37), message="\0"), "thumbnail_error holds a NUL"),
        (ready(1, a_media(37), placeholder="unheard-of"), "violates check constraint"),
    ],
    ids=["too long", "NUL in a text", "NUL in an error", "a rule that only the database knows"],
)
def test_one_poison_result_in_a_hundred_is_refused_alone(engine: sa.Engine, poison: Result, reason: str) -> None:
    with write_transaction(engine) as connection:
        connection.execute(sa.text("ALTER TABLE videos ADD CHECK (thumbnail_placeholder <> 'unheard-of')"))
    results: list[Result] = [ready(1, a_media(number)) for number in ROWS]
    written = write(engine, poison_in(results, 36, poison))
    assert [(item.result.media.id, error.code) for item, error in written.rejected] == [(37, ErrorCode.RESULT_REFUSED)]
    assert reason in written.rejected[0][1].message
    assert written_ids(engine) == [number for number in ROWS if number != 37]
    assert {outcome for _, outcome in written.outcomes} == {RowOutcome.APPLIED}


def test_a_known_poison_result_costs_its_batch_no_further_transaction(engine: sa.Engine) -> None:
    begun: list[sa.Connection] = []
    sa.event.listen(engine, "begin", begun.append)
    results: list[Result] = [ready(1, a_media(number)) for number in ROWS]
    write(engine, poison_in(results, 36, ready(1, a_media(37), thumbnail_url="x" * 3000)))
    assert len(begun) == 1


def test_a_result_that_could_not_be_written_but_need_not_be_is_no_poison(engine: sa.Engine) -> None:
    """Its row is gone or newer: it is answered as any other, and its objects are cleaned up."""
    unwritable = {"thumbnail_url": "x" * 3000}
    written = write(
        engine, [ready(2, a_media(1)), ready(1, a_media(1), 1, **unwritable), ready(1, a_media(999), 1, **unwritable)]
    )
    assert written.rejected == []
    assert [str(outcome) for _, outcome in written.outcomes] == ["applied", "stale", "row_gone"]
