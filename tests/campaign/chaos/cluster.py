"""The installation that a campaign works on: real services, and the roles as processes that are restarted when they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.campaign.chaos.evidence import Places, processes_of
from tests.campaign.chaos.layout import PLAIN, Layout, NoClusterError, the_brokers
from tests.campaign.chaos.topics import are_in_sync
from tests.campaign.chaos.uploads import SLUGS
from tests.servers import postgres as postgres_service
from tests.servers.disks import NoDiskError, small_disk
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import NoPostgresError, SystemPostgres
from tests.servers.s3.minio import LocalMinio
from tests.servers.s3.server import S3Server
from tests.servers.toxiproxy import Proxy, Toxiproxy
from tests.system.platform import Platform
from tests.system.stack import run_cli, settings_for
from tests.system.supervisor import Role, Supervisor
from tests.system.tenants import BucketStore, Tenant, add_tenant

BUCKET: Final = "chaos"
DISK_BYTES: Final = 256 << 20
GONE_TIMEOUT_S: Final = 10.0
IN_SYNC_TIMEOUT_S: Final = 30.0
START_TIMEOUT_S: Final = 240.0
"""For all roles: they start at the same time, on a machine that may have two processors and other work."""
_SETTINGS: Final = {
    "RETRY_DELAYS_S": "2,4,8",
    "REPLACED_KEEP_S": "2",
    "DECODE_SLOTS": "1",
    "DECODE_TIMEOUT_S": "60",  # three workers share the processors with all the services
    "WORKER_CONCURRENCY": "4",
    "STORAGE_ALLOWED_NETWORKS": "127.0.0.0/8",
    "STORAGE_ALLOW_HTTP": "true",
    "STORAGE_READ_TIMEOUT_S": "5",
    "STORAGE_BREAKER_OPEN_S": "2",
    "DLQ_MAX_REPLAYS": "6",  # replays are faults, too, and the last one must not find its dead letters parked
}


@dataclass
class Cluster:
    """What faults are made on. `no_disk` says why the disk cannot be filled here, where that is so."""

    brokers: tuple[ApacheKafka, ...]
    postgres: SystemPostgres
    s3_server: S3Server
    s3_door: Proxy
    platform: Platform
    supervisor: Supervisor
    places: Places
    marker: str
    environment: Mapping[str, str]
    no_disk: str | None = None
    pooler: PgBouncer | None = None
    clock_skew_s: float = 0.0
    start_s: float = 0.0
    """How long the start of all roles took: how fast this machine is at the moment."""
    retired: list[Role] = field(default_factory=list)
    _worker_pids: set[int] = field(default_factory=set)

    @property
    def kafka(self) -> ApacheKafka:
        """The first broker, or the only one."""
        return self.brokers[0]

    def start_roles(self, roles: Mapping[str, int]) -> None:
        """Start them, each second process of a role through PgBouncer, where there is one, and wait until all are ready.

        Raises NoClusterError when one does not start in time.
        """
        began = time.monotonic()
        for name, count in roles.items():
            for number in range(count):
                if self.pooler is not None and number % 2:
                    self.supervisor.start(name, DATABASE_URL=self.pooler.url)
                else:
                    self.supervisor.start(name)
        self.supervise()
        try:
            self.supervisor.wait_until_ready(START_TIMEOUT_S)
        except AssertionError as exc:
            raise NoClusterError(str(exc)) from exc
        self.start_s = time.monotonic() - began

    def begin(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command of the product, whose output goes to a log of its own."""
        command = [sys.executable, "-m", "service", *arguments]
        with (self.supervisor.folder / "commands.log").open("ab") as out:
            return subprocess.Popen(command, env=os.environ | dict(self.environment), stdout=out, stderr=out)

    def wait_until_in_sync(self) -> None:
        """Return when all brokers have all of their replicas again, or after a while all the same: that is no matter of ours."""
        deadline = time.monotonic() + IN_SYNC_TIMEOUT_S
        while not are_in_sync(self.places.bootstrap_servers, len(self.brokers)) and time.monotonic() < deadline:
            self.supervise()
            time.sleep(0.2)

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
    layout: Layout = PLAIN,
    changes: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Cluster]:
    """Everything up and proven, with the roles of `layout` from the tree `source`; nothing of it is left afterwards.

    `changes` are settings that go over ours. From the main thread. Raises NoClusterError, and what the services raise that cannot be had.
    """
    binaries = postgres_service.system_binaries()
    if binaries is None:
        raise NoPostgresError("No PostgreSQL of the system's own: install the package postgresql.")
    with ExitStack() as stack:
        no_disk = _mount_storage(stack, folder / "storage")
        brokers = the_brokers(stack, layout.brokers)
        servers = ",".join(broker.bootstrap_servers for broker in brokers)
        postgres = SystemPostgres(binaries)
        stack.callback(postgres.stop)
        minio = LocalMinio(say=say)
        stack.callback(minio.stop)
        toxiproxy = Toxiproxy(say=say)
        stack.callback(toxiproxy.stop)
        server_url = postgres.start()
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
        platform.set_up()
        for company in layout.bucket_companies:
            _add_company(company, platform, minio, door)
        _run(environment, "credentials", "encrypt")
        supervisor = Supervisor(folder, environment)
        cluster = Cluster(brokers, postgres, minio.server, door, platform, supervisor, places, marker, environment)
        cluster.no_disk = no_disk
        if layout.has_pooler:
            cluster.pooler = PgBouncer(url)
            stack.callback(cluster.pooler.stop)
            cluster.pooler.wait_until_it_answers()
        stack.callback(cluster.kill_roles)
        cluster.start_roles(layout.roles)
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


def _add_company(company: int, platform: Platform, minio: LocalMinio, door: Proxy) -> None:
    """Its connection to the bucket leads through the proxy; its slug is its folder in there."""
    credentials = {"endpoint": door.url, "bucket": BUCKET}
    credentials |= {"access_key": minio.access_key, "secret_key": minio.secret_key}
    slug = SLUGS[company]
    store = BucketStore(minio.server, BUCKET, slug)
    add_tenant(platform, Tenant(company, slug, "minio", credentials, store, base_path=slug))
