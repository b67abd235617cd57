"""Bugs in what results say and show, which counts of records and rows do not reveal: `--plant NAME`."""

from typing import Final

from tests.campaign.chaos.plan import FaultKind
from tests.campaign.chaos.plants import PLANTS, Edit, Plant

_SERVICE: Final = "streams/thumbnails/service.py"
_DEAD_LETTER: Final = "streams/failures/dead_letter.py"
_ROWS: Final = "streams/rows/postgres.py"

CONTENT_PLANTS: Final = {
    "mix-up-pictures": Plant(
        "each upload gets the pictures of the job before it, as when a slot mixes up two jobs",
        (
            Edit(
                _SERVICE,
                "            made = await self._maker.create_thumbnails(counted, spec, kind=kind, tenant=str(upload.company_id))\n",
                "            made = await self._maker.create_thumbnails(counted, spec, kind=kind, tenant=str(upload.company_id))\n"
                '            self._last, made = made, getattr(self, "_last", made)\n',
            ),
        ),
        frozenset({"wrong picture"}),
    ),
    "blame-another-company": Plant(
        "a ready event names another company than the upload's",
        (Edit(_SERVICE, "            company_id=upload.company_id,\n", "            company_id=1,\n"),),
        frozenset({"wrong event"}),
    ),
    "placeholder-of-nobody": Plant(
        "every placeholder is the same",
        (Edit(_SERVICE, "placeholder=made.placeholder,", 'placeholder="AAAAAAAAAAAAAAAA",'),),
        frozenset({"wrong picture"}),
    ),
    "sides-swapped": Plant(
        "width and height of a rendition are swapped in what is said of it",
        (
            Edit(
                "streams/thumbnails/confirmed_put.py",
                "width=rendition.width,",
                "width=rendition.height,",
            ),
        ),
        frozenset({"wrong object"}),
    ),
    "fall-back-without-reason": Plant(
        "every fifth media is stored in fallback storage, although its own works",
        (
            Edit(
                "streams/thumbnails/store.py",
                'Raises ThumbnailError where neither can be.\n        """\n',
                'Raises ThumbnailError where neither can be.\n        """\n'
                "        if upload.media.row_id % 5 == 0:\n"
                '            tenant = self._calls.tenants.fallback_for(tenant, "storage.unavailable") or tenant\n',
            ),
        ),
        frozenset({"fallback without reason"}),
    ),
    "lose-the-bytes": Plant(
        "a dead letter keeps the event's id alone",
        (
            Edit(
                _DEAD_LETTER,
                "OutboundRecord(topic, record.key, record.value, headers)",
                'OutboundRecord(topic, record.key, b\'{"event_id": "x"}\', headers)',
            ),
        ),
        frozenset({"wrong dead letter"}),
    ),
    "lose-strange-headers": Plant(
        "a dead letter keeps headers of plain text alone",
        (
            Edit(
                _DEAD_LETTER,
                "h.without_headers(delivery.record.headers, _RETRY_HEADERS)",
                "tuple(item for item in delivery.record.headers if item[1] and item[1].isascii())",
            ),
        ),
        frozenset({"wrong dead letter"}),
    ),
    "drop-the-malformed": Plant(
        "what is no event gets no dead letter",
        (
            Edit(
                "streams/worker/failure.py",
                "        records = [dead_letter]\n",
                "        records = [dead_letter] if work.upload is not None else []\n",
            ),
        ),
        frozenset({"lost"}),
    ),
    "announce-twice": Plant(
        "every ready event is sent twice",
        (
            Edit(
                "streams/worker/failure.py",
                "return Outcome(ending, status, records,",
                "return Outcome(ending, status, records * 2 if ending is Ending.READY else records,",
            ),
        ),
        frozenset({"duplicates"}),
    ),
    "hand-on-late": Plant(
        "a retry is handed on six seconds too late",
        (
            Edit(
                "streams/retry/role.py",
                "self._rules.due_at(record, now)",
                'self._rules.due_at(record, now) + __import__("datetime").timedelta(seconds=6)',
            ),
        ),
        frozenset({"late"}),
    ),
    "drop-replays": Plant(
        "an upload that was replayed is dropped as if its row were gone",
        (
            Edit(
                "streams/worker/handler.py",
                "            if stale is not None:\n",
                "            stale = Stale.ROW_GONE if delivery.is_replay else stale\n            if stale is not None:\n",
            ),
        ),
        frozenset({"lost"}),
    ),
    "ignore-tombstones": Plant(
        "a tombstone cancels nothing",
        (
            Edit(
                "streams/worker/removals.py",
                "        if media is None:\n",
                "        if media is not None:\n",
            ),
        ),
        frozenset({"tombstone"}),
    ),
    "keep-the-error": Plant(
        "a row that shows pictures again keeps the error of before",
        (
            Edit(
                _ROWS,
                "THEN given.error ELSE",
                "THEN coalesce(given.error, shown.thumbnail_error) ELSE",
            ),
        ),
        frozenset({"wrong row"}),
    ),
    "stamp-the-past": Plant(
        "a row says that it was changed an hour ago",
        (Edit(_ROWS, "THEN greatest(", "THEN -interval '1 hour' + greatest("),),
        frozenset({"wrong row"}),
    ),
    "refuse-in-an-outage": Plant(
        "a database that takes no writes makes results dead letters",
        (
            Edit(
                "schemas/database_faults.py",
                "    return state.startswith(_OF_A_VALUE)\n",
                '    return not state.startswith(("08", "57"))\n',
            ),
            Edit(  # the pool gives up connections that are read-only, so that this would hide the code
                "schemas/database_faults.py",
                "    if exc.connection_invalidated:\n        return False\n",
                "",
            ),
        ),
        frozenset({"refused result"}),
        (FaultKind.READ_ONLY_DATABASE,),
    ),
}
ALL_PLANTS: Final = {**PLANTS, **CONTENT_PLANTS}
