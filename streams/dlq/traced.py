"""Replays that go on with the traces of their letters."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from schemas import headers as h
from schemas.headers import Headers
from streams.dlq.sender import ReplaySender, Step
from streams.tracing import Tracing, sending


class TracedSender:
    """Another sender: each letter that it sends is told to the trace that the letter ended in."""

    def __init__(self, inner: ReplaySender, tracing: Tracing) -> None:
        self.is_transactional = inner.is_transactional
        self._inner: Final = inner
        self._tracing: Final = tracing

    def send(self, steps: Sequence[Step], now: datetime) -> None:
        """As in the contract."""
        received = [self._tracing.receive(letter) for letter, _ in steps]
        planned = [
            replace(step.record, headers=_continued(step.record.headers, letter.headers))
            for (_, step), (letter, _) in zip(steps, received, strict=True)
        ]
        try:
            with sending(self._tracing, planned) as records:
                traced = [
                    (letter, replace(step, record=record))
                    for (letter, step), record in zip(steps, records, strict=True)
                ]
                self._inner.send(traced, now)
        except BaseException as exc:
            for _, span in received:
                span.end(type(exc).__name__)
            raise
        for _, span in received:
            span.end()


def _continued(headers: Headers, letter: Headers) -> Headers:
    """`headers` in the place where they are, in the trace that `letter` says."""
    trace = {name: value for name, value in letter if name in (h.TRACEPARENT, h.TRACESTATE)}
    there = {name for name, _ in headers}
    changed = tuple((name, trace.get(name, value)) for name, value in headers)
    return changed + tuple((name, value) for name, value in trace.items() if name not in there)
