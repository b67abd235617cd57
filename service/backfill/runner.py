"""Goes through the rows: counts them in a dry run, or sends their events and writes down how far it is."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from schemas.events import MediaKind, MediaUploaded
from service.backfill.pace import SendGate
from service.backfill.rows import WINDOW, RowPages, event_of, record_key_of
from service.backfill.state import Reason, Run

SendAll = Callable[[list[MediaUploaded]], None]
"""Returns when the broker has every event, and raises when it has not."""


def count_rows(
    pages: RowPages, run: Run, stop: threading.Event, on_page: Callable[[], None] = lambda: None
) -> Counter[tuple[int, MediaKind]]:
    """Go through all rows of `run`, send nothing, and return the number of events by company id and kind.

    `run` gets what would be left out. Raises RowError.
    """
    counts = Counter[tuple[int, MediaKind]]()
    for uploads in batches_of(pages, run, lambda: 0 if stop.is_set() else WINDOW):
        counts.update((upload.company_id, upload.media.kind) for upload in uploads)
        on_page()
    return counts


@dataclass(frozen=True)
class Backfill:
    """Sends the events of a run, batch by batch.

    A batch is read when it may be sent, then sent, then written down by `save`. When the process dies in between, the
    next one sends the same events again, with the same ids, but for the rows that show their outcome by then.
    """

    pages: RowPages
    gate: SendGate
    send: SendAll
    save: Callable[[Run], None]
    on_batch: Callable[[], None] = lambda: None

    def run(self, run: Run) -> bool:
        """Send what is left of `run`; return whether all is sent, False when it was stopped.

        Raises RowError, TopicReadError, PublishError and what `save` raises; the run can then go on from its state.
        """
        for uploads in batches_of(self.pages, run, self.gate.room):
            if uploads:
                self.send(uploads)
                self.gate.sent(len(uploads))
                run.sent += len(uploads)
            self.save(run)
            self.on_batch()
        return run.kind is None


def batches_of(pages: RowPages, run: Run, room: Callable[[], int]) -> Iterator[list[MediaUploaded]]:
    """Yield the events of each page, maybe none, with `run` moved behind it; end after the last one, or without room."""
    while (kind := run.kind) is not None and (limit := room()) > 0:
        page = pages.page(run, kind, limit)
        uploads = []
        for row in page.rows:
            event = event_of(kind, row, run.name)
            if isinstance(event, Reason):
                run.leave_out(event, record_key_of(kind, row))
            else:
                uploads.append(event)
        if page.is_last:
            run.kind_index, run.after_id = run.kind_index + 1, 0
        else:
            run.after_id = page.after_id
        yield uploads
