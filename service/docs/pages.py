"""Documents made from the code: `python -m service.docs.pages` writes them, with --check it only compares."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

from schemas.errors import NEXT_ACTIONS, ErrorCode
from schemas.log_events import GROUPS, LogEvent
from schemas.metrics import Metrics
from service.docs.topic_pages import topics_page
from service.observability.log_limits import BURST, WINDOW_S
from service.settings import Settings

_FOLDER: Final = Path(__file__).parents[2] / "docs"
FIRST_SETTINGS: Final = {
    "KAFKA_BOOTSTRAP_SERVERS": "where Kafka is",
    "KAFKA_REPLICATION_FACTOR": "3 in production, before `thumbnails topics create`",
    "DATABASE_URL": "where the rows are: `postgresql://user:password@host/database`",
    "LOCAL_STORAGE_ROOT": "where companies without a storage of their own have their files: one folder for all workers",
    "LOCAL_STORAGE_URL": "how browsers reach that folder: the links in rows and events begin with it",
    "STORAGE_CREDENTIALS_KEY": "for companies with S3 or a Yandex Disk: `thumbnails credentials key` makes one",
}
_ABOUT_METRICS: Final = """\
Each role serves its own at `/metrics` on `HTTP_PORT`, in OpenMetrics for who asks for it: then latencies have the trace
of an example (`trace_id`, from the record's `traceparent`). Several roles on one host: give each its own `HTTP_PORT`.
`process_*` come from the Prometheus client: memory, processor time, start. Alerts: [runbooks.md](runbooks.md).

**Each event is counted once.** It is counted by the process that acknowledges it: what a rebalance or a stop takes away
unfinished is counted by its next owner alone. A second delivery in the same process, by the event's id and attempt, only
raises `thumbnail_redelivered_total`; a result that its row shows already does so in any process. What remains: a process
that is killed within the second between acknowledging and committing, and whose events come again elsewhere. Counts of
work (renditions stored, bytes read, slots restarted) count what was really done, a repetition included.

**Waiting is not a failure.** An event whose storage is paused (breaker open) is in `thumbnail_breaker_waiting_total` and, as
`storage.paused`, in `thumbnail_retries_total`, and in no count of outcomes. A persist role that waits for its database
shows it in `thumbnail_dependency_up` and in its lag.

**Lag costs little.** A thread asks the cluster every 5 s for the group's offsets and the topics' ends, and reads the oldest
unprocessed record of a partition only when that is a new one; a scrape asks nothing. About 1.5 ms of processor time each.

"""
_ABOUT_LOGS: Final = f"""One line an event, to standard error: JSON unless it is a terminal (`LOG_FORMAT`), from `LOG_LEVEL` on.

Every line has `event`, `level`, `logger`, `timestamp` and `role`; those about a record also `topic`, `partition`,
`offset` and, where it has a `traceparent` or [traces](traces.md) are on, `trace_id`; those about an upload `company_id`,
`media`, `attempt` and, when it failed, `error_code` ([errors.md](errors.md)).

Repeats are held back where the last column says so: {BURST} lines in {WINDOW_S:g} s are shown for each value of the fields there.
The first line after that time has `held_back`, the number of those that were not shown.
"""
_LIBRARIES_IN_LOGS: Final = """
## Libraries

Lines of Faust, aiokafka, librdkafka, boto3, urllib3, yadisk and others look the same, with their own text as `event` and
their name as `logger`. They are shown from warnings on, whatever `LOG_LEVEL` says, and repeats of one text are held back
in the same way. What follows the `?` of a URL is cut off: signatures stand there.
"""
_MADE: Final = "<!-- Made by `python -m service.docs.pages`: change the code, not this page. -->\n\n"


def configuration() -> str:
    """Return the page of settings, from the classes that read them."""
    lines = [
        "# Configuration\n",
        _MADE,
        "All settings come from the environment. Those that are not set have these values.\n",
        "\n## The first six\n",
        "\nMost installations set these and no other. `thumbnails check` says whether they work.\n",
        "\n| name | what for |\n|---|---|\n",
        *(f"| `{name}` | {what_for} |\n" for name, what_for in FIRST_SETTINGS.items()),
    ]
    for part in Settings().components():
        lines += [f"\n## {(part.__doc__ or '').rstrip('.')}\n", "\n| name | default | meaning |\n|---|---|---|\n"]
        for name, field in type(part).model_fields.items():
            lines.append(f"| `{name.upper()}` | `{_default(field)}` | {field.description} |\n")
    return "".join(lines)


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "number of cores"
    value = field.default
    if value is None or value == ():
        return "not set"
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)


def errors() -> str:
    """Return the page of error codes with their next actions."""
    lines = [
        "# Error codes\n",
        _MADE,
        "The code is the header `error-code`, the log field `error_code` and the metric label `code`.\n\n",
    ]
    lines.append("| code | what a person should do now |\n|---|---|\n")
    lines += [f"| `{code}` | {NEXT_ACTIONS[code]} |\n" for code in ErrorCode]
    return "".join(lines)


def metrics() -> str:
    """Return the page of metrics with their labels and the roles that export them."""
    declared = Metrics()
    lines = [
        "# Metrics\n",
        _MADE,
        _ABOUT_METRICS,
        "| metric | type | labels | roles | meaning |\n|---|---|---|---|---|\n",
    ]
    collectors: dict[str, MetricWrapperBase] = {}
    for value in vars(declared).values():
        if isinstance(value, MetricWrapperBase):
            collectors[value._name] = value  # noqa: SLF001 - the client has no public name for it
    for name, collector in collectors.items():
        suffix = "_total" if collector._type == "counter" else ""  # noqa: SLF001
        labels = ", ".join(collector._labelnames) or "-"  # noqa: SLF001
        roles = ", ".join(declared.roles[f"{name}{suffix}"])
        lines.append(f"| `{name}{suffix}` | {collector._type} | {labels} | {roles} | {collector._documentation} |\n")  # noqa: SLF001
    return "".join(lines)


def logs() -> str:
    """Return the page of log events."""
    lines = ["# Logs\n", _MADE, _ABOUT_LOGS]
    for title, events in GROUPS.items():
        lines += [f"\n## {title}\n", "\n| event | level | meaning | held back |\n|---|---|---|---|\n"]
        lines += [f"| `{event.name}` | {event.level} | {event.meaning} | {_held_back(event)} |\n" for event in events]
    return "".join([*lines, _LIBRARIES_IN_LOGS])


def _held_back(event: LogEvent) -> str:
    if event.limited_by is None:
        return "-"
    return "by " + ", ".join(f"`{name}`" for name in event.limited_by) if event.limited_by else "yes"


DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "topics.md": lambda: topics_page(_MADE),
    "errors.md": errors,
    "metrics.md": metrics,
    "logs.md": logs,
}


def main(arguments: list[str]) -> int:
    """Write every document; with --check, exit code 1 when one is stale."""
    stale = []
    for name, make in DOCUMENTS.items():
        path, text = _FOLDER / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"Stale: {', '.join(stale)}. Run `python -m service.docs.pages`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
