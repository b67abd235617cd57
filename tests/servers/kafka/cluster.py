"""Three Apache Kafka brokers of one cluster: what replicas do cannot be seen on one."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from tests.servers.kafka.apache import ApacheKafka

BROKERS = 3
_TIMEOUT_S = 60.0


class FirstBroker(ApacheKafka):
    """The controller, too. New topics have three replicas unless their maker says otherwise."""

    def _settings(self) -> dict[str, str]:
        return super()._settings() | {"default.replication.factor": str(BROKERS)}

    def property(self, name: str, file: str = "server.properties") -> str:
        """One line of a file of properties in its folder."""
        found = re.search(rf"^{re.escape(name)}=(.*)$", (self.folder / file).read_text(), re.MULTILINE)
        assert found is not None, f"{file} has no {name}"
        return found[1]


class FurtherBroker(ApacheKafka):
    """A broker that joins the cluster of the first one."""

    def __init__(self, first: FirstBroker, number: int) -> None:
        self._first = first
        self._number = number
        super().__init__()

    def _settings(self) -> dict[str, str]:
        quorum = "controller.quorum.bootstrap.servers"
        address = f"PLAINTEXT://127.0.0.1:{self.port}"
        return super()._settings() | {
            "process.roles": "broker",
            "node.id": str(self._number),
            quorum: self._first.property(quorum),
            "listeners": address,
            "advertised.listeners": address,
        }

    def _quorum_options(self) -> list[str]:
        return ["-t", self._first.property("cluster.id", "data/meta.properties")]


@dataclass(frozen=True)
class Cluster:
    """All brokers of it, which run."""

    brokers: tuple[ApacheKafka, ...]

    @property
    def bootstrap_servers(self) -> str:
        """One of each broker."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers)

    def wait_until_all_have(self, topics: Iterable[str]) -> None:
        """Topics with a replica on each broker: they learn of them one after the other, and a client asks any of them."""
        folders = [broker.folder / "data" / f"{topic}-0" for topic in topics for broker in self.brokers]
        _wait_until(lambda: all(folder.is_dir() for folder in folders))


@contextmanager
def three_brokers() -> Iterator[Cluster]:
    """Raises NoKafkaError."""
    with ExitStack() as stack:
        first = FirstBroker()
        stack.callback(first.stop)
        first.start()
        brokers: list[ApacheKafka] = [first]
        for number in range(2, BROKERS + 1):
            further = FurtherBroker(first, number)
            stack.callback(further.stop)
            further.start()
            brokers.append(further)
        admin = AdminClient({"bootstrap.servers": first.bootstrap_servers})
        _wait_until(lambda: len(admin.list_topics(timeout=10).brokers) == BROKERS)
        yield Cluster(tuple(brokers))


def _wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not what():
        assert time.monotonic() < deadline, "the brokers did not agree in time"
        time.sleep(0.1)
