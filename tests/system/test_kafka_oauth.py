"""OAUTHBEARER to a real Apache Kafka: the whole flow, tokens that expire on the way, and what is said without a token."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.kafka.secure import SecureKafka
from tests.servers.tokens import AUDIENCE, CLIENT, SECRET, TokenServer
from tests.system.stack import a_stack, problems_in, run_cli, settings_for

SHORT_S = 6.0
"""Kafka closes a connection that is older than its token, so that each role connects again and again."""
SAID = {
    "worker": "answers with status 503 and no access_token",
    "persist": "Failed to retrieve OIDC token",
    "retry": "Failed to retrieve OIDC token",
}
REFUSED = "invalid_token"
"""What Kafka says to a client whose token it does not accept."""


@pytest.fixture
def tokens(secure_kafka: SecureKafka) -> Iterator[TokenServer]:
    server = secure_kafka.tokens
    yield server
    server.lives_s, server.audience, server.answer = 300.0, AUDIENCE, None


@pytest.mark.slow
@pytest.mark.parametrize("way", ["unsigned", "signed"])
def test_uploads_become_rows_while_tokens_expire_over(
    way: str, secure_kafka: SecureKafka, tokens: TokenServer, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = secure_kafka.unsigned() if way == "unsigned" else secure_kafka.signed(tmp_path)
    tokens.lives_s = SHORT_S
    tokens.given.clear()
    with a_stack(secure_kafka.bootstrap_servers, postgres_url, topic_prefix, tmp_path, **settings) as stack:
        platform = stack.platform
        platform.add_rows(range(1, 4))
        uploads = [platform.upload(number, "image", sound=number != 3) for number in range(1, 4)]
        late = platform.upload(1, "video")
        (platform.storage_root / "vault" / late.event["media"]["key"]).rename(tmp_path / "late")
        platform.publish([*uploads, late])
        stack.wait_for(lambda: platform.read_topic("thumbnail.retry.1"))
        (tmp_path / "late").rename(platform.storage_root / "vault" / late.event["media"]["key"])
        stack.wait_for(lambda: not platform.problems())
        so_far = len(tokens.given)
        stack.wait_for(lambda: len(tokens.given) > so_far + 12)  # each role has had some since
        tokens.answer = (503, b"busy")
        platform.publish([platform.upload(number, "image") for number in range(1, 4)])
        stack.wait_for(lambda: all(SAID[role.name] in role.log.read_text() for role in stack.supervisor.roles))
        tokens.answer = None
        if way == "signed":
            tokens.audience = "somebody else"  # the brokers refuse them, until the provider is put right
            stack.wait_for(lambda: all(REFUSED in role.log.read_text() for role in stack.supervisor.roles))
            tokens.audience = AUDIENCE
            platform.publish([platform.upload(number, "image") for number in range(1, 4)])
        stack.wait_for(lambda: not platform.problems())
        logs = "".join(role.log.read_text() for role in stack.supervisor.roles)
    assert SECRET not in logs
    assert not [token for token in tokens.given if token in logs]


FAULTS = {
    "secret": f"refuses KAFKA_OAUTH_CLIENT_ID={CLIENT} with this KAFKA_OAUTH_CLIENT_SECRET (invalid_client)",
    "scope": "refuses KAFKA_OAUTH_SCOPE=more",
    "server": "No token server answers at KAFKA_OAUTH_TOKEN_URL=http://127.0.0.1:1/token",
    "answer": "answers with status 503 and no access_token",
    "kind of token": "is of no use to librdkafka (Failed to decode JWT payload",
    "audience": f"refuses the token of KAFKA_OAUTH_CLIENT_ID={CLIENT}",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", ["check", "worker"])
def test_one_sentence_says_what_is_wrong_with_the(
    fault: str, command: str, secure_kafka: SecureKafka, tokens: TokenServer, sqlite_url: str, tmp_path: Path
) -> None:
    changes = {
        "secret": {"KAFKA_OAUTH_CLIENT_SECRET": f"not {SECRET}"},
        "scope": {"KAFKA_OAUTH_SCOPE": "more"},
        "server": {"KAFKA_OAUTH_TOKEN_URL": "http://127.0.0.1:1/token"},
    }
    if fault == "answer":
        tokens.answer = (503, b"<html>busy</html>")
    if fault == "kind of token":
        tokens.answer = (200, b'{"access_token": "opaque", "expires_in": 60}')
    if fault == "audience":
        tokens.audience = "somebody else"
    changed = secure_kafka.signed(tmp_path) | changes.get(fault, {})
    done = run_cli(settings_for("", sqlite_url, "", tmp_path) | changed | {"COLUMNS": "1000"}, command)
    where = done.stdout if command == "check" else done.stderr
    assert done.returncode == 1
    about_it = [problem for problem in problems_in(where) if FAULTS[fault] in problem]
    assert len(about_it) == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
