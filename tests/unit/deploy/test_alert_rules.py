"""The alert rules by Prometheus's own tool: they fire when they must, and each leads to a runbook that can be followed."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.dashboard import DASHBOARD, main
from service.cli.main import all_commands
from tests.conftest import missing
from tests.servers.prometheus import PROMETHEUS_FOLDER, find_promtool

RULES = sorted((PROMETHEUS_FOLDER / "rules").glob("*.yml"))
CASES = sorted((PROMETHEUS_FOLDER / "tests").glob("*.yml"))
RUNBOOKS = (PROMETHEUS_FOLDER.parents[1] / "docs" / "runbooks.md").read_text()


def alerts() -> list[dict[str, Any]]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def promtool(*arguments: str | Path) -> None:
    tool = find_promtool() or missing("No promtool: install Debian's package prometheus.")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    promtool("check", "config", PROMETHEUS_FOLDER / "prometheus.yml")
    promtool("check", "rules", *RULES)


def test_alerts_fire_when_they_must_and_not_otherwise() -> None:
    promtool("test", "rules", *CASES)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    names = [case["name"] for path in CASES for case in yaml.safe_load(path.read_text())["tests"]]
    for alert in alerts():
        assert sum(name.startswith(f"{alert['alert']} fires") for name in names) == 1
        assert sum(name.startswith(f"{alert['alert']} is quiet") for name in names) == 1


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_how_bad_it_is_and_where_its_runbook_stands(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{alert['alert'].lower()}"
    section = RUNBOOKS.partition(f"### {alert['alert']}\n")[2].partition("\n#")[0]
    assert [word for word in ("**Means.**", "**Look.**", "**Do.**") if word not in section] == []


def test_every_command_in_the_runbooks_exists() -> None:
    root = all_commands()
    commands = [shlex.split(found)[1:] for found in re.findall(r"`(thumbnails [^`]+)`", RUNBOOKS)]
    assert commands
    for words in commands:
        command: Any = root
        while words and not words[0].startswith("-") and hasattr(command, "commands"):
            assert words[0] in command.commands, words
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_the_dashboard_is_what_its_program_makes() -> None:
    assert main(["--check"]) == 0, f"{DASHBOARD} is stale"
