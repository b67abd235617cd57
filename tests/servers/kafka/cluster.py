"""Three Apache Kafka brokers of one cluster: what replicas do cannot be seen on one."""

import base64
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import PartitionMetadata

from service.demo.processes import free_port
from tests.servers.kafka.apache import ApacheKafka

BROKERS: Final = 3
REPLICATED: Final = {
    "default.replication.factor": str(BROKERS),
    "offsets.topic.replication.factor": str(BROKERS),
    "transaction.state.log.replication.factor": str(BROKERS),
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "3",
}
"""New topics have three replicas unless their maker says otherwise, and so have Kafka's own."""
_TIMEOUT_S: Final = 60.0
_ASK_S: Final = 5.0


@dataclass(frozen=True)
class _Voter:
    """A controller of the quorum, as `kafka-storage format` names it."""

    number: int
    port: int
    folder_id: str

    def __str__(self) -> str:
        return f"{self.number}@127.0.0.1:{self.port}:{self.folder_id}"


class ClusterBroker(ApacheKafka):
    """One of the cluster's brokers, which is one of its three controllers, too."""

    def __init__(self, number: int, quorum: tuple[_Voter, ...], cluster_id: str, changes: Mapping[str, str]) -> None:
        self.number: Final = number
        self._quorum: Final = quorum
        self._cluster_id: Final = cluster_id
        self._changes: Final = dict(changes)
        super().__init__()

    def _settings(self) -> dict[str, str]:
        controllers = ",".join(f"127.0.0.1:{voter.port}" for voter in self._quorum)
        (own,) = [voter for voter in self._quorum if voter.number == self.number]
        return (
            super()._settings()
            | {
                "node.id": str(self.number),
                "controller.quorum.bootstrap.servers": controllers,
                "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{own.port}",
            }
            | REPLICATED
            | self._changes
        )

    def _quorum_options(self) -> list[str]:
        return ["--initial-controllers", ",".join(map(str, self._quorum)), "-t", self._cluster_id]

    def controller(self) -> int:
        """Return the number of the controller that leads the quorum, as this node last knew; -1 for none."""
        state = self.folder / "data" / "__cluster_metadata-0" / "quorum-state"
        return int(json.loads(state.read_text())["leaderId"])


@dataclass(frozen=True)
class Cluster:
    """Its brokers; a test may stop, freeze, kill and start each."""

    brokers: tuple[ClusterBroker, ...]

    @property
    def bootstrap_servers(self) -> str:
        """One of each broker."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    def broker(self, number: int) -> ClusterBroker:
        """Return the broker with this number, from 1 on."""
        return self.brokers[number - 1]

    def admin(self) -> AdminClient:
        """Return a quiet client; futures of it end with it."""
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

    def wait_until_all_have(self, topics: Iterable[str]) -> None:
        """Topics with a replica on each broker: they learn of them one after the other, and a client asks any of them."""
        folders = [broker.folder / "data" / f"{topic}-0" for topic in topics for broker in self.brokers]
        _wait_until(lambda: all(folder.is_dir() for folder in folders))

    def leader_of(self, topic: str, partition: int = 0) -> int:
        """Return the number of the broker that leads a partition; -1 for none."""
        return self._partitions([topic])[topic, partition].leader

    def coordinator_of(self, group: str) -> int:
        """Return the number of the group's coordinator."""
        admin = self.admin()  # its futures end with it
        (future,) = admin.describe_consumer_groups([group], request_timeout=_ASK_S).values()
        return int(future.result(2 * _ASK_S).coordinator.id)

    def transaction_coordinator_of(self, transactional_id: str) -> int:
        """Return the number of the transaction coordinator of an id, by the rule by which brokers choose it."""
        hashed = 0
        for unit in transactional_id.encode("utf-16-be")[1::2]:  # ASCII: java.lang.String.hashCode
            hashed = (31 * hashed + unit) & 0xFFFFFFFF
        return self.leader_of("__transaction_state", (hashed & 0x7FFFFFFF) % 3)

    def controller(self) -> int:
        """Return the number of the controller that leads the quorum."""
        known = [broker.controller() for broker in self.brokers if broker.pid]
        return max(set(known), key=known.count)

    def wait_until_in_sync(self, timeout_s: float = _TIMEOUT_S) -> None:
        """Return when each partition has a leader, and all its replicas are in sync."""
        _wait_until(self._is_in_sync, timeout_s)

    def _is_in_sync(self) -> bool:
        try:
            found = self._partitions(None).values()
        except KafkaException:
            return False
        return all(one.leader > 0 and len(one.isrs) == len(one.replicas) for one in found)

    def _partitions(self, topics: list[str] | None) -> dict[tuple[str, int], PartitionMetadata]:
        listed = self.admin().list_topics(timeout=_ASK_S).topics
        return {
            (name, number): partition
            for name, topic in listed.items()
            if topics is None or name in topics
            for number, partition in topic.partitions.items()
        }


@contextmanager
def three_brokers(changes: Mapping[str, str] = MappingProxyType({})) -> Iterator[Cluster]:
    """A cluster with `changes` to its brokers' settings, from the main thread. Raises NoKafkaError."""
    quorum = tuple(_Voter(number, free_port(), _folder_id()) for number in range(1, BROKERS + 1))
    cluster_id = uuid.uuid4().hex[:22]
    with ExitStack() as stack:
        with ThreadPoolExecutor(BROKERS) as pool:  # each formats its storage, with a JVM of its own
            made = [pool.submit(ClusterBroker, voter.number, quorum, cluster_id, changes) for voter in quorum]
        for future in made:
            stack.callback(future.result().stop)
        cluster = Cluster(tuple(future.result() for future in made))
        for broker in cluster.brokers:
            broker.launch()
        for broker in cluster.brokers:
            broker.wait_until_it_answers()
        admin = cluster.admin()
        _wait_until(lambda: len(admin.list_topics(timeout=10).brokers) == BROKERS)
        yield cluster


def _folder_id() -> str:
    """Return an id as Kafka makes them; a command line would take a dash at its beginning for an option."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "a", 1)


def _wait_until(what: Callable[[], bool], timeout_s: float = _TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "the brokers did not agree in time"
        time.sleep(0.1)
