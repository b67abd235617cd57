"""Builds the images, starts the stack by `make up`, and proves both on a real engine: `python -m tests.deployment.containers`.

It needs a Docker engine with Compose 2 and no other package, uses a project of its own with new volumes, and removes both. The ports
are those of docs/compose.md. Exit code 1: something is not as promised; 2: there is no engine.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = "thumbnails-test"
A_PICTURE: Final = ROOT / "docs" / "images" / "web-desktop-light.png"
NO_ENGINE: Final = "No Docker engine with Compose 2 answers here, so that the images and the stack were not tried."
HARDENED: Final = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108
ANY_USER: Final = "1000660000:0"
"""A user id that no image knows, as OpenShift gives it."""
PICTURE_BOUND_S: Final = 180.0
ROLES: Final = ("worker", "persist", "retry")


class BrokenPromiseError(Exception):
    """What is not as promised."""


def main() -> int:
    """Prove all, one line each; the stack's logs follow when something is not as promised."""
    if not has_engine():
        sys.stderr.write(f"{NO_ENGINE}\n")
        return 2
    environment = os.environ | {"COMPOSE_PROJECT_NAME": PROJECT}
    stack = Stack(environment)
    try:
        stack.prove()
    except (BrokenPromiseError, OSError) as problem:
        sys.stderr.write(f"NOT AS PROMISED: {problem}\n{stack.compose('logs', '--tail', '20', allowed=(0, 1))}\n")
        return 1
    finally:
        stack.compose("--profile", "ingest", "down", "--volumes", allowed=(0, 1))
    return 0


def has_engine() -> bool:
    """Return whether a Docker engine with Compose answers."""
    if shutil.which("docker") is None:
        return False
    asked = [["docker", "version", "--format", "{{.Server.Version}}"], ["docker", "compose", "version"]]
    return all(subprocess.run(command, capture_output=True, check=False).returncode == 0 for command in asked)


def until(bound_s: float, what: str, is_so: Callable[[], bool]) -> None:
    """Return as soon as it is so. Raises BrokenPromiseError after `bound_s`."""
    deadline = time.monotonic() + bound_s
    while not is_so():
        if time.monotonic() > deadline:
            raise BrokenPromiseError(f"{what}: not within {bound_s:g} s")
        time.sleep(1)


