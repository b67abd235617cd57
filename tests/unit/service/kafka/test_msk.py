"""Tokens for Amazon MSK's login by IAM: what stands in them, by botocore's own signature, and what is said without one."""

import base64
import sys
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-untyped] # it has no stubs
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from pydantic import ValidationError

from service.kafka.msk import MskTokens
from service.kafka.oauth import RENEW_AFTER, TokenError
from service.kafka.security import KafkaFilesError, librdkafka_security
from service.settings import KafkaSettings

KEY, SECRET, SESSION = "AKIDEXAMPLE", "m4rked-aws-s3cret", "session+token/="
REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)


def url_of(token: str) -> str:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()


def signature(url: str) -> str:
    """What botocore makes of the same request at the same moment, with the same credentials."""
    parts = urlsplit(url)
    query = "&".join(one for one in parts.query.split("&") if not one.startswith(("X-Amz-Signature=", "User-Agent=")))
    request = AWSRequest(method="GET", url=urlunsplit(parts._replace(query=query)))
    request.context["timestamp"] = parse_qs(parts.query)["X-Amz-Date"][0]
    signer = SigV4QueryAuth(Credentials(KEY, SECRET, SESSION), "kafka-cluster", REGION)
    request.headers["host"] = parts.netloc
    return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))


def test_a_token_is_a_presigned_request_to_connect_and_holds_no_secret() -> None:
    token = MskTokens(REGION).token()
    url = url_of(token)
    parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", f"kafka.{REGION}.amazonaws.com", "/")
    assert query["Action"] == ["kafka-cluster:Connect"]
    assert query["X-Amz-Expires"] == ["900"]
    assert query["X-Amz-Credential"][0].split("/")[::2] == [KEY, REGION, "aws4_request"]
    assert query["X-Amz-Security-Token"] == [SESSION]
    assert query["X-Amz-Signature"] == [signature(url)]
    assert SECRET not in url
    assert "=" not in token


def test_a_token_is_used_until_most_of_its_life_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]
    signed: list[str] = []

    def sign(region: str, _provider: object) -> tuple[str, int]:
        signed.append(region)
        return f"t{len(signed)}", int((now[0] + 900) * 1000)

    monkeypatch.setattr(MSKAuthTokenProvider, "generate_auth_token_from_credentials_provider", sign)
    tokens = MskTokens(REGION, now=lambda: now[0])
    assert tokens.token() == "t1"
    now[0] += RENEW_AFTER * 900 - 1
    assert tokens.token() == "t1"
    now[0] += 1
    assert tokens.token() == "t2"


def settings(**changes: str) -> KafkaSettings:
    values = {"security_protocol": "SASL_SSL", "sasl_mechanism": "AWS_MSK_IAM", "aws_region": REGION} | changes
    return KafkaSettings.model_validate({f"kafka_{name}": value for name, value in values.items() if value})


def test_librdkafka_gets_the_token_with_its_end_in_seconds() -> None:
    config = librdkafka_security(settings())
    token, expires_at = config["oauth_cb"]("")
    assert config["sasl.mechanism"] == "OAUTHBEARER"
    assert url_of(token).startswith("https://kafka.")
    assert 0 < expires_at - 1_700_000_000 < 10**10


def test_without_credentials_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(TokenError, match="No AWS credentials were found for KAFKA_SASL_MECHANISM=AWS_MSK_IAM"):
        MskTokens(REGION).token()


def test_without_the_extra_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(KafkaFilesError, match=r"needs an extra: pip install 'thumbnail-pipeline\[msk\]'"):
        librdkafka_security(settings())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aws_region": ""}, "KAFKA_AWS_REGION is needed"),
        ({"sasl_username": "me"}, "KAFKA_SASL_USERNAME has no effect with KAFKA_SASL_MECHANISM=AWS_MSK_IAM"),
        ({"sasl_mechanism": "PLAIN"}, "KAFKA_AWS_REGION has no effect with KAFKA_SASL_MECHANISM=PLAIN"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(**changes)
