"""Whether a Docker engine answers; asked once."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def docker_answers() -> bool:
    """Whether containers can be started here."""
    if not Path("/var/run/docker.sock").exists():
        return False
    docker: Any = importlib.import_module("docker")
    try:
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except docker.errors.DockerException:
        return False
