"""Tokens for OAUTHBEARER: when they are fetched, and what is said when there is none."""

import asyncio
import base64
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped] # it has no stubs
from faust import OAuthCredentials

from service.kafka import oauth
from service.kafka.oauth import RENEW_AFTER, Client, TokenError, TokenSource
from service.kafka.security import KafkaFilesError, faust_credentials, librdkafka_security, token_source
from service.settings import KafkaSettings
from tests.servers.certificates import Authority
from tests.servers.tokens import CLIENT, SECRET, TokenServer


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as running:
        yield running


def settings(url: str, **changes: object) -> KafkaSettings:
    values: dict[str, object] = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "oauth_token_url": url,
        "oauth_client_id": CLIENT,
        "oauth_client_secret": SECRET,
    }
    return KafkaSettings.model_validate({f"kafka_{name}": value for name, value in (values | changes).items()})


def test_a_token_is_used_until_most_of_its_life_is_over(server: TokenServer) -> None:
    now = [1000.0]
    source = TokenSource(server.url, Client(CLIENT, SECRET), ssl.create_default_context(), clock=lambda: now[0])
    first = source.token()
    now[0] += RENEW_AFTER * server.lives_s - 1
    assert source.token() == first
    now[0] += 1
    assert source.token() != first
    assert server.forms == [{"grant_type": ["client_credentials"]}] * 2


def test_a_token_of_unknown_life_is_used_once(server: TokenServer) -> None:
    server.answer = (200, b'{"access_token": "a"}')
    source = token_source(settings(server.url))
    assert [source.token(), source.token()] == ["a", "a"]
    assert len(server.forms) == 2


def test_threads_that_ask_at_once_share_one_token(server: TokenServer) -> None:
    server.may_answer.clear()
    source = token_source(settings(server.url, oauth_scope="kafka"))
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(source.token) for _ in range(8)]
        server.may_answer.set()
        tokens = {task.result() for task in asked}
    assert tokens == set(server.given)
    assert server.forms == [{"grant_type": ["client_credentials"], "scope": ["kafka"]}]


def test_after_a_failure_the_next_connection_asks_again(server: TokenServer) -> None:
    source = token_source(settings(server.url))
    server.answer = (503, b"busy")
    with pytest.raises(TokenError):
        source.token()
    server.answer = None
    assert source.token() == server.given[0]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((500, b"<html>"), "answers with status 500 and no access_token: give the address"),
        ((200, b"[]"), "answers with status 200 and no access_token"),
        ((200, b'{"access_token": 7}'), "answers with status 200 and no access_token"),
        ((302, b""), "answers with status 302 and no access_token"),
        ((400, b'{"error": "invalid_scope"}'), "refuses KAFKA_OAUTH_SCOPE=some: correct it"),
        ((401, b"?"), f"refuses KAFKA_OAUTH_CLIENT_ID={CLIENT} with this KAFKA_OAUTH_CLIENT_SECRET"),
        (
            (401, f'{{"error": "invalid_client", "error_description": "{SECRET}"}}'.encode()),
            "KAFKA_OAUTH_CLIENT_SECRET (invalid_client): correct them",
        ),
    ],
)
def test_an_answer_without_a_token_is_one_sentence_with_a_way_out(
    answer: tuple[int, bytes], sentence: str, server: TokenServer
) -> None:
    server.answer = answer
    with pytest.raises(TokenError) as caught:
        token_source(settings(server.url, oauth_scope="some")).token()
    assert sentence in str(caught.value)
    assert server.url in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_server_that_is_slow_or_absent_is_named(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "ANSWER_TIMEOUT_S", 0.1)
    server.may_answer.clear()
    try:
        with pytest.raises(TokenError, match=r"gives no token within .* look at that server\.$"):
            token_source(settings(server.url)).token()
    finally:
        server.may_answer.set()
    with pytest.raises(TokenError, match=r"^No token server answers at KAFKA_OAUTH_TOKEN_URL=http://127\.0\.0\.1:1/t:"):
        token_source(settings("http://127.0.0.1:1/t")).token()


def test_a_token_server_with_tls_is_trusted_by_its_authority_alone(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "other.pem").write_bytes(Authority().pem)
    with TokenServer(authority.issue(), tmp_path) as server:
        trusting = settings(server.url, oauth_ca_file=tmp_path / "ca.pem")
        assert token_source(trusting).token() == server.given[0]
        assert librdkafka_security(trusting)["https.ca.location"] == str(tmp_path / "ca.pem")
        with pytest.raises(TokenError, match=r"certificate of KAFKA_OAUTH_TOKEN_URL=.* set KAFKA_OAUTH_CA_FILE"):
            token_source(settings(server.url, oauth_ca_file=tmp_path / "other.pem")).token()
    with pytest.raises(KafkaFilesError, match=r"KAFKA_OAUTH_CA_FILE: .* cannot be read"):
        librdkafka_security(settings(server.url, oauth_ca_file=tmp_path / "absent.pem"))


def test_both_clients_log_in_by_token_and_show_no_secret(server: TokenServer) -> None:
    made = settings(server.url)
    config = librdkafka_security(made)
    assert config["sasl.oauthbearer.method"] == "oidc"
    assert config["sasl.oauthbearer.client.secret"] == SECRET
    credentials = faust_credentials(made)
    assert isinstance(credentials, OAuthCredentials)
    assert credentials.protocol.value == "SASL_PLAINTEXT"
    provider = credentials.oauth_cb
    assert isinstance(provider, AbstractTokenProvider)
    assert asyncio.run(provider.token()) == server.given[0]
    shown = repr(made) + str(made.model_dump(mode="json")) + repr(credentials) + repr(Client(CLIENT, SECRET))
    assert SECRET not in shown


def test_aiokafka_tries_again_after_an_error_of_ours() -> None:
    assert issubclass(TokenError, OSError), "AIOKafkaClient catches OSError, and its tasks die of others"


def test_the_client_is_encoded_as_in_a_form_before_its_name_and_secret_are_joined(server: TokenServer) -> None:
    """RFC 6749, 2.3.1: the server takes what stands before the first colon for the name."""
    source = token_source(settings(server.url, oauth_client_id="https://me:1", oauth_client_secret="a b+%é"))  # noqa: S106 - of the double
    with pytest.raises(TokenError):
        source.token()
    assert base64.b64decode(server.logins[0]) == b"https%3A%2F%2Fme%3A1:a+b%2B%25%C3%A9"
