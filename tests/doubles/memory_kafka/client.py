"""What both clients share: a test chooses what happens before a call, and which call fails."""

from collections import defaultdict, deque
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException

from tests.doubles.memory_kafka.broker import KilledError, MemoryBroker


class ScriptedClient:
    """Calls have the names of the methods; besides, a consumer has «revoke», and a producer «deliver» for each record."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._is_dead = False
        self._actions: defaultdict[str, deque[Callable[[], None]]] = defaultdict(deque)
        self._faults: defaultdict[str, deque[KafkaError | Exception]] = defaultdict(deque)

    def before(self, call: str, action: Callable[[], None], *, skip: int = 0) -> None:
        """Do `action` once, just before the next such call takes effect, or a later one. Actions take a call each."""
        self._actions[call].extend([_do_nothing] * skip)
        self._actions[call].append(action)

    def fail(self, call: str, error: KafkaError | Exception) -> None:
        """Let the next such call fail: a KafkaError in the way that librdkafka reports it there."""
        self._faults[call].append(error)

    def kill(self) -> None:
        """As SIGKILL: every call raises KilledError from now on. What was not sent is lost."""
        self._is_dead = True

    def _arrive(self, call: str) -> None:
        self._stop_the_dead()
        if self._actions[call]:
            self._actions[call].popleft()()
        self._stop_the_dead()

    def _stop_the_dead(self) -> None:
        if self._is_dead:
            raise KilledError

    def _fault(self, call: str) -> KafkaError | Exception | None:
        return self._faults[call].popleft() if self._faults[call] else None

    def _raise_fault(self, call: str) -> None:
        fault = self._fault(call)
        if isinstance(fault, KafkaError):
            raise KafkaException(fault)
        if fault is not None:
            raise fault


def _do_nothing() -> None:
    """For a call that is skipped."""


def kill(*clients: ScriptedClient) -> None:
    """Kill the process that has these clients, in the middle of what it does."""
    for client in clients:
        client.kill()
    raise KilledError
