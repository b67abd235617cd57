"""The project's alerting rules, quicker: every duration is divided by one factor; counts, rates and shares stay."""

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tests.servers.prometheus import PROMETHEUS_FOLDER

SECONDS: Final = {
    "ThumbnailNoProgress": 300,
    "ThumbnailEventStuck": 180,
    "ThumbnailLagHigh": 300,
    "ThumbnailLagCritical": 1800,
    "ThumbnailRetriesLate": 120,
    "ThumbnailDeadLetterOld": 86400,
}
"""Alerts whose expression ends in a comparison with a number of seconds, and that number."""
AVERAGES: Final = frozenset(
    {
        "ThumbnailVisibleBurnsFast",
        "ThumbnailVisibleBurnsSlowly",
        "ThumbnailFailingShareHigh",
        "ThumbnailDeadLetterFlood",
    }
)
"""Alerts on a rate or a share over a window: at the same flow, a window that is longer is full later."""
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True)
class Alert:
    """What the report needs of a rule as it stands in deploy/."""

    name: str
    for_s: float
    severity: str


def real_alerts() -> dict[str, Alert]:
    """Every alert of deploy/, by its name."""
    groups = yaml.safe_load((PROMETHEUS_FOLDER / "rules" / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return {
        rule["alert"]: Alert(rule["alert"], _ms(rule.get("for", "0s")) / 1000, rule["labels"]["severity"])
        for rule in rules
    }


def slowest_look_s() -> float:
    """How long after a metric's change a rule may first see it: a scrape and an evaluation, as deployed."""
    settings = yaml.safe_load((PROMETHEUS_FOLDER / "prometheus.yml").read_text())["global"]
    return (_ms(settings["scrape_interval"]) + _ms(settings["evaluation_interval"])) / 1000


def scale(text: str, factor: float) -> str:
    """A file of rules with `for`, windows and SECONDS divided by `factor`, evaluated every second.

    Raises ValueError where a rule of SECONDS is not what is written here.
    """
    document = yaml.safe_load(text)
    for group in document["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            _scale_rule(rule, factor)
    scaled: str = yaml.safe_dump(document, sort_keys=False, width=1000)
    return scaled


def at_real_durations(alert: Alert, true_after_s: float, factor: float, *, slowed: bool) -> tuple[float, float]:
    """From when to when the real alert fires, in seconds after the fault.

    At the earliest as soon as its condition held in the drill, and its real `for`. At the latest, a scrape and an evaluation
    more; and where the condition itself is a matter of durations that were divided (`slowed`: the product's own), `factor` times
    as late. An age is reached `factor` times as late in any case, if the fault lasts as long.
    """
    slower_s = true_after_s * factor
    soonest_s = slower_s if alert.name in SECONDS else true_after_s
    latest_s = slower_s if slowed or alert.name in AVERAGES or alert.name in SECONDS else true_after_s
    return soonest_s + alert.for_s, latest_s + alert.for_s + slowest_look_s()


def _scale_rule(rule: dict[str, Any], factor: float) -> None:
    expression = re.sub(r"\[(\w+)\]", lambda found: f"[{_shorter(found[1], factor)}]", rule["expr"])
    seconds = SECONDS.get(rule.get("alert", ""))
    if seconds is not None:
        if len(re.findall(rf"> {seconds}\b", expression)) != 1:
            raise ValueError(f"{rule['alert']} does not compare with {seconds} s once: {expression}")
        expression = re.sub(rf"> {seconds}\b", f"> {seconds / factor:g}", expression)
    rule["expr"] = expression
    if "for" in rule:
        rule["for"] = _shorter(rule["for"], factor)


def _shorter(duration: str, factor: float) -> str:
    return f"{max(1, round(_ms(duration) / factor))}ms"


def _ms(duration: str) -> int:
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", duration)
    if found is None:
        raise ValueError(f"{duration} is no duration")
    return int(found[1]) * _UNITS_MS[found[2]]
