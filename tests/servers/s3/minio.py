"""A MinIO of our own: one process, one folder, one free port, and no longer life than its owner's."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Final

from service.demo.processes import end_process, free_port, owned_folder, owned_process
from tests.servers.certificates import Certificates
from tests.servers.go_tool import GoTool, NoToolError
from tests.servers.s3.server import NoS3Error, S3Server

MINIO: Final = GoTool("minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")
START_TIMEOUT_S: Final = 30.0
_FOLDER_PREFIX: Final = "thumbnails-minio-"


class LocalMinio:
    """A server on a port and with keys that stay the same; its objects survive stop_process() and kill().

    start() and stop() from the main thread.
    """

    def __init__(self, *, tls: Certificates | None = None, say: Callable[[str], None] | None = None) -> None:
        """With `tls` it speaks https alone. Builds the program if necessary and reports that. Raises NoS3Error."""
        try:
            self._binary: Final = MINIO.get(say)
        except NoToolError as exc:
            raise NoS3Error(str(exc)) from exc
        self.folder: Final = owned_folder(_FOLDER_PREFIX)
        self.port: Final = free_port()
        self.endpoint_url: Final = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.access_key: Final = f"local-{secrets.token_hex(4)}"
        self.secret_key: Final = secrets.token_hex(16)
        self._tls: Final = tls
        self._process: subprocess.Popen[bytes] | None = None
        self.settings: dict[str, str] = {}
        """More of MinIO's own variables, as of its next start."""
        for name in ("data", "certificates"):
            (self.folder / name).mkdir()

    @property
    def server(self) -> S3Server:
        """Where it is, with its owner's keys."""
        ca_file = self._tls.ca_file if self._tls else None
        return S3Server(self.endpoint_url, self.access_key, self.secret_key, "MinIO of our own", ca_file=ca_file)

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start, and return when it takes requests; with the objects that it had. Raises NoS3Error."""
        log = self.folder / "server.log"
        self._process = owned_process(self._command(), log, self._environment())
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.server.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-1000:]
                self.stop()
                raise NoS3Error(f"MinIO did not start. Its log ends with:\n{tail}")

    def _command(self) -> list[str]:
        # Always a folder of its own: certificates in the user's would switch TLS on.
        certificates = self._tls.folder if self._tls else self.folder / "certificates"
        options = ["--quiet", "--address", f"127.0.0.1:{self.port}", "--certs-dir", str(certificates)]
        return [str(self._binary), "server", *options, str(self.folder / "data")]

    def _environment(self) -> dict[str, str]:
        # A developer's own settings must not decide what is started.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MINIO_")}
        return (
            inherited
            | self.settings
            | {
                "MINIO_ROOT_USER": self.access_key,
                "MINIO_ROOT_PASSWORD": self.secret_key,
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",  # it would ask for newer versions
                "MINIO_CALLHOME_ENABLE": "off",
            }
        )

    def stop_process(self) -> None:
        """End the server in good order, and keep its objects."""
        process, self._process = self._process, None
        if process is not None:
            end_process(process)

    def kill(self) -> None:
        """End the server as a power cut would, and keep its objects."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> None:
        """End the server in good order and start it again, on the same port."""
        self.stop_process()
        self.start()

    def stop(self) -> None:
        """End the server and leave no file behind. Stopping twice is harmless."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
