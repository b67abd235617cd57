"""fake-gcs-server, the usual emulator of Google Cloud Storage, with a double of Google's login before it."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests

from service.demo.processes import end_process, free_port, owned_folder, owned_process
from tests.servers.gcs.login import GoogleLogin
from tests.servers.go_tool import GoTool, NoToolError, find_go

if TYPE_CHECKING:  # the SDK is loaded where it is used: every run of the tests loads this file
    from google.cloud.storage import Client

FAKE_GCS: Final = GoTool("fake-gcs-server", "github.com/fsouza/fake-gcs-server", "v1.56.1")
START_TIMEOUT_S: Final = 30.0


class NoGcsError(Exception):
    """No emulator can be had; the message says what to install."""


@dataclass(frozen=True)
class GcsServer:
    """Where it is, and the key file of its one service account."""

    url: str
    key_file: dict[str, str] = field(repr=False)

    @property
    def credentials(self) -> dict[str, str]:
        """The fields of a connection's credentials, but for the bucket."""
        return {"endpoint": self.url, "service_account": json.dumps(self.key_file)}

    def client(self) -> "Client":
        """A new client of the SDK with all rights; close it."""
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        anybody: Any = AnonymousCredentials
        return Client(project="local", credentials=anybody(), client_options=ClientOptions(api_endpoint=self.url))

    def make_bucket(self, name: str) -> None:
        with closing(self.client()) as client:
            client.create_bucket(name)

    def remove_bucket(self, name: str) -> None:
        with closing(self.client()) as client:
            for blob in client.list_blobs(name):
                blob.delete()
            client.bucket(name).delete()


class FakeGcs:
    """A server of our own, all in memory. start() and stop() from the main thread."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """Builds the program if necessary and reports that. Raises NoGcsError."""
        try:
            self._binary: Final = FAKE_GCS.get(say)
        except NoToolError as exc:
            raise NoGcsError(str(exc)) from exc
        self._folder: Final = owned_folder("thumbnails-gcs-")
        self._port: Final = free_port()
        self._login: Final = GoogleLogin()
        self.server: Final = GcsServer(f"http://127.0.0.1:{self._port}", self._login.key_file)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers. Raises NoGcsError."""
        log = self._folder / "server.log"
        options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(self._port), "-backend", "memory"]
        options += ["-external-url", self.server.url, "-public-host", f"127.0.0.1:{self._port}", "-log-level", "error"]
        self._process = owned_process([str(self._binary), *options], log, dict(os.environ))
        self._login.__enter__()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-1000:]
                self.stop()
                raise NoGcsError(f"fake-gcs-server did not start. Its log ends with:\n{tail}")

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.server.url}/storage/v1/b?project=local", timeout=2).ok
        except requests.RequestException:
            time.sleep(0.05)
            return False

    def stop(self) -> None:
        """End the server and leave no file behind."""
        process, self._process = self._process, None
        if process is not None:
            self._login.__exit__(None, None, None)
            end_process(process)
        shutil.rmtree(self._folder, ignore_errors=True)


def describe_choice() -> str:
    """What FakeGcs() will use, for the header of the run."""
    if FAKE_GCS.find() is not None:
        return "fake-gcs-server, its program"
    return f"fake-gcs-server {FAKE_GCS.version}, to be built with Go" if find_go() else "none"
