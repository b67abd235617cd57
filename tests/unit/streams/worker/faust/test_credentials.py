"""The worker's login by tokens, against what RFC 7628 says of a server's answers."""

import asyncio

import pytest
from aiokafka.conn import AIOKafkaConnection  # type: ignore[import-untyped] # it has no stubs

from streams.worker.faust.credentials import TokenRefusedError, oauth_credentials


async def log_in(answer: bytes) -> tuple[bytes, object]:
    """Send the token, and give the login what the broker answers."""
    provider = oauth_credentials(lambda: "a-token", None).oauth_cb
    connection = AIOKafkaConnection("broker.example", 9092, sasl_oauth_token_provider=provider)
    login = connection.authenticator_oauth()
    sent, _ = await login.step(None)
    return sent, await login.step(answer)


def test_a_broker_that_answers_with_nothing_has_taken_the_token() -> None:
    assert asyncio.run(log_in(b"")) == (b"n,,\x01auth=Bearer a-token\x01\x01", None)


def test_a_broker_that_answers_with_a_text_has_refused_the_token() -> None:
    with pytest.raises(TokenRefusedError, match="invalid_token") as refused:
        asyncio.run(log_in(b'{"status":"invalid_token"}'))
    assert isinstance(refused.value, OSError), "aiokafka connects again after an OSError; other errors end the worker"
