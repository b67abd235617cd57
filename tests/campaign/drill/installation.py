"""The whole stack of a drill: services, roles on fixed ports, a Prometheus with quick rules, the web page in a browser."""

import functools
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from service.demo.processes import free_port
from tests.campaign.chaos.cluster import BUCKET, Cluster, a_cluster
from tests.campaign.chaos.layout import Layout
from tests.campaign.chaos.plants import ROOT
from tests.campaign.chaos.uploads import GLOBEX
from tests.campaign.drill.rules import scale
from tests.campaign.drill.trickle import Trickle
from tests.integration.web.browser import ARGUMENTS, CHROMIUM
from tests.integration.web.server import Results, WebOptions, running_web, serving
from tests.servers.disks import small_disk
from tests.servers.prometheus import Prometheus
from tests.system.stack import run_cli
from tests.system.tenants import BucketStore, FolderStore, Tenant, add_tenant

INITECH: Final = 3
ROLES: Final = {"worker": 2, "persist": 1, "retry": 1}
WINDOW: Final = {"width": 1280, "height": 1180}
DISK_BYTES: Final = 64 << 20
COMPANIES: Final = {1: "Acme (1, local storage)", GLOBEX: "Globex (2, MinIO)", INITECH: "Initech (3, local storage)"}
_PUBLIC: Final = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
    f'"Resource":"arn:aws:s3:::{BUCKET}/*"}}]}}'
)


class MendError(Exception):
    """A command that is there to fix things failed."""


@dataclass
class Installation:
    """What faults are made on, and what the person on call looks at."""

    folder: Path
    cluster: Cluster
    prometheus: Prometheus
    trickle: Trickle
    page: Page
    ports: dict[str, list[int]]
    small_disk: Path
    """Where Initech's thumbnails are: a file system of DISK_BYTES."""

    @property
    def endpoints(self) -> str:
        """As `thumbnails status --metrics` takes them."""
        return ",".join(f"127.0.0.1:{port}" for ports in self.ports.values() for port in ports)

    def do(self, command: str) -> str:
        """Run a command that a screen shows, then again with what its dry run asks for; return the second as it was run.

        Raises MendError.
        """
        words = shlex.split(command)[1:]
        done = run_cli(dict(self.cluster.environment), *words)
        asked = re.search(r"add (--yes(?: --note \"…\")?)", " ".join(done.stdout.split()))
        if done.returncode or asked is None:
            raise MendError(f"{command}: {done.stdout[-500:]} {done.stderr[-1000:]}")
        more = shlex.split(asked[1].replace("…", "from the drill"))
        done = run_cli(dict(self.cluster.environment), *words, *more)
        if done.returncode:
            raise MendError(f"{command} {asked[1]}: {done.stdout[-500:]} {done.stderr[-1000:]}")
        return shlex.join(["thumbnails", *words, *more])


def product_settings(factor: float) -> dict[str, str]:
    """The product's own durations, and the counts that belong to them, divided like the rules'. From docs/configuration.md."""
    return {
        "RETRY_DELAYS_S": ",".join(f"{seconds / factor:g}" for seconds in (60, 120, 240)),
        "STORAGE_BREAKER_OPEN_S": f"{30 / factor:g}",
        "DLQ_WINDOW_S": f"{300 / factor:g}",
        "DLQ_MIN_EVENTS": f"{100 / factor:.0f}",
    }


@contextmanager
def an_installation(folder: Path, factor: float, say: Callable[[str], None]) -> Iterator[Installation]:
    """Everything up; nothing of it is left afterwards. From the main thread. Raises as a_cluster and small_disk do."""
    with ExitStack() as stack:
        storage = folder / "storage"
        storage.mkdir()
        changes = product_settings(factor) | {"LOCAL_STORAGE_URL": stack.enter_context(serving(storage))}
        cluster = stack.enter_context(a_cluster(folder, ROOT, say, Layout({}), changes))
        tenants = _tenants(cluster)
        say("The services are up; starting the roles, Prometheus and the page.")
        ports = {role: [free_port() for _ in range(count)] for role, count in ROLES.items()}
        for role, numbers in ports.items():
            for port in numbers:
                cluster.supervisor.start(role, HTTP_PORT=str(port))
        cluster.supervise()
        cluster.supervisor.wait_until_ready()
        prometheus = Prometheus(folder, ports, functools.partial(scale, factor=factor))
        prometheus.start()
        stack.callback(prometheus.stop)
        full = storage / "initech-vault/initech/thumbnails"
        full.mkdir(parents=True)
        stack.enter_context(small_disk(full, DISK_BYTES))
        trickle = Trickle(cluster.platform, tenants, tenants["initech"])
        stack.callback(trickle.end)
        endpoints = ",".join(f"127.0.0.1:{port}" for numbers in ports.values() for port in numbers)
        page = stack.enter_context(_a_page(folder, cluster, endpoints))
        yield Installation(folder, cluster, prometheus, trickle, page, ports, full)


def _tenants(cluster: Cluster) -> dict[str, Tenant]:
    """Globex is there already, for it is the one that the cluster's own tests break."""
    places = cluster.places
    server = cluster.s3_server
    client = server.client()
    client.put_bucket_policy(Bucket=BUCKET, Policy=_PUBLIC)  # so that browsers may load its pictures
    client.close()
    globex = Tenant(GLOBEX, "globex", "minio", {}, BucketStore(server, BUCKET, "globex"), base_path="globex")
    store = FolderStore(places.storage_root / "initech-vault")
    initech = Tenant(INITECH, "initech", "local_disk", {}, store, base_path="initech-vault")
    add_tenant(cluster.platform, initech)
    return {"globex": globex, "initech": initech}


@contextmanager
def _a_page(folder: Path, cluster: Cluster, endpoints: str) -> Iterator[Page]:
    """The page in a browser, opened once and left open."""
    environment = {"WEB_IMAGE_ORIGINS": cluster.s3_door.url, "STATUS_METRICS_URLS": endpoints}
    options = WebOptions(environment=dict(cluster.environment) | environment)
    with (
        running_web(Results(cluster.places.bootstrap_servers, ""), folder, options) as web,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            page = browser.new_page(viewport=WINDOW, reduced_motion="reduce")  # type: ignore[arg-type] # a literal
            page.goto(web.url)
            yield page
        finally:
            browser.close()
