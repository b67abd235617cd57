"""Structured logs: one line an event, JSON unless a person reads along, library logs in the same form."""

import contextvars
import logging
import re
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Literal, ParamSpec, TypeVar

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.observability.log_limits import LimitLibraries, LimitOurs, RepeatLimit, tell_held_back

T = TypeVar("T")
P = ParamSpec("P")

_QUIET_LIBRARIES: Final = (
    *("faust", "mode", "aiokafka", "alembic", "sqlalchemy.engine", "asyncio"),
    *("boto3", "botocore", "s3transfer", "urllib3", "requests", "yadisk", "azure", "google"),
    *("uvicorn", "opentelemetry"),
)
"""Below warnings these libraries log their internals and, with LOG_LEVEL=DEBUG, headers and signed URLs, which must never be logged."""
_QUERY: Final = re.compile(r"(?<=[^\s?])\?[^\s?'\"<>)=]+=[^\s'\"<>)]*")


def configure_logs(log_format: Literal["auto", "json", "console"], level: str, *, role: str) -> None:
    """Send everything to standard error; `role` stands in every line."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    limit = RepeatLimit()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            LimitOurs(limit),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(LimitLibraries(limit))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, tell_held_back],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                hide_queries,
                # The console's own way of showing exceptions prints local variables, and secrets with them.
                structlog.processors.JSONRenderer()
                if as_json
                else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def log_to_standard_error() -> None:
    """Keep standard output of a command for what programs read."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def hide_queries(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Return a processor that cuts the queries of URLs out of texts that others wrote: signatures stand there."""
    for name in ("event", "exception", "reason", "problem"):
        text = line.get(name)
        if isinstance(text, str) and "?" in text:
            line[name] = _QUERY.sub("?…", text)
    return line


class ContextThreads(ThreadPoolExecutor):
    """A thread pool whose calls run in the context of their submitter, so that their log lines name the event."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit the call with a copy of the current context."""
        run: Callable[..., Any] = contextvars.copy_context().run
        return super().submit(run, fn, *args, **kwargs)
