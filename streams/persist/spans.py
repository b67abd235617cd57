"""What the persist role tells to the trace of each result in a batch."""

from collections.abc import Sequence

from streams.kafka.records import InboundRecord
from streams.persist.batch import Written
from streams.tracing import Span

Received = tuple[InboundRecord, Span]
"""A record with the span of the work on it."""


def end_spans(received: Sequence[Received], written: Written) -> None:
    """End the spans of a batch that is done: each says what became of its row, and how many shared the transaction."""
    outcomes = {id(item.record): outcome for item, outcome in written.outcomes}
    errors = {id(item.record): error.code for item, error in written.poison}
    size = len(received)
    for record, span in received:
        outcome = outcomes.get(id(record))
        span.set_attributes(
            {"thumbnail.batch.size": size} | ({"thumbnail.row.outcome": str(outcome)} if outcome else {})
        )
        span.end(errors.get(id(record)))
