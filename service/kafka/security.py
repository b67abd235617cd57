"""TLS and SASL for both Kafka clients, made from the same settings: librdkafka's names, and Python's own TLS for aiokafka."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from pydantic import SecretStr

from service.kafka.oauth import Client, TokenSource
from service.settings import KafkaSettings

if TYPE_CHECKING:
    from service.kafka.msk import MskTokens


class KafkaFilesError(Exception):
    """A file of KAFKA_SSL_* or KAFKA_OAUTH_*, or the package of a login, cannot be used; the message says what to do."""


def librdkafka_security(settings: KafkaSettings) -> dict[str, Any]:
    """Librdkafka's settings; empty for PLAINTEXT. Raises KafkaFilesError."""
    if settings.kafka_security_protocol == "PLAINTEXT":
        return {}
    config: dict[str, Any] = {"security.protocol": settings.kafka_security_protocol}
    if settings.uses_oauth:
        config |= _oauth_config(settings)
    elif settings.uses_msk_iam:
        tokens = msk_tokens(settings)
        config |= {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": lambda _config: tokens.token_and_expiry()}
    elif settings.uses_sasl:
        config |= {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": _secret(settings.kafka_sasl_password),
        }
    if settings.uses_tls:
        tls_context(settings)  # librdkafka's own words about a broken file name no setting
        files = {
            "ssl.ca.location": settings.kafka_ssl_ca_file,
            "ssl.certificate.location": settings.kafka_ssl_cert_file,
            "ssl.key.location": settings.kafka_ssl_key_file,
        }
        config |= {name: str(path) for name, path in files.items() if path is not None}
        if settings.kafka_ssl_key_password is not None:
            config["ssl.key.password"] = _secret(settings.kafka_ssl_key_password)
        config["ssl.endpoint.identification.algorithm"] = "https" if settings.kafka_ssl_check_hostname else "none"
    return config


def faust_credentials(settings: KafkaSettings) -> object | None:
    """Faust's `broker_credentials`; None for PLAINTEXT. Raises KafkaFilesError."""
    # Here, because Faust takes a third of a second that most commands need not wait.
    from streams.worker.faust.credentials import sasl_credentials, tls_credentials

    context = tls_context(settings) if settings.uses_tls else None
    if settings.uses_oauth or settings.uses_msk_iam:
        from streams.worker.faust.credentials import oauth_credentials

        source = token_source(settings) if settings.uses_oauth else msk_tokens(settings)
        return oauth_credentials(source.token, context)
    if settings.uses_sasl:
        password = _secret(settings.kafka_sasl_password)
        return sasl_credentials(settings.kafka_sasl_mechanism, settings.kafka_sasl_username, password, context)
    return tls_credentials(context) if context is not None else None


def _oauth_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return what makes librdkafka fetch and renew tokens by itself, in a thread that needs no poll.

    A callback of ours would make each client wait a second for its first token, and raise after ten without one.
    """
    config = {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.kafka_oauth_token_url,
        "sasl.oauthbearer.client.id": settings.kafka_oauth_client_id,
        "sasl.oauthbearer.client.secret": _secret(settings.kafka_oauth_client_secret),
    }
    if settings.kafka_oauth_scope is not None:
        config["sasl.oauthbearer.scope"] = settings.kafka_oauth_scope
    if settings.kafka_oauth_ca_file is not None:
        trusting("KAFKA_OAUTH_CA_FILE", settings.kafka_oauth_ca_file)
        config["https.ca.location"] = str(settings.kafka_oauth_ca_file)
    return config


def tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Return what Python's TLS needs to talk to a broker, every file proven. Raises KafkaFilesError."""
    context = trusting("KAFKA_SSL_CA_FILE", settings.kafka_ssl_ca_file)
    context.check_hostname = settings.kafka_ssl_check_hostname
    certificate, key = settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file
    if certificate is not None and key is not None:
        _require_readable("KAFKA_SSL_CERT_FILE", certificate)
        _require_readable("KAFKA_SSL_KEY_FILE", key)
        _load_own_certificate(context, certificate, key, _secret(settings.kafka_ssl_key_password))
    return context


def trusting(setting: str, ca_file: Path | None) -> ssl.SSLContext:
    """Return TLS that trusts the authorities of the file, or the system's. Raises KafkaFilesError."""
    if ca_file is None:
        return ssl.create_default_context()
    _require_readable(setting, ca_file)
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except ssl.SSLError as exc:
        raise KafkaFilesError(f"{setting}: {ca_file} holds no certificate in PEM form: convert it.") from exc


def token_source(settings: KafkaSettings) -> TokenSource:
    """Return what fetches tokens for OAUTHBEARER. Raises KafkaFilesError."""
    client = Client(
        id=settings.kafka_oauth_client_id or "",
        secret=_secret(settings.kafka_oauth_client_secret) or "",
        scope=settings.kafka_oauth_scope,
    )
    context = trusting("KAFKA_OAUTH_CA_FILE", settings.kafka_oauth_ca_file)
    return TokenSource(settings.kafka_oauth_token_url or "", client, context)


def msk_tokens(settings: KafkaSettings) -> "MskTokens":
    """Return what signs tokens for AWS_MSK_IAM. Raises KafkaFilesError."""
    # Here, because botocore takes a fifth of a second that other logins need not wait.
    from service.kafka.msk import MissingSignerError, MskTokens

    try:
        return MskTokens(settings.kafka_aws_region or "")
    except MissingSignerError as exc:
        raise KafkaFilesError(str(exc)) from exc


def _load_own_certificate(context: ssl.SSLContext, certificate: Path, key: Path, password: str | None) -> None:
    try:
        # A callback, so that OpenSSL never asks at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: password or "")
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            problem = f"KAFKA_SSL_KEY_FILE: {key} is not the key of the certificate in {certificate}: give its own."
        elif not _is_pem(certificate, "CERTIFICATE"):
            problem = f"KAFKA_SSL_CERT_FILE: {certificate} holds no certificate in PEM form: convert it."
        elif not _is_pem(key, "PRIVATE KEY"):
            problem = f"KAFKA_SSL_KEY_FILE: {key} holds no private key in PEM form: convert it."
        elif b"ENCRYPTED" in key.read_bytes():
            problem = f"KAFKA_SSL_KEY_PASSWORD does not open {key}: give the password of that key."
        else:
            problem = f"KAFKA_SSL_CERT_FILE, KAFKA_SSL_KEY_FILE: {certificate} and {key} are damaged ({exc.reason})."
        raise KafkaFilesError(problem) from exc
    # Java's brokers refuse an expired one with a word that could mean anything.
    valid_until = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    if valid_until < datetime.now(UTC):
        raise KafkaFilesError(f"KAFKA_SSL_CERT_FILE: {certificate} has expired on {valid_until:%Y-%m-%d}: renew it.")


def _require_readable(setting: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as exc:
        raise KafkaFilesError(f"{setting}: {path} cannot be read: {exc.strerror}.") from exc


def _is_pem(path: Path, what: str) -> bool:
    content = path.read_bytes()
    return b"-----BEGIN " in content and f"{what}-----".encode() in content


def _secret(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
