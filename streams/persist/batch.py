"""Writes a batch of results in one transaction, and finds the one that the database refuses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas.database import write_transaction
from schemas.database_faults import explain_database_fault, fault_code, is_about_a_value, said_by_database
from schemas.errors import ErrorCode, PermanentError
from schemas.events import ThumbnailReady
from streams.failures.refused_results import refused_result
from streams.kafka.records import InboundRecord
from streams.rows.last_write_wins import RowOutcome
from streams.rows.upsert import Result, apply_results, refusal


@dataclass(frozen=True, slots=True)
class Item:
    """A result with the record that brought it."""

    record: InboundRecord
    result: Result


@dataclass
class Written:
    """The result of a batch: an outcome for each item that the database took, an error for each refused one.

    A ready one of another company stands in both. A failed one has its dead letter already, with the upload's own bytes.
    """

    outcomes: list[tuple[Item, RowOutcome]] = field(default_factory=list)
    rejected: list[tuple[Item, PermanentError]] = field(default_factory=list)


class DatabaseDownError(Exception):
    """The database does not answer, or takes nothing now: nothing is wrong with the batch, and it is tried again.

    The message is one sentence: what is wrong and what to do.
    """


class BatchWriter:
    """Writes batches; safe in a thread of its own."""

    def __init__(self, engine: sa.Engine, now: Callable[[], datetime]) -> None:
        self._engine: Final = engine
        self._now: Final = now

    def write(self, items: list[Item]) -> Written:
        """Write a batch in one transaction. When the database refuses a value, halve the batch until the bad record is alone.

        Raises DatabaseDownError for all else that goes wrong, in a half too. Halves that were committed before it
        stay so; repeated, they change nothing.
        """
        if not items:
            return Written()
        try:
            with write_transaction(self._engine) as connection:
                outcomes = apply_results(connection, [item.result for item in items], now=self._now())
        except (SQLAlchemyError, ValueError, OverflowError) as exc:
            if not is_about_a_value(exc):
                raise DatabaseDownError(explain_database_fault(exc)) from exc
            if len(items) == 1:
                return Written(rejected=[(items[0], refused_result(said_by_database(exc), fault_code(exc)))])
            middle = len(items) // 2
            left, right = self.write(items[:middle]), self.write(items[middle:])
            return Written(left.outcomes + right.outcomes, left.rejected + right.rejected)
        return _partition_by_outcome(items, outcomes)


def _partition_by_outcome(items: list[Item], outcomes: list[RowOutcome]) -> Written:
    written = Written()
    for item, outcome in zip(items, outcomes, strict=True):
        if outcome is RowOutcome.REFUSED:
            written.rejected.append((item, refused_result(refusal(item.result) or "")))
            continue
        written.outcomes.append((item, outcome))
        if outcome is RowOutcome.OTHER_COMPANY and isinstance(item.result, ThumbnailReady):
            error = PermanentError(
                ErrorCode.TENANT_NOT_OWNER, "The row belongs to another company than the event says."
            )
            written.rejected.append((item, error))
    return written
