"""Asks and marks the media's row, so that what has been overtaken or deleted is not worked on again."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import structlog

from schemas.errors import ErrorCode, TransientError
from schemas.events import MAX_DATABASE_ID, MediaKind, MediaUploaded
from streams.kafka.records import Delivery
from streams.rows.last_write_wins import Row
from streams.rows.queries import TOMBSTONE, DeletedRow, NewestUpload, RowStates

log = structlog.get_logger(__name__)


class Stale(StrEnum):
    """Why an upload needs no thumbnails any more."""

    OVERTAKEN = "overtaken"
    DELETED = "deleted"
    ROW_GONE = "row_gone"
    SHOWN = "shown"


@dataclass(frozen=True)
class Place:
    """The row's view of an upload: why it needs no thumbnails any more, and which of its versions were given up."""

    stale: Stale | None = None
    given_up: tuple[str, ...] = ()


class UploadOrder:
    """Knows from the rows which upload of a media is the newest. The rows are the only state: nothing is remembered."""

    def __init__(self, rows: RowStates, executor: Executor) -> None:
        self._rows: Final = rows
        self._executor: Final = executor

    async def place_of(self, upload: MediaUploaded, delivery: Delivery) -> Place:
        """Return the place of an upload that is about to be worked on.

        An empty one, too, when the row cannot be asked: the result is compared with the row once more before it is written.
        """
        loop = asyncio.get_running_loop()
        try:
            row = await loop.run_in_executor(self._executor, self._rows.newest, upload.media)
        except TransientError as error:
            log.warning("staleness_check_skipped", reason=error.message, media=upload.media.record_key)
            return Place()
        return Place(_stale(row, upload, delivery), () if row is None else row.given_up)

    async def was_deleted(self, upload: MediaUploaded) -> bool:
        """Return whether the row says that the media was deleted after `upload`; False where it cannot be asked."""
        loop = asyncio.get_running_loop()
        try:
            row = await loop.run_in_executor(self._executor, self._rows.newest, upload.media)
        except TransientError:
            return False
        return row is not None and _is_deleted_since(row, upload)

    async def apply_deletion(self, row: Row, at: datetime, company_id: int | None = None) -> DeletedRow | None:
        """Mark the row of a deleted media, so that what is older than `at` is dropped; return whose it is, None without a row.

        The row gets the deletion's time, as if an upload of that time had come: retries of older uploads are then
        overtaken, and their results stale. It shows nothing any more. Uploads after it go on as ever. A row of another
        company than `company_id` stays as it is. Idempotent. Raises TransientError database.unavailable.
        """
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._rows.mark_deleted, *row, at, company_id
        )


def _is_deleted_since(row: NewestUpload, upload: MediaUploaded) -> bool:
    return row.event_id == TOMBSTONE and row.occurred_at >= upload.occurred_at


def _stale(row: NewestUpload | None, upload: MediaUploaded, delivery: Delivery) -> Stale | None:
    """Return why the upload is not worth decoding, or None.

    A first attempt is not overtaken by another upload, and its row may not be there yet.
    """
    if row is None:
        # A company that is not there yet waits for the database to catch up, and its rows may wait likewise. Of what
        # waited for its turn, nobody knows whether its company is there: the attempt shows it.
        waits = delivery.last_code in (ErrorCode.TENANT_UNKNOWN, ErrorCode.TENANT_LIMITED)
        return Stale.ROW_GONE if delivery.is_again and not waits else None
    if _is_deleted_since(row, upload):
        return Stale.DELETED
    newest, own = (row.occurred_at, row.event_id), (upload.occurred_at, upload.event_id)
    is_started_again = delivery.is_replay or upload.version in row.given_up
    if newest == own and row.is_ready and is_started_again:
        # Its folder would be another one: consumers would be given URLs of pictures that the row does not show.
        return Stale.SHOWN
    return Stale.OVERTAKEN if delivery.is_again and newest > own else None


def media_of_key(key: bytes | None) -> Row | None:
    """Return the kind and row id in a record's key, or None when it is no media key."""
    name, _, number = (key or b"").decode("ascii", "replace").partition(":")
    kinds = {"video": MediaKind.VIDEO, "ar_content": MediaKind.IMAGE}
    if name not in kinds or not number.isdigit() or len(number) > 10 or int(number) > MAX_DATABASE_ID:
        return None
    return kinds[name], int(number)
