"""Notes when each alert is pending and when it fires, and what it says then."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


class Alerting(Protocol):
    """What is asked: Prometheus."""

    def alerts(self) -> list[dict[str, Any]]: ...


@dataclass
class Seen:
    """One alert, for one set of labels. Times are seconds after the fault; `fired_s` is None while it only was pending."""

    name: str
    labels: dict[str, str]
    true_s: float
    fired_s: float | None = None
    summary: str = ""
    description: str = ""
    runbook: str = ""


@dataclass
class AlertWatch:
    """From the moment of a fault on. `began` is that moment in Unix seconds."""

    source: Alerting
    began: float = field(default_factory=time.time)
    seen: dict[str, Seen] = field(default_factory=dict)

    def look(self) -> None:
        """Ask once, and note what is new."""
        for alert in self.source.alerts():
            labels: dict[str, str] = alert["labels"]
            true_s = datetime.fromisoformat(alert["activeAt"]).timestamp() - self.began
            found = self.seen.setdefault(str(sorted(labels.items())), Seen(labels["alertname"], labels, true_s))
            if alert["state"] == "firing" and found.fired_s is None:
                found.fired_s = time.time() - self.began
                texts = alert["annotations"]
                found.summary, found.description = texts["summary"], texts["description"]
                found.runbook = texts["runbook_url"]

    def fired(self) -> list[Seen]:
        """The alerts that fired, in their order."""
        return sorted(
            (seen for seen in self.seen.values() if seen.fired_s is not None), key=lambda seen: seen.fired_s or 0
        )

    def first(self, name: str) -> Seen | None:
        """The first of this name that fired."""
        return next((seen for seen in self.fired() if seen.name == name), None)


def active(source: Alerting) -> list[str]:
    """Names of the alerts that are pending or firing."""
    return sorted({alert["labels"]["alertname"] for alert in source.alerts()})
