"""The drill's quick rules are the deployed ones: what is a duration is divided, and nothing else is."""

import re
from typing import Any

import pytest
import yaml

from tests.campaign.drill.rules import (
    AVERAGES,
    SECONDS,
    Alert,
    at_real_durations,
    real_alerts,
    scale,
    slowest_look_s,
)
from tests.servers.prometheus import PROMETHEUS_FOLDER

FILES = sorted((PROMETHEUS_FOLDER / "rules").glob("*.yml"))


def rules_of(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def scaled(factor: float) -> dict[str, dict[str, Any]]:
    rules = [rule for path in FILES for rule in rules_of(scale(path.read_text(), factor))]
    return {rule.get("alert") or rule["record"]: rule for rule in rules}


def test_durations_windows_and_ages_are_divided() -> None:
    quick = scaled(10)
    assert quick["ThumbnailKafkaDown"]["for"] == "6000ms"
    assert quick["ThumbnailRoleRestarting"]["expr"].endswith("[90000ms]) > 2")
    assert quick["ThumbnailLagHigh"]["expr"] == "thumbnail:lag_seconds:max > 30"
    assert "[30000ms]" in quick["thumbnail:visible_late:ratio5m"]["expr"]
    assert "> 30)" in quick["ThumbnailNoProgress"]["expr"]


def test_counts_rates_and_shares_stay() -> None:
    quick = scaled(10)
    assert quick["ThumbnailDeadLettersGrowing"]["expr"].endswith("> 20")
    assert quick["ThumbnailDeadLetterFlood"]["expr"].endswith("> 1")
    assert quick["ThumbnailVisibleBurnsFast"]["expr"].count("14.4 * 0.01") == 2


def test_by_a_factor_of_one_every_rule_says_what_it_said() -> None:
    for path in FILES:
        for before, after in zip(rules_of(path.read_text()), rules_of(scale(path.read_text(), 1)), strict=True):
            assert without_durations(after) == without_durations(before)


def without_durations(rule: dict[str, Any]) -> dict[str, Any]:
    return {name: re.sub(r"\[\w+\]", "[]", str(value)) for name, value in rule.items() if name != "for"}


def test_every_rule_that_compares_with_an_age_is_named() -> None:
    compares = {
        rule["alert"]: rule["expr"]
        for path in FILES
        for rule in rules_of(path.read_text())
        if "alert" in rule and re.search(r"> \d{3,}", rule["expr"])
    }
    ages = {
        name
        for name, expression in compares.items()
        if re.search(r"time\(\)|_seconds", expression) and "changes(" not in expression
    }
    assert ages == set(SECONDS)


def test_every_rule_on_an_average_is_named() -> None:
    averages = {
        rule["alert"]
        for path in FILES
        for rule in rules_of(path.read_text())
        if "alert" in rule and re.search(r"\brate\(|:ratio", rule["expr"])
    }
    assert averages == AVERAGES


def test_an_age_that_is_not_where_it_was_is_refused() -> None:
    text = yaml.safe_dump(
        {"groups": [{"rules": [{"alert": "ThumbnailLagHigh", "expr": "thumbnail:lag_seconds:max > 400"}]}]}
    )
    with pytest.raises(ValueError, match="ThumbnailLagHigh"):
        scale(text, 10)


@pytest.mark.parametrize(
    ("name", "slowed", "wanted"),
    [
        ("ThumbnailKafkaDown", False, (65.0, 105.0)),
        ("ThumbnailLagHigh", False, (350.0, 390.0)),
        ("ThumbnailDeadLetterFlood", False, (125.0, 210.0)),
        ("ThumbnailRoleRestarting", True, (5.0, 90.0)),
    ],
)
def test_what_a_drill_means_as_deployed(name: str, slowed: bool, wanted: tuple[float, float]) -> None:
    assert slowest_look_s() == 40
    assert at_real_durations(real_alerts()[name], 5.0, 10, slowed=slowed) == wanted


def test_an_alert_without_a_wait_fires_at_once() -> None:
    assert real_alerts()["ThumbnailRoleRestarting"] == Alert("ThumbnailRoleRestarting", 0.0, "critical")
