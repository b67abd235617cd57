"""Kafka's security settings: what contradicts itself, and files that cannot be used; nothing connects."""

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from faust import SASLCredentials, SSLCredentials
from pydantic import ValidationError

from service.kafka.security import KafkaFilesError, faust_credentials, librdkafka_security
from service.settings import KafkaSettings
from tests.servers.certificates import Authority

SECRET = "m4rked-s3cret"  # noqa: S105 - of nobody


def settings(**values: object) -> KafkaSettings:
    return KafkaSettings.model_validate({f"kafka_{name}": value for name, value in values.items()})


@pytest.fixture
def files(tmp_path: Path) -> dict[str, object]:
    """Settings of mTLS whose files fit together."""
    authority = Authority()
    certificate, key = authority.issue("thumbnails")
    paths = {"ca": tmp_path / "ca.pem", "cert": tmp_path / "own.pem", "key": tmp_path / "own.key"}
    for name, content in (("ca", authority.pem), ("cert", certificate), ("key", key)):
        paths[name].write_bytes(content)
    return {"security_protocol": "SSL"} | {f"ssl_{name}_file": path for name, path in paths.items()}


SASL = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "me", "sasl_password": SECRET}


OAUTH = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://id.example/token",
    "oauth_client_id": "me",
    "oauth_client_secret": SECRET,
}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            OAUTH | {"oauth_token_url": None},
            "KAFKA_OAUTH_TOKEN_URL is needed with KAFKA_SECURITY_PROTOCOL=SASL_SSL and KAFKA_SASL_MECHANISM=OAUTHBEARER",
        ),
        (OAUTH | {"oauth_client_id": None}, "KAFKA_OAUTH_CLIENT_ID is needed with"),
        (OAUTH | {"oauth_client_secret": None}, "KAFKA_OAUTH_CLIENT_SECRET is needed with"),
        (OAUTH | {"sasl_username": "me"}, "KAFKA_SASL_USERNAME has no effect with KAFKA_SASL_MECHANISM=OAUTHBEARER"),
        (OAUTH | {"sasl_mechanism": "PLAIN"}, "KAFKA_OAUTH_TOKEN_URL has no effect with KAFKA_SASL_MECHANISM=PLAIN"),
        ({"oauth_scope": "a"}, "KAFKA_OAUTH_SCOPE has no effect with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "me"},
            "KAFKA_SASL_PASSWORD is needed with KAFKA_SECURITY_PROTOCOL=SASL_SSL and KAFKA_SASL_MECHANISM=PLAIN",
        ),
        (OAUTH | {"oauth_token_url": f"https://me:{SECRET}@id.example/"}, "should match pattern"),
        (OAUTH | {"oauth_token_url": "id.example/token"}, "should match pattern"),
        ({"sasl_password": SECRET}, "KAFKA_SASL_PASSWORD has no effect with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"ssl_ca_file": "ca.pem"}, "KAFKA_SSL_CA_FILE has no effect with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
        ({"security_protocol": "SASL_SSL"}, "KAFKA_SASL_MECHANISM is needed with KAFKA_SECURITY_PROTOCOL=SASL_SSL"),
        ({"security_protocol": "SSL", "ssl_cert_file": "a"}, "KAFKA_SSL_KEY_FILE is needed with KAFKA_SSL_CERT_FILE"),
        ({"security_protocol": "SSL", "ssl_key_file": "a"}, "KAFKA_SSL_CERT_FILE is needed with KAFKA_SSL_KEY_FILE"),
        ({"security_protocol": "SSL", "ssl_key_password": SECRET}, "KAFKA_SSL_KEY_PASSWORD has no effect without"),
        ({"security_protocol": "SSL"} | SASL, "KAFKA_SASL_MECHANISM has no effect with KAFKA_SECURITY_PROTOCOL=SSL"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "ssl_key_file": "a"} | SASL,
            "KAFKA_SSL_KEY_FILE has no effect with KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT",
        ),
    ],
)
def test_a_contradiction_names_both_settings(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**values)
    assert sentence in caught.value.errors()[0]["msg"]
    assert SECRET not in str(caught.value)


def test_a_password_is_shown_by_nothing() -> None:
    made = settings(security_protocol="SASL_PLAINTEXT", **SASL)
    assert SECRET not in repr(made) + str(made.model_dump(mode="json"))
    assert SECRET not in repr(faust_credentials(made))


