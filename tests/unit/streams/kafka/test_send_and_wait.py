"""Sending with acknowledgement, on the in-memory Kafka: all or an error, also for uploads that are published."""

import pytest
from confluent_kafka import KafkaError

from service.publish.uploads import PublishError, publish_records
from streams.kafka.client import NotAcknowledgedError, send_and_wait
from streams.kafka.records import OutboundRecord
from tests.doubles.memory_kafka.producer import MemoryProducer
from tests.doubles.memory_topics import Kafka


@pytest.fixture
def kafka(kafka_in_memory: Kafka) -> Kafka:
    return kafka_in_memory


def records(*values: bytes) -> list[OutboundRecord]:
    return [OutboundRecord("t", None, value, (("name", None),)) for value in values]


def sent(kafka: Kafka) -> list[bytes | None]:
    return [record.value for record in kafka.broker.records("t")]


def test_it_returns_when_all_are_acknowledged(kafka: Kafka) -> None:
    send_and_wait(MemoryProducer(kafka.broker), records(b"a", b"b"))
    assert sent(kafka) == [b"a", b"b"]
    assert kafka.broker.records("t")[0].headers == (("name", None),)


def test_one_that_is_refused_is_an_error_and_the_others_may_have_been_sent(kafka: Kafka) -> None:
    producer = MemoryProducer(kafka.broker)
    producer.fail("deliver", KafkaError(KafkaError.NOT_ENOUGH_REPLICAS))
    with pytest.raises(NotAcknowledgedError) as caught:
        send_and_wait(producer, records(b"a", b"b"))
    assert caught.value.args[0].code() == KafkaError.NOT_ENOUGH_REPLICAS
    assert sent(kafka) == [b"b"]


def test_brokers_that_do_not_answer_in_time_are_an_error(kafka: Kafka) -> None:
    producer = MemoryProducer(kafka.broker)
    producer.is_cut_off = True
    started = kafka.clock.monotonic()
    with pytest.raises(NotAcknowledgedError) as caught:
        send_and_wait(producer, records(b"a"), timeout_s=7)
    assert caught.value.args[0].code() == KafkaError._MSG_TIMED_OUT
    assert kafka.clock.monotonic() - started == pytest.approx(7)


def test_a_full_queue_is_waited_for(kafka: Kafka) -> None:
    send_and_wait(MemoryProducer(kafka.broker, queue_size=2), records(*(b"%d" % number for number in range(7))))
    assert len(sent(kafka)) == 7


def test_a_queue_that_stays_full_is_an_error(kafka: Kafka) -> None:
    producer = MemoryProducer(kafka.broker, queue_size=1)
    producer.is_cut_off = True
    with pytest.raises(NotAcknowledgedError) as caught:
        send_and_wait(producer, records(b"a", b"b"), timeout_s=0)
    assert caught.value.args[0].code() == KafkaError._QUEUE_FULL


def test_a_record_that_the_client_refuses_is_an_error(kafka: Kafka) -> None:
    with pytest.raises(NotAcknowledgedError) as caught:
        send_and_wait(MemoryProducer(kafka.broker, max_bytes=10), records(b"x" * 11))
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


@pytest.mark.parametrize(("count", "what"), [(1, "The event was not"), (2, "Not all of the 2 events were")])
def test_uploads_that_are_not_acknowledged_are_one_sentence(kafka: Kafka, count: int, what: str) -> None:
    producer = MemoryProducer(kafka.broker)
    producer.fail("deliver", KafkaError(KafkaError.NOT_ENOUGH_REPLICAS))
    with pytest.raises(PublishError, match=rf"^{what} acknowledged: .*in-sync replicas.*\.$"):
        publish_records(producer, "t", [(None, b"x", ())] * count)
