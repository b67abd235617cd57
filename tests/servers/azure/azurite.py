"""Azurite, Microsoft's own emulator of Azure Blob Storage: one process, all in memory, no longer life than its owner's."""

import base64
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import requests

from service.demo.processes import end_process, free_port, owned_folder, owned_process
from tests.servers import npm

if TYPE_CHECKING:  # the SDK is loaded where it is used: every run of the tests loads this file
    from azure.storage.blob import BlobServiceClient

ACCOUNT: Final = "localaccount"
START_TIMEOUT_S: Final = 60.0
_KEPT_AS: Final = "azurite"
_LOCK_FOLDER: Final = Path(__file__).parent / "node"


class NoAzureError(Exception):
    """No Azurite can be had; the message says what to install."""


@dataclass(frozen=True)
class AzureServer:
    """An account's address and key."""

    account_url: str
    account_key: str = field(repr=False)

    def service(self) -> "BlobServiceClient":
        """A new client of the SDK; close it."""
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient(self.account_url, credential=AzureNamedKeyCredential(ACCOUNT, self.account_key))

    def make_container(self, name: str) -> None:
        """A new container whose blobs everybody may read by their URLs."""
        with self.service() as service:
            service.create_container(name, public_access="blob")

    def remove_container(self, name: str) -> None:
        with self.service() as service:
            service.delete_container(name)


class Azurite:
    """A server with a key and a port of its own. start() and stop() from the main thread."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """Installs it if necessary and reports that. Raises NoAzureError."""
        if say is not None and npm.can_install() and not npm.is_installed(_KEPT_AS, "azurite"):
            say("Installing Azurite with npm. This happens once and may take a minute.")
        try:
            packages = npm.installed(_LOCK_FOLDER, _KEPT_AS, "azurite")
        except npm.NoPackagesError as exc:
            raise NoAzureError(f"No Azurite: {exc}.") from exc
        self._program: Final = packages / "azurite/dist/src/blob/main.js"
        self._folder: Final = owned_folder("thumbnails-azurite-")
        self._port: Final = free_port()
        key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.server: Final = AzureServer(f"http://127.0.0.1:{self._port}/{ACCOUNT}", key)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers. Raises NoAzureError."""
        log = self._folder / "server.log"
        options = ["--blobHost", "127.0.0.1", "--blobPort", str(self._port)]
        # The SDK asks for a version of the API that is newer than this Azurite, the last one for Node 20.
        options += ["--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck"]
        accounts = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.server.account_key}"}
        self._process = owned_process(["node", str(self._program), *options], log, os.environ | accounts)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-1000:]
                self.stop()
                raise NoAzureError(f"Azurite did not start. Its log ends with:\n{tail}")

    def _answers(self) -> bool:
        try:
            requests.get(self.server.account_url, timeout=2)
        except requests.RequestException:
            time.sleep(0.05)
            return False
        return True

    def stop(self) -> None:
        """End the server and leave no file behind."""
        process, self._process = self._process, None
        if process is not None:
            end_process(process)
        shutil.rmtree(self._folder, ignore_errors=True)


def describe_choice() -> str:
    """What Azurite() will use, for the header of the run."""
    if npm.is_installed(_KEPT_AS, "azurite"):
        return "Azurite, its program" if npm.can_install() else "none: Azurite is here, but Node is not"
    return "Azurite, to be installed with npm: that takes a minute, once" if npm.can_install() else "none"
