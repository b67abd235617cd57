"""PgBouncer in transaction mode before a PostgreSQL of the tests: the system's own, as it comes."""

import os
import pwd
import shutil
import time
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from service.demo.processes import end_process, free_port, owned_folder, owned_process
from tests.servers.postgres import answers, unprivileged_user

START_TIMEOUT_S: Final = 20.0
POOL_SIZE: Final = 3
"""Sessions of the server for all clients of one database: fewer than the tests have clients, so that they share."""


class NoPgBouncerError(Exception):
    """No PgBouncer can be had; the message says what to install."""


def find_pgbouncer() -> str | None:
    """The system's binary, which Debian has where only root's PATH looks."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def describe_choice() -> str:
    """For the header of the run."""
    return find_pgbouncer() or "not installed"


class PgBouncer:
    """Stands before the server of `url`; each database of that server is reached by its own name."""

    def __init__(self, url: str, *, pool_size: int = POOL_SIZE) -> None:
        binary = find_pgbouncer()
        if binary is None:
            raise NoPgBouncerError("No PgBouncer: install the package pgbouncer.")
        server = sa.make_url(url)
        self._user = unprivileged_user()  # it refuses root
        self.folder = owned_folder("thumbnails-pgbouncer-")
        self.port = free_port()
        self.url = server.set(host="127.0.0.1", port=self.port).render_as_string(hide_password=False)
        place = f"host={server.host} port={server.port or 5432} user={server.username}"
        if server.password:
            place += f" password={server.password}"
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = {place}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {pool_size}\nunix_socket_dir =\n"
        )
        if self._user:
            for path in (self.folder, settings):
                os.chown(path, pwd.getpwnam(self._user).pw_uid, -1)
        self._command = [binary, str(settings)]
        self.start()

    def start(self) -> None:
        """Start, also again on the same port after kill()."""
        self._process = owned_process(self._command, self._log, dict(os.environ), user=self._user)

    def kill(self) -> None:
        """End it at once: all connections break."""
        self._process.kill()
        self._process.wait()

    @property
    def _log(self) -> Path:
        return self.folder / "pgbouncer.log"

    def wait_until_it_answers(self) -> str:
        """Its URL, for the database of `url`."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NoPgBouncerError(f"PgBouncer did not start: {self._log.read_text(errors='replace')[-500:]}")
        return self.url

    def stop(self) -> None:
        end_process(self._process)
        shutil.rmtree(self.folder, ignore_errors=True)
