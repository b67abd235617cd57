"""The ASGI application of `thumbnails ingest http`: two paths, and an answer for everything else."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.errors import NEXT_ACTIONS, ErrorCode, PermanentError
from schemas.metrics import Metrics
from service.ingest_http.tokens import Tokens
from streams.event_metrics import TaskType
from streams.ingest.intake import Answer, Intake, NotYetError, refusal
from streams.kafka.acknowledged import QueueFullError, UnacknowledgedError

log = structlog.get_logger(__name__)

EVENTS: Final = "/v1/events"
TUSD: Final = "/v1/tusd"
SOON_S: Final = 1
LATER_S: Final = 5
Take = Callable[[bytes, Mapping[str, str]], Awaitable[Answer]]


class _TooLargeError(Exception):
    """The body is longer than an event may be; the message says how long."""


class IngestApp:
    """Answers each request with JSON. Nothing is read of a request that shows no token."""

    def __init__(self, intake: Intake, tokens: Tokens, metrics: Metrics) -> None:
        self._tokens: Final = tokens
        self._metrics: Final = metrics
        self._paths: Final[Mapping[str, Take]] = {EVENTS: intake.take_event, TUSD: intake.take_hook}

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        answer, more = await self._answer(scope["method"], scope["path"], headers, receive)
        body = b"" if scope["method"] == "HEAD" else json.dumps(answer.said).encode() + b"\n"
        shown = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "cache-control": "no-store",
            **more,
        }
        encoded = [(name.encode(), value.encode()) for name, value in shown.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})
        self._note(answer, scope["path"], time.perf_counter() - began)

    async def _answer(
        self, method: str, path: str, headers: Mapping[str, str], receive: ASGIReceiveCallable
    ) -> tuple[Answer, Mapping[str, str]]:
        take = self._paths.get(path)
        if take is None:
            return _refused(404, "request.unknown_path", f"POST to {EVENTS} or {TUSD}.", "refused"), {}
        if method != "POST":
            return _refused(405, "request.method", "Only POST is answered here.", "refused"), {"allow": "POST"}
        if not self._tokens.know(headers.get("authorization")):
            said = "Give a token: Authorization: Bearer TOKEN, or as the password of Basic."
            challenge = {"www-authenticate": 'Bearer realm="thumbnails"', "connection": "close"}
            return _refused(401, "request.unauthorized", said, "unauthorized"), challenge
        try:
            return await take(await _body(headers, receive), headers), {}
        except _TooLargeError as exc:
            said = f"The value has {exc} bytes; at most {MAX_EVENT_BYTES} are read."
            error = PermanentError(ErrorCode.EVENT_TOO_LARGE, said)
            return _permanent(error), {"connection": "close"}
        except PermanentError as error:
            return _permanent(error), {}
        except QueueFullError as exc:
            return _refused(429, "ingest.busy", str(exc), "busy"), {"retry-after": str(SOON_S)}
        except (UnacknowledgedError, NotYetError) as exc:
            return _refused(503, "ingest.unavailable", str(exc), "unavailable"), {"retry-after": str(LATER_S)}
        except Exception:
            log.exception("ingest_internal_error")
            said = "A bug in the pipeline: its log has more."
            return _refused(500, str(ErrorCode.INTERNAL_ERROR), said, "unavailable"), {}

    def _note(self, answer: Answer, path: str, took_s: float) -> None:
        metrics = self._metrics
        metrics.ingest_requests_total.labels(answer.outcome).inc()
        accepted = answer.said.get("accepted", ())
        if accepted:
            metrics.task_execution_total.labels(TaskType.INGEST, "success").inc()
            metrics.task_execution_duration_seconds.labels(TaskType.INGEST).observe(took_s)
            metrics.last_progress_timestamp_seconds.set_to_current_time()
            log.info("request_taken", path=path, events=[(one["event_id"], one["key"]) for one in accepted])
        elif answer.status >= 400:
            error: Mapping[str, Any] = answer.said["error"]
            log.warning(
                "request_refused",
                path=path[:100],
                status=answer.status,
                error_code=error["code"],
                error=error["message"],
            )


async def _body(headers: Mapping[str, str], receive: ASGIReceiveCallable) -> bytes:
    """Return the request's body. Raises _TooLargeError, where it can before it is read."""
    said = headers.get("content-length", "0")
    if said.isdigit() and int(said) > MAX_EVENT_BYTES:
        raise _TooLargeError(said)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)  # the caller has gone
        body += message.get("body", b"")
        if len(body) > MAX_EVENT_BYTES:
            raise _TooLargeError(f"more than {MAX_EVENT_BYTES}")
        if not message.get("more_body"):
            return bytes(body)


def _permanent(error: PermanentError) -> Answer:
    status = 413 if error.code is ErrorCode.EVENT_TOO_LARGE else 400
    said = dict(refusal(error))
    said["error"] = {**said["error"], "next_action": NEXT_ACTIONS[error.code]}
    return Answer(status, said, "refused")


def _refused(status: int, code: str, message: str, outcome: str) -> Answer:
    return Answer(status, {"error": {"code": code, "message": message}, "faults": []}, outcome)
