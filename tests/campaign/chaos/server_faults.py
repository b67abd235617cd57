"""How faults of the brokers, of the database and of the people beside them are made, and undone."""

import os
import signal
import subprocess
from typing import Final

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.campaign.chaos.cluster import Cluster
from tests.campaign.chaos.injection import Injection, NobodyHitError
from tests.campaign.chaos.plan import Fault
from tests.servers.kafka.apache import ApacheKafka
from tests.system.supervisor import children_of, kill_quietly

UPLOADS: Final = "media.uploaded"
ADMIN_TIMEOUT_S: Final = 10.0
REPLAY_TIMEOUT_S: Final = 40.0
MOST_BEHIND_S: Final = 7200.0
MOST_AHEAD_S: Final = 240.0
"""Less than EVENT_MAX_CLOCK_SKEW_S: an upload that lies further ahead is refused, and is no good upload any more."""


def _leader(cluster: Cluster, fault: Fault) -> tuple[int, ApacheKafka]:
    """The broker that leads one partition of the uploads, and its number."""
    try:
        topic = AdminClient(_client(cluster)).list_topics(UPLOADS, timeout=ADMIN_TIMEOUT_S).topics[UPLOADS]
    except KafkaException as exc:
        raise NobodyHitError(f"the brokers do not say who leads: {exc}") from exc
    leaders = [partition.leader for partition in topic.partitions.values() if partition.leader > 0]
    if not leaders:
        raise NobodyHitError("no partition has a leader")
    number = leaders[int(fault.choice * len(leaders)) % len(leaders)]
    return number, cluster.brokers[number - 1]


def _client(cluster: Cluster) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": cluster.places.bootstrap_servers, "log_level": 0}


def kill_broker(cluster: Cluster, fault: Fault) -> Injection:
    """A power cut of a leader."""
    number, broker = _leader(cluster, fault)
    broker.kill()
    return Injection(f"broker {number}, a leader", broker.start)


def stop_broker(cluster: Cluster, fault: Fault) -> Injection:
    """It freezes."""
    number, broker = _leader(cluster, fault)
    pid = broker.pid
    os.kill(pid, signal.SIGSTOP)
    return Injection(f"broker {number}, process {pid}", lambda: os.kill(pid, signal.SIGCONT))


def rolling_restart(cluster: Cluster, _fault: Fault) -> Injection:
    """An upgrade: each broker in good order, one after the other."""
    for broker in cluster.brokers:
        broker.restart()
        cluster.wait_until_in_sync()
    return Injection(f"{len(cluster.brokers)} brokers, one after the other")


def add_partitions(cluster: Cluster, _fault: Fault) -> Injection:
    """One more for the uploads: from then on a media's records may be in two partitions."""
    admin = AdminClient(_client(cluster))
    try:
        count = len(admin.list_topics(UPLOADS, timeout=ADMIN_TIMEOUT_S).topics[UPLOADS].partitions) + 1
        admin.create_partitions([NewPartitions(UPLOADS, count)])[UPLOADS].result(ADMIN_TIMEOUT_S)
    except KafkaException as exc:
        raise NobodyHitError(f"no partition was added: {exc}") from exc
    return Injection(f"{UPLOADS} has {count} partitions")


def restart_database(cluster: Cluster, _fault: Fault) -> Injection:
    """A fast shutdown."""
    cluster.postgres.stop_process()
    return Injection("PostgreSQL", cluster.postgres.start)


def stop_database(cluster: Cluster, _fault: Fault) -> Injection:
    """All of its processes freeze."""
    server = cluster.postgres.pid
    pids = [server, *children_of(server)]
    for pid in pids:
        kill_quietly(pid, signal.SIGSTOP)

    def undo() -> None:
        for pid in [*pids, *children_of(server)]:
            kill_quietly(pid, signal.SIGCONT)

    return Injection(f"PostgreSQL, {len(pids)} processes", undo)


def cut_database(cluster: Cluster, _fault: Fault) -> Injection:
    """All connections are ended by the server."""
    ended = _ask_database(
        cluster,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()",
    )
    return Injection(f"{len(ended)} connections")


def make_database_read_only(cluster: Cluster, _fault: Fault) -> Injection:
    """As after a failover that ended on a replica: for all connections, those of the platform too."""
    _ask_database(cluster, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")

    def undo() -> None:
        _ask_database(cluster, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")

    return Injection("transactions are read-only", undo)


def _ask_database(cluster: Cluster, *queries: str) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    with psycopg.connect(cluster.places.database_url.replace("+psycopg", ""), autocommit=True) as connection:
        for query in queries:
            cursor = connection.execute(query.encode())
            found = cursor.fetchall() if cursor.description else []
    return found


def kill_pooler(cluster: Cluster, _fault: Fault) -> Injection:
    """Half of the roles go through it."""
    if cluster.pooler is None:
        raise NobodyHitError("no PgBouncer")
    cluster.pooler.kill()
    return Injection("PgBouncer", cluster.pooler.start)


def replay(cluster: Cluster, _fault: Fault) -> Injection:
    """Somebody replays all dead letters of missing sources, and a few others, while everything else goes on."""
    processes = [
        cluster.begin("dlq", "replay", "--code", "source.missing", "--yes"),
        cluster.begin("dlq", "replay", "--code", "media.*", "--limit", "10", "--yes"),
    ]

    def undo() -> None:
        for process in processes:
            try:
                process.wait(REPLAY_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    return Injection("dead letters of missing sources, and ten others", undo)


def skew_clock(cluster: Cluster, fault: Fault) -> Injection:
    """The upload services' clock is wrong."""
    cluster.clock_skew_s = fault.choice * (MOST_AHEAD_S + MOST_BEHIND_S) - MOST_BEHIND_S

    def undo() -> None:
        cluster.clock_skew_s = 0.0

    return Injection(f"uploads say {cluster.clock_skew_s:+.0f} s", undo)
