"""Goes through the rows, and has the state of each sent as persist does: under the same lock, as the row is at that moment."""

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from schemas.events import MediaKind
from schemas.tables import ar_contents, videos
from service.backfill.pace import SendGate
from service.republish.run import Republish
from service.tenants.explained import explained
from service.tenants.values import RowError
from streams.kafka.records import InboundRecord
from streams.persist.batch import DatabaseDownError
from streams.rows.last_write_wins import Row
from streams.rows.queries import table_of
from streams.thumbnails.staleness import media_of_key

WINDOW: Final = 5_000
"""So many ids one query looks at: the time of each is bounded, in any table."""
LOOK_UPS: Final = 500
"""So many keys of the topic are looked up at once."""

SendStates = Callable[[Collection[Row]], int]
"""Sends the present states of some media, and returns how many it sent once the broker has them."""


def last_ids(engine: sa.Engine, kinds: Collection[MediaKind]) -> dict[MediaKind, int]:
    """Return the greatest id of each table; 0 where it is empty. Raises RowError."""
    with explained(), engine.connect() as connection:
        return {kind: connection.scalar(sa.select(sa.func.max(table_of(kind).c.id))) or 0 for kind in kinds}


@dataclass(frozen=True)
class Republisher:
    """Sends the states of a run, batch by batch.

    A batch of ids is read, then the states of its rows are read and sent under the lock of thumbnail.state, then it is
    written down by `save`. When the process dies in between, the next one sends the same bytes again, or newer ones.
    """

    engine: sa.Engine
    send: SendStates
    save: Callable[[Republish], None]
    on_batch: Callable[[], None] = lambda: None

    def run(self, run: Republish, gate: SendGate) -> bool:
        """Send what is left of `run`; return whether all is sent, False when it was stopped.

        Raises RowError, and KafkaException when the broker does not take a state; the run can then go on.
        """
        while (kind := run.kind) is not None and (room := gate.room()) > 0:
            ids, end = self._page(run, kind, room)
            sent = self._send({(kind, row_id) for row_id in ids})
            gate.sent(sent)
            run.sent += sent
            if end is None:
                run.kind_index, run.after_id = run.kind_index + 1, 0
            else:
                run.after_id = end
            self.save(run)
            self.on_batch()
        return run.kind is None

    def send_gone(self, run: Republish, records: Iterator[InboundRecord], stop: threading.Event) -> None:
        """Send null for each media that `records`, all of the topic's, show and that has no row any more."""
        shown = _shown_at_the_end(records)
        while not stop.is_set() and (some := list(islice(shown, LOOK_UPS))):
            gone = set(some) - self._present(some)
            run.gone += self._send(gone)
            self.on_batch()

    def count(self, run: Republish, stop: threading.Event) -> int:
        """Go through all rows of `run`, send nothing, and return the number of states. Raises RowError."""
        found = 0
        while (kind := run.kind) is not None and not stop.is_set():
            ids, end = self._page(run, kind, WINDOW)
            found += len(ids)
            run.kind_index, run.after_id = (run.kind_index + 1, 0) if end is None else (run.kind_index, end)
            self.on_batch()
        return found

    def _send(self, media: Collection[Row]) -> int:
        try:
            return self.send(media)
        except DatabaseDownError as exc:
            raise RowError(str(exc)) from exc

    def _page(self, run: Republish, kind: MediaKind, limit: int) -> tuple[list[int], int | None]:
        """Return up to `limit` of the next ids that `run` wants, and the id up to which all were seen; None at the end."""
        table = table_of(kind)
        column = table.c.id
        within = sa.select(column).where(column > run.after_id, column <= run.last_ids[kind])
        window = within.order_by(column).limit(WINDOW).subquery()
        with explained(), self.engine.connect() as connection:
            end = connection.scalar(sa.select(sa.func.max(window.c.id)))
            if end is None:
                return [], None
            source: Any = table
            if kind is MediaKind.VIDEO:
                source = videos.join(ar_contents, videos.c.ar_content_id == ar_contents.c.id)
            query = sa.select(column).select_from(source).where(column > run.after_id, column <= end)
            query = query.where(table.c.thumbnail_event_id.is_not(None))
            if run.company_id is not None:
                query = query.where(ar_contents.c.company_id == run.company_id)
            if run.since is not None:
                query = query.where(table.c.thumbnail_updated_at >= run.since.astimezone(UTC))
            ids = list(connection.scalars(query.order_by(column).limit(limit)))
        return ids, ids[-1] if len(ids) == limit else int(end)

    def _present(self, media: Collection[Row]) -> set[Row]:
        found: set[Row] = set()
        with explained(), self.engine.connect() as connection:
            for kind in MediaKind:
                column = table_of(kind).c.id
                ids = [row_id for of, row_id in media if of is kind]
                found |= {(kind, row_id) for row_id in connection.scalars(sa.select(column).where(column.in_(ids)))}
        return found


def _shown_at_the_end(records: Iterator[InboundRecord]) -> Iterator[Row]:
    shown: dict[bytes, None] = {}
    for record in records:
        if record.value is None:
            shown.pop(record.key or b"", None)
        else:
            shown[record.key or b""] = None
    return (media for key in shown if (media := media_of_key(key)) is not None)
