"""Takes what callers send by HTTP: checks it, publishes it, and answers when the broker has it. Knows no HTTP server."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from schemas.database_faults import explain_database_fault
from schemas.errors import ErrorCode, PermanentError
from schemas.events import Media, MediaUploaded
from schemas.faults import Fault, RefusedEventError, faults_in, of_the_whole
from schemas.headers import Headers
from schemas.topics import UNPREFIXED, Topics
from streams.ingest.placing import targets_in
from streams.ingest.requests import CheckTime, kafka_headers, read_request, uploads_record
from streams.ingest.role import FindRows
from streams.ingest.rules import IngestRules, Match, Target, UnplacedError, is_ours
from streams.ingest.tusd import FINISHED, PRE_CREATE, TusdHook, read_hook
from streams.kafka.acknowledged import Acknowledged
from streams.kafka.records import OutboundRecord

ROW_POLL_S: Final = 1.0
MAX_ROW_WAIT_S: Final = 10.0
"""tusd waits for 15 s, unless it is told otherwise."""
REMEMBERED: Final = 10_000

Send = Callable[[OutboundRecord], Awaitable[Acknowledged]]


@dataclass(frozen=True)
class Answer:
    """The answer to a caller, as JSON; `outcome` is a label of a metric."""

    status: int
    said: Mapping[str, Any]
    outcome: str


class NotYetError(Exception):
    """A dependency of the request is away: the caller shall come again. The message says what, in one sentence."""


@dataclass(frozen=True)
class IntakeOptions:
    """`rules` is None where no hooks of tusd are taken; `rows` is None where no rule looks anything up."""

    topics: Topics = UNPREFIXED
    rules: IngestRules | None = None
    rows: FindRows | None = None
    row_wait_s: float = MAX_ROW_WAIT_S


class Intake:
    """Each method raises PermanentError for what can never be taken, NotYetError, and what `send` raises."""

    def __init__(
        self,
        send: Send,
        options: IntakeOptions,
        check_time: CheckTime,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._send: Final = send
        self._options: Final = options
        self._check_time: Final = check_time
        self._now: Final = now
        self._finished: Final[OrderedDict[str, datetime]] = OrderedDict()

    async def take_event(self, body: bytes, http_headers: Mapping[str, str]) -> Answer:
        """Publish an event."""
        headers = kafka_headers(http_headers)
        event = read_request(body, headers)
        self._check_time("occurred_at", event.occurred_at, self._now())
        record = uploads_record(self._options.topics.uploads, event, headers)
        outcome = "uploaded" if isinstance(event, MediaUploaded) else "deleted"
        return Answer(202, {"accepted": [await self._publish(event.event_id, record)]}, outcome)

    async def take_hook(self, body: bytes, http_headers: Mapping[str, str]) -> Answer:
        """Publish what a hook of tusd says, where that is a finished upload; an upload without a rule is refused before it begins."""
        hook, rules = read_hook(body), self._options.rules
        if rules is None:
            raise of_the_whole(ErrorCode.NOTIFICATION_MALFORMED, "No rules say whose uploads are: set INGEST_RULES.")
        if hook.type == PRE_CREATE:
            return _before(rules, hook)
        if hook.type not in FINISHED or hook.is_partial or is_ours(hook.key):
            return Answer(200, {}, "skipped")
        match = rules.find(hook.bucket, hook.key, hook.metadata)
        if match is None:
            raise of_the_whole(
                ErrorCode.NOTIFICATION_MALFORMED,
                f"No rule is for bucket {hook.bucket[:63]!r} and key {hook.key[:200]!r}.",
            )
        if match.rule.skip:
            return Answer(200, {}, "skipped")
        headers = kafka_headers(http_headers)
        targets = await self._targets(match)
        sent = [await self._upload(hook, match, target, headers) for target in targets]
        return Answer(202, {"accepted": sent}, "uploaded")

    async def _targets(self, match: Match) -> Sequence[Target]:
        """Return whose the object is; a row may be written after its object, and is waited for a while."""
        try:
            if not match.rule.lookup:
                return [match.target()]
            until_s = time.monotonic() + min(self._options.row_wait_s, MAX_ROW_WAIT_S)
            while True:
                found = targets_in(match, await self._rows(match.key))
                if found:
                    return found
                if time.monotonic() >= until_s:
                    raise NotYetError(f"No row of the company has the path {match.key[:200]!r} yet.")
                await asyncio.sleep(ROW_POLL_S)
        except UnplacedError as exc:
            raise of_the_whole(ErrorCode.NOTIFICATION_MALFORMED, str(exc)) from exc

    async def _rows(self, path: str) -> Sequence[Any]:
        rows = self._options.rows
        if rows is None:
            raise AssertionError("a rule looks rows up, and there is no database")
        try:
            return (await asyncio.to_thread(rows.find, {path})).get(path, ())
        except SQLAlchemyError as exc:
            raise NotYetError(explain_database_fault(exc)) from exc

    async def _upload(self, hook: TusdHook, match: Match, target: Target, headers: Headers) -> Mapping[str, Any]:
        try:
            media = Media(
                kind=target.kind,
                id=target.id,
                ar_content_id=target.ar_content_id,
                key=match.key,
                content_type=hook.content_type,
                size_bytes=hook.size_bytes,
            )
            event = MediaUploaded(
                event_id=hook.event_id,
                occurred_at=self._finished_at(hook),
                company_id=target.company_id,
                media=media,
            )
        except ValidationError as exc:
            raise RefusedEventError(ErrorCode.NOTIFICATION_MALFORMED, faults_in(exc)) from exc
        return await self._publish(event.event_id, uploads_record(self._options.topics.uploads, event, headers))

    def _finished_at(self, hook: TusdHook) -> datetime:
        """Return when the first hook of the upload came: tusd gives no time, and repeats a hook that nobody has answered."""
        at = self._finished.setdefault(hook.event_id, self._now())
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)
        return at

    async def _publish(self, event_id: str, record: OutboundRecord) -> Mapping[str, Any]:
        place = await self._send(record)
        key = (record.key or b"").decode()
        return {
            "event_id": event_id,
            "key": key,
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
        }


def _before(rules: IngestRules, hook: TusdHook) -> Answer:
    """Return what tusd does with an upload that is to begin: its client gets the problems, and sends no bytes."""
    problems = rules.problems_with(hook.metadata)
    if not problems:
        return Answer(200, {}, "checked")
    faults = [Fault(field=None, value=None, message=problem) for problem in problems[:20]]
    body = json.dumps(refusal(RefusedEventError(ErrorCode.NOTIFICATION_MALFORMED, faults)))
    http = {"StatusCode": 400, "Body": body, "Header": {"Content-Type": "application/json"}}
    return Answer(200, {"RejectUpload": True, "HTTPResponse": http}, "refused")


def refusal(error: PermanentError) -> Mapping[str, Any]:
    """Return the body of an answer that says why nothing was published, with all that is wrong."""
    faults = error.faults if isinstance(error, RefusedEventError) else ()
    found = [fault.model_dump() for fault in faults] or [{"field": None, "value": None, "message": error.message}]
    return {"error": {"code": str(error.code), "message": error.message}, "faults": found}
