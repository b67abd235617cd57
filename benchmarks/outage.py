"""The outage of one tenant's storage: what it does to its own events, and to the other tenants' latency.

Run: python -m benchmarks.outage [--cut-s 120] [--uploads 300] [--json FILE] [--hang]. Three tenants, on two MinIO
connections and local storage, upload at a steady pace, once without and once with a cut of the first connection in the
middle. --hang lets the connection hang instead of refusing. Real Apache Kafka, PostgreSQL, MinIO and Toxiproxy.
"""

import argparse
import json
import statistics
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.servers.kafka.apache import ApacheKafka
from tests.servers.postgres import choose_postgres, drop_database, new_database
from tests.servers.s3.minio import LocalMinio
from tests.servers.toxiproxy import Proxy, Timeout, Toxiproxy
from tests.system.stack import Stack
from tests.system.tenants import Tenant, add_rows, add_tenant, problems_of, upload_for
from tests.system.test_tenants import an_encrypted_stack, local_tenant, minio_tenant, ready_events

BREAKER_OPEN_S = 5
BREAKER_FAILURES = 5


@dataclass
class Result:
    """One run. Latencies in seconds, from the upload's own time to thumbnail.ready, by tenant."""

    latencies_s: dict[str, list[float]] = field(default_factory=dict)
    attempts_burnt: int = 0
    fallbacks: int = 0
    dead_letters: int = 0
    waits: int = 0
    problems: list[str] = field(default_factory=list)

    def p95(self, slug: str) -> float:
        """Of one tenant."""
        return statistics.quantiles(self.latencies_s[slug], n=20)[-1]


@dataclass(frozen=True)
class Plan:
    """Uploads of all tenants together, and the cut in the middle; seconds."""

    uploads: int
    cut_s: float
    is_cut: bool
    hangs: bool

    @property
    def lasts_s(self) -> float:
        """The cut and a quarter more, before and after it."""
        return self.cut_s * 1.5


def run(kafka: str, database_url: str, minio: LocalMinio, toxiproxy: Toxiproxy, plan: Plan) -> Result:
    """One installation from its start to its end."""
    bucket, prefix = f"bench-{uuid.uuid4().hex[:8]}", f"outage-{uuid.uuid4().hex[:8]}."
    minio.server.make_bucket(bucket)
    with (
        tempfile.TemporaryDirectory() as folder,
        toxiproxy.proxy(minio.endpoint_url) as first,
        toxiproxy.proxy(minio.endpoint_url) as second,
        an_encrypted_stack(
            kafka,
            database_url,
            prefix,
            Path(folder),
            RETRY_DELAYS_S="2,4,8",
            STORAGE_BREAKER_OPEN_S=str(BREAKER_OPEN_S),
            STORAGE_BREAKER_FAILURES=str(BREAKER_FAILURES),
        ) as stack,
    ):
        tenants = [
            minio_tenant(2, "cut", minio.server, bucket, first.url),
            minio_tenant(3, "sound", minio.server, bucket, second.url),
            local_tenant(stack, 4, "local"),
        ]
        for tenant in tenants:
            add_tenant(stack.platform, tenant)
            add_rows(
                stack.platform, tenant, range(tenant.company_id * 10_000, tenant.company_id * 10_000 + plan.uploads)
            )
        _warm_up(stack, tenants, plan)
        _publish(stack, tenants, first, plan)
        return _outcome(stack, tenants)


def _warm_up(stack: Stack, tenants: list[Tenant], plan: Plan) -> None:
    """One upload a tenant that is not counted: clients are made, slots are warm."""
    last = plan.uploads - 1
    stack.platform.publish([upload_for(stack.platform, t, t.company_id * 10_000 + last) for t in tenants])
    stack.wait_for(lambda: not [p for t in tenants for p in problems_of(stack.platform, t)])