def fetched(url: str) -> tuple[int, str, bytes]:
    """Return status, media type and content."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read()


class Stack:
    """The project's containers. Every method raises BrokenPromiseError."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment: Final = environment

    def run(self, *command: str, allowed: tuple[int, ...] = (0,)) -> str:
        """Return what the command wrote, on both streams."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode not in allowed:
            raise BrokenPromiseError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-3000:]}")
        return done.stdout

    def compose(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
        return self.run("docker", "compose", *arguments, allowed=allowed)

    def inspected(self, *names: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("docker", "inspect", *names))
        return found

    def prove(self) -> None:
        """From `make up` on an engine without our images to the picture, and down again."""
        started = time.monotonic()
        said = self.run("make", "up")
        say(f"make up: {time.monotonic() - started:.0f} s")
        self.prove_picture(said)
        self.prove_images()
        self.prove_containers()
        self.prove_scraping()
        self.prove_stops()

    def prove_picture(self, said: str) -> None:
        """`make up` ends with a URL that answers with a picture, out of the tenant's own storage, and with the page."""
        lines = [line.strip() for line in said.splitlines()]
        url = next((line for line in lines if line.startswith("http://") and line.endswith(".webp")), "")
        if not url.startswith("http://localhost:9000/sample-media/"):
            raise BrokenPromiseError(f"make up ends without the sample's URL in its own storage: {said[-2000:]}")
        status, media_type, content = fetched(url)
        if (status, media_type, content[8:12]) != (200, "image/webp", b"WEBP"):
            raise BrokenPromiseError(f"{url} answers {status} {media_type}")
        say(f"the picture: {url} answers {status} {media_type}, {len(content)} bytes")
        page = "http://localhost:8091/login"
        status, media_type, _ = fetched(page)
        say(f"{page} answers {status} {media_type}")

    def prove_images(self) -> None:
        """Sizes, labels, any user id, a root that cannot be written; the light image says what it cannot do."""
        full, light = (self.inspected(self._container(name))[0]["Config"]["Image"] for name in ("worker", "persist"))
        for image in (full, light):
            (facts,) = self.inspected(image)
            config = facts["Config"]
            labels = {
                name.rpartition(".")[2]: value for name, value in config["Labels"].items() if "opencontainers" in name
            }
            if config["User"] != "10001:0" or "Healthcheck" not in config or config["Entrypoint"][0] != "tini":
                raise BrokenPromiseError(f"{image}: user {config['User']}, entrypoint {config['Entrypoint']}")
            say(f"{image}: {facts['Size'] / 1e6:.0f} MB, version {labels['version']}, revision {labels['revision']}")
        mounts = ("--volume", f"{A_PICTURE}:/mine/picture.png:ro", "--tmpfs", "/out:mode=1777")
        made = self.run(
            *("docker", "run", "--rm", "--user", ANY_USER, *HARDENED, *mounts, full),
            *("make", "/mine/picture.png", "--out", "/out"),
        )
        if "large 640x" not in made:
            raise BrokenPromiseError(f"as user {ANY_USER} with a read-only root: {made}")
        say(f"user {ANY_USER}, read-only root, no capability: {made.splitlines()[0]}")
        refused = self.run("docker", "run", "--rm", light, "worker", allowed=(1,))
        if "use the other one" not in refused or "Traceback" in refused:
            raise BrokenPromiseError(f"the light image as worker: {refused}")

    def prove_containers(self) -> None:
        """Every service is healthy, or has ended with 0; ours have a read-only root and no right."""
        ids = self.compose("ps", "--all", "--quiet").split()
        for facts in self.inspected(*ids):
            name, state, host = (
                facts["Config"]["Labels"]["com.docker.compose.service"],
                facts["State"],
                facts["HostConfig"],
            )
            ended_well = state["Status"] == "exited" and state["ExitCode"] == 0
            health = state.get("Health", {}).get("Status", "no health check")
            if not ended_well and health != "healthy":
                raise BrokenPromiseError(f"{name}: {state['Status']}, {health}")
            is_ours = facts["Config"]["Image"].startswith("thumbnail-pipeline")
            if is_ours and (not host["ReadonlyRootfs"] or host["CapDrop"] != ["ALL"] or not host["Memory"]):
                raise BrokenPromiseError(f"{name}: {host['ReadonlyRootfs']}, {host['CapDrop']}, {host['Memory']}")
            say(f"{name}: {'ended with 0' if ended_well else health}, at most {host['Memory'] // 2**20} MiB")

    def prove_scraping(self) -> None:
        """Prometheus reads every container of a role, also of one that was scaled."""
        self.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "worker=2", "worker")
        wanted = ["persist", "retry", "worker", "worker"]

        def scraped() -> list[str]:
            query = "http://localhost:9090/api/v1/query?query=up%7Bjob%3D%22thumbnails%22%7D%20%3D%3D%201"
            return sorted(found["metric"]["role"] for found in json.loads(fetched(query)[2])["data"]["result"])

        until(PICTURE_BOUND_S, "Prometheus reads two workers, persist and retry", lambda: scraped() == wanted)
        say(f"Prometheus reads {', '.join(scraped())}")

    def prove_stops(self) -> None:
        """Roles end with 0 when they are stopped."""
        self.compose("stop", *ROLES)
        ids = self.compose("ps", "--all", "--quiet", *ROLES).split()
        codes = {facts["Name"]: facts["State"]["ExitCode"] for facts in self.inspected(*ids)}
        if set(codes.values()) != {0}:
            raise BrokenPromiseError(f"exit codes after a stop: {codes}")
        say(f"stopped with 0: {', '.join(sorted(codes))}")

    def _container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service).split()[0]


def say(line: str) -> None:
    """Write a line of the transcript at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
