"""docs/logs.md, made from the list of log events."""

from typing import Final

from schemas.log_events import GROUPS, LogEvent
from service.observability.log_limits import BURST, WINDOW_S

_ABOUT: Final = f"""One line an event, to standard error: JSON unless it is a terminal (`LOG_FORMAT`), from `LOG_LEVEL` on.

Every line has `event`, `level`, `logger`, `timestamp` and `role`; those about a record also `topic`, `partition`,
`offset` and, where it has a `traceparent` or [traces](traces.md) are on, `trace_id`; those about an upload `company_id`,
`media`, `attempt` and, when it failed, `error_code` ([errors.md](errors.md)).

Repeats are held back where the last column says so: {BURST} lines in {WINDOW_S:g} s are shown for each value of the fields there.
The first line after that time has `held_back`, the number of those that were not shown.
"""
_LIBRARIES: Final = """
## Libraries

Lines of Faust, aiokafka, librdkafka, boto3, urllib3, yadisk and others look the same, with their own text as `event` and
their name as `logger`. They are shown from warnings on, whatever `LOG_LEVEL` says, and repeats of one text are held back
in the same way. What follows the `?` of a URL is cut off: signatures stand there.
"""


def logs(made: str) -> str:
    """Every event name of the log; `made` says that nobody writes this page by hand."""
    lines = ["# Logs\n", made, _ABOUT]
    for title, events in GROUPS.items():
        lines += [f"\n## {title}\n", "\n| event | level | meaning | held back |\n|---|---|---|---|\n"]
        lines += [f"| `{event.name}` | {event.level} | {event.meaning} | {_held_back(event)} |\n" for event in events]
    return "".join([*lines, _LIBRARIES])


def _held_back(event: LogEvent) -> str:
    if event.limited_by is None:
        return "-"
    return "by " + ", ".join(f"`{name}`" for name in event.limited_by) if event.limited_by else "yes"