def test_one_set_of_names_serves_both_clients(files: dict[str, object]) -> None:
    made = settings(**files | {"security_protocol": "SASL_SSL"} | SASL)
    config = librdkafka_security(made)
    credentials = faust_credentials(made)
    assert config["security.protocol"] == "SASL_SSL"
    assert config["sasl.mechanism"] == "SCRAM-SHA-512"
    assert config["sasl.password"] == SECRET
    assert config["ssl.endpoint.identification.algorithm"] == "https"
    assert isinstance(credentials, SASLCredentials)
    assert credentials.protocol.value == "SASL_SSL"
    assert credentials.mechanism.value == "SCRAM-SHA-512"
    assert credentials.ssl_context is not None
    assert credentials.ssl_context.check_hostname
    assert credentials.ssl_context.verify_mode is ssl.CERT_REQUIRED


def test_mtls_and_plaintext(files: dict[str, object]) -> None:
    lenient = faust_credentials(settings(**files, ssl_check_hostname=False))
    assert isinstance(lenient, SSLCredentials)
    assert not lenient.context.check_hostname
    assert lenient.context.verify_mode is ssl.CERT_REQUIRED
    assert faust_credentials(KafkaSettings()) is None
    assert librdkafka_security(KafkaSettings()) == {}


@pytest.mark.parametrize("setting", ["ca", "cert", "key"])
def test_a_file_that_is_missing_or_no_pem_is_named_with_its_setting(
    setting: str, files: dict[str, object], tmp_path: Path
) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(
        KafkaFilesError, match=f"KAFKA_SSL_{setting.upper()}_FILE: .*absent cannot be read: No such file"
    ):
        librdkafka_security(settings(**files | {f"ssl_{setting}_file": absent}))
    absent.write_bytes(b"\x30\x82 not PEM")
    with pytest.raises(KafkaFilesError, match=f"KAFKA_SSL_{setting.upper()}_FILE: .*absent holds no .* in PEM form"):
        faust_credentials(settings(**files | {f"ssl_{setting}_file": absent}))


def test_a_folder_is_no_file(files: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(KafkaFilesError, match=r"KAFKA_SSL_CA_FILE: .* cannot be read: Is a directory"):
        librdkafka_security(settings(**files | {"ssl_ca_file": tmp_path}))


def test_the_key_of_another_certificate_is_refused(files: dict[str, object], tmp_path: Path) -> None:
    _, other = Authority().issue()
    (tmp_path / "other.key").write_bytes(other)
    with pytest.raises(KafkaFilesError, match=r"KAFKA_SSL_KEY_FILE: .*other\.key is not the key of the certificate"):
        librdkafka_security(settings(**files | {"ssl_key_file": tmp_path / "other.key"}))


def test_an_expired_certificate_of_our_own_is_refused_with_its_date(files: dict[str, object], tmp_path: Path) -> None:
    certificate, key = Authority().issue(valid_for=timedelta(days=-1))
    (tmp_path / "old.pem").write_bytes(certificate)
    (tmp_path / "old.key").write_bytes(key)
    with pytest.raises(
        KafkaFilesError, match=r"KAFKA_SSL_CERT_FILE: .*old.pem has expired on \d{4}-\d\d-\d\d: renew it"
    ):
        librdkafka_security(
            settings(**files | {"ssl_cert_file": tmp_path / "old.pem", "ssl_key_file": tmp_path / "old.key"})
        )


def test_a_key_with_a_password_opens_with_it_alone(files: dict[str, object], tmp_path: Path) -> None:
    key_file = files["ssl_key_file"]
    assert isinstance(key_file, Path)
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(SECRET.encode()),
        )
    )
    changed = files | {"ssl_key_file": locked}
    assert librdkafka_security(settings(**changed, ssl_key_password=SECRET))["ssl.key.password"] == SECRET
    for password in (None, f"not {SECRET}"):
        with pytest.raises(KafkaFilesError, match=r"KAFKA_SSL_KEY_PASSWORD does not open .*locked\.key") as caught:
            librdkafka_security(settings(**changed, ssl_key_password=password))
        assert SECRET not in str(caught.value)