def _publish(stack: Stack, tenants: list[Tenant], proxy: Proxy, plan: Plan) -> None:
    """At a steady pace, whatever becomes of them."""
    started = time.monotonic()
    begins_s, ends_s = plan.lasts_s / 6, plan.lasts_s / 6 + plan.cut_s
    state = "before"
    for number in range(plan.uploads // len(tenants)):
        due_s = number * plan.lasts_s * len(tenants) / plan.uploads
        while (now_s := time.monotonic() - started) < due_s:
            time.sleep(min(0.05, due_s - now_s))
        if plan.is_cut and state == "before" and now_s >= begins_s:
            _break(proxy, plan)
            state = "cut"
        if state == "cut" and now_s >= ends_s:
            _mend(proxy, plan)
            state = "after"
        stack.platform.publish([upload_for(stack.platform, t, t.company_id * 10_000 + number) for t in tenants])
    if state == "cut":
        _mend(proxy, plan)


def _break(proxy: Proxy, plan: Plan) -> None:
    if plan.hangs:
        proxy.add(Timeout(0))
    else:
        proxy.cut()


def _mend(proxy: Proxy, plan: Plan) -> None:
    if plan.hangs:
        proxy.clear()
    else:
        proxy.mend()


def _outcome(stack: Stack, tenants: list[Tenant]) -> Result:
    wanted = sum(len(tenant.expected) for tenant in tenants)
    stack.wait_for(lambda: len(ready_events(stack)) >= wanted, 120)
    stack.wait_for(lambda: not [p for t in tenants for p in problems_of(stack.platform, t)], 60)
    result = Result(problems=[p for t in tenants for p in problems_of(stack.platform, t)])
    slugs = {tenant.company_id: tenant.slug for tenant in tenants}
    for event in ready_events(stack):
        _note(result, slugs[int(str(event["company_id"]))], event)
    result.dead_letters = len(stack.platform.read_topic("thumbnail.dlq"))
    for tier in (1, 2, 3):
        for record in stack.platform.read_topic(f"thumbnail.retry.{tier}"):
            result.waits += dict(record.headers())["error-code"] == b"storage.paused"
    return result


def _note(result: Result, slug: str, event: dict[str, Any]) -> None:
    taken = datetime.fromisoformat(event["produced_at"]) - datetime.fromisoformat(event["occurred_at"])
    result.latencies_s.setdefault(slug, []).append(taken.total_seconds())
    result.attempts_burnt += event["attempt"] - 1
    result.fallbacks += event["storage"]["fallback"] is not None


def main() -> int:
    """Print both runs; 1 when an aim was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cut-s", type=float, default=120.0)
    parser.add_argument("--uploads", type=int, default=300)
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console(width=120)
    kafka, postgres, minio, toxiproxy = ApacheKafka(), choose_postgres(), LocalMinio(tell=print), Toxiproxy(tell=print)
    results = {}
    try:
        servers, server_url = kafka.start(), postgres.start()
        minio.start()
        toxiproxy.start()
        for name, is_cut in (("without the cut", False), ("with the cut", True)):
            console.print(f"{options.uploads} uploads {name} …")
            url = new_database(server_url)
            plan = Plan(options.uploads, options.cut_s, is_cut, options.hang)
            results[name] = run(servers, url, minio, toxiproxy, plan)
            drop_database(server_url, url)
    finally:
        toxiproxy.stop()
        minio.stop()
        postgres.stop()
        kafka.stop()
    return _report(console, results, options.json)


def _report(console: Console, results: dict[str, Result], path: Path | None) -> int:
    before, after = results["without the cut"], results["with the cut"]
    table = Table("tenant", "ready", "p50 without s", "p95 without s", "p50 with s", "p95 with s", "p95 ratio")
    ratios = {slug: after.p95(slug) / before.p95(slug) for slug in before.latencies_s}
    for slug, ratio in ratios.items():
        figures = [
            f(slug) for run in (before, after) for f in (lambda s, r=run: statistics.median(r.latencies_s[s]), run.p95)
        ]
        table.add_row(slug, str(len(after.latencies_s[slug])), *(f"{figure:.3f}" for figure in figures), f"{ratio:.2f}")
    console.print(table)
    console.print(
        f"With the cut: {after.waits} waits without an attempt, {after.attempts_burnt} attempts burnt"
        f" (to open the breaker: at most {BREAKER_FAILURES - 1}), {after.dead_letters} dead letters,"
        f" {after.fallbacks} fallbacks, {len(after.problems)} wrong rows or objects."
    )
    if path:
        found = {name: vars(result) for name, result in results.items()}
        path.write_text(json.dumps(found, indent=1))
    is_well = (
        max(ratios["sound"], ratios["local"]) <= 1.3
        and after.attempts_burnt < BREAKER_FAILURES
        and not after.dead_letters
        and not after.problems
    )
    return 0 if is_well else 1


if __name__ == "__main__":
    raise SystemExit(main())
