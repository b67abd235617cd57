"""What a cluster does not take for now is tried again, and it is said why meanwhile."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.waiting import ClusterWait, will_pass

PASSING = (
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TRANSPORT,
)
LASTING = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.UNKNOWN_TOPIC_OR_PART)


class OtherClientError(Exception):
    """As aiokafka's errors, which say themselves whether they pass."""

    def __init__(self, *, retriable: bool) -> None:
        super().__init__()
        self.retriable = retriable


def refuses(times: int, code: int) -> Callable[[], str]:
    left = [KafkaException(KafkaError(code))] * times

    def action() -> str:
        if left:
            raise left.pop()
        return "taken"

    return action


@pytest.mark.parametrize("code", PASSING)
def test_what_passes_is_waited_for_and_the_problem_is_a_sentence_meanwhile(code: int) -> None:
    seen: list[str | None] = []
    wait = ClusterWait(lambda: False, lambda _seconds: seen.append(wait.problem))
    assert wait.until_taken("thumbnail.due", refuses(2, code)) == "taken"
    assert None not in seen
    assert len(seen) == 20
    assert wait.problem is None


@pytest.mark.parametrize("code", LASTING)
def test_what_does_not_pass_is_raised_at_once(code: int) -> None:
    with pytest.raises(KafkaException):
        ClusterWait(lambda: False, lambda _seconds: pytest.fail("it waits")).until_taken("t", refuses(1, code))


def test_a_role_that_is_to_stop_does_not_wait() -> None:
    stopping = [False]
    wait = ClusterWait(lambda: stopping[0], lambda _seconds: stopping.__setitem__(0, True))
    with pytest.raises(KafkaException):
        wait.until_taken("t", refuses(1000, KafkaError.NOT_ENOUGH_REPLICAS))


@pytest.mark.parametrize("passes", [True, False])
def test_errors_of_the_worker_s_client_say_themselves_whether_they_pass_also_when_they_are_wrapped(
    *, passes: bool
) -> None:
    error = OtherClientError(retriable=passes)
    assert will_pass(error) is passes
    wrapped = RuntimeError()
    wrapped.__cause__ = error
    assert will_pass(wrapped) is passes
    assert not will_pass(RuntimeError())
