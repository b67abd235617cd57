"""A real Prometheus for a test: scrapes given targets every second, with the rules of deploy/ evaluated as often."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from service.demo.processes import end_process, free_port, owned_process

PROMETHEUS_FOLDER: Final = Path(__file__).parents[2] / "deploy" / "prometheus"
START_TIMEOUT_S: Final = 20.0


def find_promtool() -> str | None:
    """Where promtool is."""
    return shutil.which("promtool")


def quick_rules(text: str) -> str:
    """Rules as they are in deploy/, looked at every second."""
    return re.sub(r"interval: \S+", "interval: 1s", text)


class Prometheus:
    """Debian's binary, in a folder of its own."""

    def __init__(
        self, folder: Path, targets: Mapping[str, Sequence[int]], rewrite: Callable[[str], str] = quick_rules
    ) -> None:
        """`targets` are ports on 127.0.0.1 by their role; its processes are called worker-0, worker-1 …

        `rewrite` makes of a file of rules what is evaluated here.
        """
        self._folder: Final = folder
        self._port: Final = free_port()
        self._config: Final = folder / "prometheus.yml"
        self._process: subprocess.Popen[bytes] | None = None
        config = yaml.safe_load((PROMETHEUS_FOLDER / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [
            self._rules(path, rewrite) for path in sorted((PROMETHEUS_FOLDER / "rules").glob("*.yml"))
        ]
        for job in config["scrape_configs"]:
            names = [name for group in job.pop("dns_sd_configs") for name in group["names"]]
            job["static_configs"] = [
                {"targets": [f"127.0.0.1:{port}"], "labels": {"role": role, "instance": f"{role}-{number}"}}
                for role in names
                for number, port in enumerate(targets.get(role, ()))
            ]
            del job["relabel_configs"]  # they take the role from the name in DNS
        self._config.write_text(yaml.safe_dump(config))

    def _rules(self, path: Path, rewrite: Callable[[str], str]) -> str:
        rules = self._folder / path.name
        rules.write_text(rewrite(path.read_text()))
        return str(rules)

    def start(self) -> None:
        """Return when it answers. Raises AssertionError when it does not."""
        command = ["prometheus", f"--config.file={self._config}", f"--storage.tsdb.path={self._folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{self._port}", "--enable-feature=exemplar-storage"]
        log = self._folder / "prometheus.log"
        self._process = owned_process(command, log, dict(os.environ))
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            end_process(self._process)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an instant query gives."""
        return list(self._ask("query", query=expression)["result"])

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or firing, with their texts as a person gets them."""
        return list(self._ask("alerts")["alerts"])

    def metric_names(self) -> set[str]:
        """Every name that it has samples of."""
        return set(self._ask("label/__name__/values"))

    def exemplars(self, metric: str) -> list[dict[str, Any]]:
        """The exemplars of a metric in the last minutes."""
        now = time.time()
        found = self._ask("query_exemplars", query=metric, start=str(now - 300), end=str(now))
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def _ask(self, path: str, **arguments: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}?{urlencode(arguments)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
