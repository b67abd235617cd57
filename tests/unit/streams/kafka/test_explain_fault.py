"""Errors of both clients become one sentence with a way out, and keep what the client said."""

import pytest
from aiokafka.errors import (  # type: ignore[import-untyped] # it has no stubs
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
)
from confluent_kafka import KafkaError, KafkaException
from faust.exceptions import ProducerSendError

from streams.kafka.client import explain_fault


def wrapped(cause: Exception) -> Exception:
    exc = ProducerSendError("Error while sending")
    exc.__cause__ = cause
    return exc


@pytest.mark.parametrize(
    ("exc", "sentence"),
    [
        (MessageSizeTooLargeError("500"), "raise the topic's max.message.bytes"),
        (wrapped(MessageSizeTooLargeError("500")), "raise the topic's max.message.bytes"),
        (KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)), "raise the topic's max.message.bytes"),
        (NotEnoughReplicasError(), "min.insync.replicas"),
        (KafkaException(KafkaError(KafkaError.NOT_ENOUGH_REPLICAS)), "min.insync.replicas"),
        (TopicAuthorizationFailedError("thumbnail.ready"), "let this user READ or WRITE the topic"),
        (KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)), "let this user READ the consumer group"),
        (KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)), "run `thumbnails topics create`"),
        (KafkaException(KafkaError(KafkaError._DESTROY_BROKER)), "The broker that was asked is gone"),
        (KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT)), "its brokers are out of reach"),
        (KafkaTimeoutError(), "its brokers are out of reach"),
        (TimeoutError(), "its brokers are out of reach"),
        (ValueError("something else"), "ValueError: something else"),
        (FileNotFoundError(2, "No such file"), "FileNotFoundError: [Errno 2] No such file"),
    ],
)
def test_an_error_has_a_way_out(exc: Exception, sentence: str) -> None:
    assert sentence in explain_fault(exc)
