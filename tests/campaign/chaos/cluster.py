"""The installation that a campaign works on: real services, and the roles as processes that are restarted when they end."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.campaign.chaos.evidence import Places, processes_of
from tests.campaign.chaos.uploads import GLOBEX
from tests.servers import postgres as postgres_service
from tests.servers.disks import NoDiskError, small_disk
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.postgres import NoPostgresError, SystemPostgres
from tests.servers.s3.minio import LocalMinio
from tests.servers.s3.server import S3Server
from tests.servers.toxiproxy import Proxy, Toxiproxy
from tests.system.platform import Platform
from tests.system.stack import run_cli, settings_for
from tests.system.supervisor import Role, Supervisor
from tests.system.tenants import BucketStore, Tenant, add_tenant

ROLES: Final = {"worker": 3, "persist": 2, "retry": 1}
FEW_ROLES: Final = {"worker": 2, "persist": 1, "retry": 1}
BUCKET: Final = "chaos"
DISK_BYTES: Final = 256 << 20
GONE_TIMEOUT_S: Final = 10.0
_SETTINGS: Final = {
    "RETRY_DELAYS_S": "2,4,8",
    "DECODE_SLOTS": "1",
    "DECODE_TIMEOUT_S": "60",  # three workers share the processors with all the services
    "WORKER_CONCURRENCY": "4",
    "STORAGE_ALLOWED_NETWORKS": "127.0.0.0/8",
    "STORAGE_ALLOW_HTTP": "true",
    "STORAGE_READ_TIMEOUT_S": "5",
    "STORAGE_BREAKER_OPEN_S": "2",
}


class NoClusterError(Exception):
    """The installation cannot be set up; the message says why."""


@dataclass
class Cluster:
    """What faults are made on. `no_disk` says why the disk cannot be filled here, where that is so."""

    kafka: ApacheKafka
    postgres: SystemPostgres
    s3_server: S3Server
    s3_door: Proxy
    platform: Platform
    supervisor: Supervisor
    places: Places
    marker: str
    environment: Mapping[str, str]
    no_disk: str | None = None
    clock_skew_s: float = 0.0
    retired: list[Role] = field(default_factory=list)
    _worker_pids: set[int] = field(default_factory=set)

    def supervise(self) -> None:
        """Restart what has ended."""
        self.supervisor.restart_ended()
        self._worker_pids |= {role.process.pid for role in self.supervisor.of("worker")}

    def add_worker(self) -> Role:
        """One more; it is supervised from now on."""
        self.supervisor.start("worker")
        self.supervise()
        return self.supervisor.of("worker")[-1]

    def retire(self, role: Role) -> None:
        """Ask a role to end, and do not restart it."""
        self.supervisor.roles.remove(role)
        self.retired.append(role)
        role.process.terminate()

    def stop_roles(self) -> dict[str, int]:
        """End all roles in good order: the exit codes that are not 0, by role."""
        codes = self.supervisor.stop()
        for number, role in enumerate(self.retired):
            code = role.process.wait(60)
            if code != -signal.SIGTERM or _was_ready(role):
                codes[f"{role.log.stem} (retired {number})"] = code
        return {name: code for name, code in codes.items() if code != 0}

    def kill_roles(self) -> None:
        """End whatever still runs; those that have ended are left alone."""
        for role in [*self.supervisor.roles, *self.retired]:
            role.process.kill()
            role.process.wait()

    def survivors(self) -> list[str]:
        """Return the pipeline's processes that remain after all roles have ended."""
        deadline = time.monotonic() + GONE_TIMEOUT_S
        while (found := processes_of(self._worker_pids, self.marker)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return found


def _was_ready(role: Role) -> bool:
    """Whether the role's process had come so far as to say so: before that, SIGTERM ends any program at once."""
    log = role.log.read_text(errors="replace")
    began = log.find(f'"pid": {role.process.pid}')
    return began >= 0 and "role_ready" in log[began:]


@contextmanager
def a_cluster(
    folder: Path,
    source: Path,
    say: Callable[[str], None],
    roles: Mapping[str, int] = ROLES,
    changes: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Cluster]:
    """Everything up and proven, so many `roles` from the tree `source`; nothing of it is left afterwards.

    `changes` are settings that go over ours. From the main thread. Raises NoClusterError, and what the services raise that cannot be had.
    """
    binaries = postgres_service.system_binaries()
    if binaries is None:
        raise NoPostgresError("No PostgreSQL of the system's own: install the package postgresql.")
    with ExitStack() as stack:
        no_disk = _mount_storage(stack, folder / "storage")
        kafka = ApacheKafka()
        stack.callback(kafka.stop)
        postgres = SystemPostgres(binaries)
        stack.callback(postgres.stop)
        minio = LocalMinio(say=say)
        stack.callback(minio.stop)
        toxiproxy = Toxiproxy(say=say)
        stack.callback(toxiproxy.stop)
        servers, server_url = kafka.start(), postgres.start()
        minio.start()
        toxiproxy.start()
        minio.server.make_bucket(BUCKET)
        door = toxiproxy.proxy(minio.endpoint_url)
        url = postgres_service.new_database(server_url)
        places = Places(
            servers, url, minio.endpoint_url, minio.access_key, minio.secret_key, BUCKET, folder / "storage"
        )
        marker = f"CHAOS_RUN={folder.name}"
        environment = _environment(places, folder, source, changes)
        _run(environment, "topics", "create")
        _run(environment, "db", "upgrade")
        platform = Platform(url, places.storage_root, servers)
        stack.callback(platform.close)
        _add_companies(platform, minio, door)
        _run(environment, "credentials", "encrypt")
        supervisor = Supervisor(folder, environment)
        cluster = Cluster(
            kafka, postgres, minio.server, door, platform, supervisor, places, marker, environment, no_disk
        )
        stack.callback(cluster.kill_roles)
        for name, count in roles.items():
            supervisor.start(name, count)
        cluster.supervise()
        supervisor.wait_until_ready()
        yield cluster


def _mount_storage(stack: ExitStack, folder: Path) -> str | None:
    try:
        stack.enter_context(small_disk(folder, DISK_BYTES))
    except NoDiskError as exc:
        folder.mkdir(exist_ok=True)
        return str(exc)
    return None


def _environment(places: Places, folder: Path, source: Path, changes: Mapping[str, str]) -> dict[str, str]:
    # The tree is named and the working folder is not searched, so that a changed copy can be run in the same way.
    code = {"PYTHONPATH": str(source), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    settings = settings_for(places.bootstrap_servers, places.database_url, "", folder) | _SETTINGS
    settings |= {"LOCAL_STORAGE_ROOT": str(places.storage_root), "CHAOS_RUN": folder.name, **code, **changes}
    return settings | {"STORAGE_CREDENTIALS_KEY": _run(settings, "credentials", "key").strip()}


def _run(environment: dict[str, str], *arguments: str) -> str:
    done = run_cli(environment, *arguments)
    if done.returncode != 0:
        raise NoClusterError(f"{sys.executable} -m service {' '.join(arguments)}: {done.stderr[-1000:]}")
    return done.stdout


def _add_companies(platform: Platform, minio: LocalMinio, door: Proxy) -> None:
    platform.set_up()
    credentials = {"endpoint": door.url, "bucket": BUCKET}
    credentials |= {"access_key": minio.access_key, "secret_key": minio.secret_key}
    store = BucketStore(minio.server, BUCKET, "globex")
    add_tenant(platform, Tenant(GLOBEX, "globex", "minio", credentials, store, base_path="globex"))
