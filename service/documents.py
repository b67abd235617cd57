"""Documents made from the code: `python -m service.documents` writes them, with --check it only compares."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

from schemas.errors import NEXT_ACTIONS, ErrorCode
from schemas.metrics import Metrics
from schemas.topics import ALL_TOPICS, DAY_MS, Topic
from service.log_page import logs
from service.settings import Settings

_FOLDER: Final = Path(__file__).parent.parent / "docs"
_MADE: Final = "<!-- Made by `python -m service.documents`: change the code, not this page. -->\n\n"


def configuration() -> str:
    """Every setting, from the classes that read them."""
    lines = [
        "# Configuration\n",
        _MADE,
        "All settings come from the environment. Those that are not set have these values.\n",
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


def topics() -> str:
    """Every topic."""
    lines = ["# Topics\n", _MADE]
    lines.append(
        "| topic | partitions | kept for | key | value | written by | read by |\n|---|---|---|---|---|---|---|\n"
    )
    lines += [
        f"| `{topic.name}` | {topic.partitions} | {_kept_for(topic)} | {topic.key} | {topic.value} |"
        f" {topic.written_by} | {topic.read_by} |\n"
        for topic in ALL_TOPICS
    ]
    return "".join(lines)


def _kept_for(topic: Topic) -> str:
    return "ever, the last of each key" if topic.retention_ms < 0 else f"{topic.retention_ms // DAY_MS} days"


def errors() -> str:
    """Every error code with its next action."""
    lines = [
        "# Error codes\n",
        _MADE,
        "The code is the header `error-code`, the log field `error_code` and the metric label `code`.\n\n",
    ]
    lines.append("| code | what a person should do now |\n|---|---|\n")
    lines += [f"| `{code}` | {NEXT_ACTIONS[code]} |\n" for code in ErrorCode]
    return "".join(lines)


def metrics() -> str:
    """Every metric with its labels."""
    lines = [
        "# Metrics\n",
        _MADE,
        "Served by each role at `/metrics`.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
    ]
    collectors: dict[str, MetricWrapperBase] = {}
    for value in vars(Metrics()).values():
        if isinstance(value, MetricWrapperBase):
            collectors[value._name] = value  # noqa: SLF001 - the client has no public name for it
    for name, collector in collectors.items():
        suffix = "_total" if collector._type == "counter" else ""  # noqa: SLF001
        labels = ", ".join(collector._labelnames) or "-"  # noqa: SLF001
        lines.append(f"| `{name}{suffix}` | {collector._type} | {labels} | {collector._documentation} |\n")  # noqa: SLF001
    return "".join(lines)


DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "topics.md": topics,
    "errors.md": errors,
    "metrics.md": metrics,
    "logs.md": lambda: logs(_MADE),
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
        sys.stderr.write(f"Stale: {', '.join(stale)}. Run `python -m service.documents`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
