"""Where the tests' S3 comes from, best first: a given server, Docker, MinIO's program, and moto, which is not a real one."""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.servers.kafka import docker
from tests.servers.s3.minio import MINIO, LocalMinio
from tests.servers.s3.server import NoS3Error, S3Server

IMAGE: Final = "minio/minio:RELEASE.2025-09-07T16-13-09Z"
_PORT: Final = 9000
_KEY: Final = "container"
_SECRET: Final = "container-secret"  # noqa: S105 - of a container that lives as long as the run


class GivenS3:
    """S3_ENDPOINT_URL, with S3_ACCESS_KEY and S3_SECRET_KEY."""

    def __init__(self, endpoint_url: str) -> None:
        keys = os.environ.get("S3_ACCESS_KEY", ""), os.environ.get("S3_SECRET_KEY", "")
        if not all(keys):
            raise NoS3Error("S3_ENDPOINT_URL is set: S3_ACCESS_KEY and S3_SECRET_KEY are needed, too.")
        self.server = S3Server(endpoint_url, *keys, "given by S3_ENDPOINT_URL")

    def start(self) -> None:
        if not self.server.answers():
            raise NoS3Error("The server of S3_ENDPOINT_URL does not answer, or refuses S3_ACCESS_KEY.")

    def stop(self) -> None:
        """It is not ours to stop."""


class ContainerS3:
    """MinIO in a container, by testcontainers."""

    server = S3Server("", _KEY, _SECRET, "MinIO in a container")

    def start(self) -> None:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import HttpWaitStrategy

        self._container = DockerContainer(IMAGE).with_exposed_ports(_PORT).with_command("server /data")
        self._container.with_envs(MINIO_ROOT_USER=_KEY, MINIO_ROOT_PASSWORD=_SECRET, MINIO_BROWSER="off")
        self._container.waiting_for(HttpWaitStrategy(_PORT, "/minio/health/ready")).start()
        # The engine is this machine's, as for Kafka's container; testcontainers may name its bridge, which tests do not allow.
        port = self._container.get_exposed_port(_PORT)
        self.server = replace(self.server, endpoint_url=f"http://127.0.0.1:{port}")

    def stop(self) -> None:
        self._container.stop()


class MotoS3:
    """moto's imitation, in this process: stores and lists, but checks neither keys nor policies."""

    server = S3Server("", "moto", "moto", "moto, which is not a real S3")

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._moto.start()
        host, port = self._moto.get_host_and_port()
        self.server = replace(self.server, endpoint_url=f"http://{host}:{port}")

    def stop(self) -> None:
        self._moto.stop()


S3 = GivenS3 | ContainerS3 | LocalMinio | MotoS3


def choose_s3(say: Callable[[str], None]) -> S3:
    """The first that is to be had; it may have to be built, as `say` hears, moto at last, too. Raises NoS3Error."""
    given = os.environ.get("S3_ENDPOINT_URL")
    if given:
        return GivenS3(given)
    if docker.can_run():
        return ContainerS3()
    try:
        return LocalMinio(say=say)
    except NoS3Error as exc:
        if not _has_moto():
            raise
        say(f"{exc} The tests go on with {MotoS3.server.description}.")
        return MotoS3()


def _has_moto() -> bool:
    return not os.environ.get("REQUIRE_REAL_SERVICES") and importlib.util.find_spec("moto") is not None


def describe_choice() -> str:
    """What choose_s3 will give, for the header of the run."""
    if os.environ.get("S3_ENDPOINT_URL"):
        return "given by S3_ENDPOINT_URL"
    if docker.can_run():
        return ContainerS3.server.description
    if MINIO.find() is not None:
        return "MinIO, its program"
    if MINIO.can_be_had():
        return f"MinIO {MINIO.version}, to be built with Go: that takes minutes, once"
    return MotoS3.server.description if _has_moto() else "none"
