"""A batch whose transaction fails: only a value's fault makes a dead letter, in a half of the batch, too."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors

from streams.kafka.records import InboundRecord
from streams.persist import batch as batch_writer
from streams.persist.batch import BatchWriter, DatabaseDownError, Item
from streams.rows.last_write_wins import RowOutcome
from streams.rows.upsert import Result
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_media, ready

POISON = 37


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    made = sa.create_engine("sqlite://")
    yield made
    made.dispose()


def answers(monkeypatch: pytest.MonkeyPatch, alone: str | None, together: str | None) -> None:
    """What a transaction with the poison result ends with: when it stands alone, and when it has neighbours."""

    def apply(_connection: object, results: Sequence[Result], *, now: datetime) -> list[RowOutcome]:
        assert now == NOW
        state = alone if len(results) == 1 else together
        if state is not None and any(result.media.id == POISON for result in results):
            error = errors.lookup(state)("refused")
            raise sa.exc.DBAPIError.instance("UPDATE", {}, error, psycopg.Error)
        return [RowOutcome.APPLIED] * len(results)

    monkeypatch.setattr(batch_writer, "apply_results", apply)


def items() -> list[Item]:
    record = InboundRecord("t", 0, 0, 0, None, None, ())
    return [Item(record, ready(1, a_media(number))) for number in range(30, 40)]


@pytest.mark.parametrize("state", ["22001", "22P05", "23514", "54000"])
def test_one_refused_value_among_good_ones_is_exactly_one_dead_letter(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    answers(monkeypatch, alone=state, together=state)
    written = BatchWriter(engine, lambda: NOW).write(items())
    assert [item.result.media.id for item, _ in written.rejected] == [POISON]
    assert len(written.outcomes) == 9


@pytest.mark.parametrize(
    "state",
    ["0A000", "25006", "25P03", "26000", "40001", "42501", "42703", "42P01", "55P03", "57P01", "P0001", "XX000"],
)
@pytest.mark.parametrize("together", [None, "22001"], ids=["the whole batch", "a half, after a value was refused"])
def test_a_state_of_the_database_makes_no_dead_letter(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, state: str, together: str | None
) -> None:
    answers(monkeypatch, alone=state, together=together or state)
    with pytest.raises(DatabaseDownError, match="refused"):
        BatchWriter(engine, lambda: NOW).write(items())
