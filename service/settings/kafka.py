"""How to reach Kafka: addresses, names, encryption and login."""

import re
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.topics import MEDIA_NOTIFICATIONS, Topics
from service.settings.component import Component

_SERVER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]@,]+)(?::([0-9]{1,5}))?")


class KafkaSettings(Component):
    """How to reach Kafka."""

    kafka_bootstrap_servers: str = Field("localhost:9092", description="Bootstrap brokers: host:port,host:port.")
    kafka_topic_prefix: str = Field(
        "", description="Prefix of every topic name, so that several installations can share a cluster."
    )
    kafka_notifications_topic: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Topic of bucket notifications, for `thumbnails ingest s3`: its whole name, without the prefix. Once it is set,"
        " `topics create` makes it and `check` looks for it: docs/upstreams.md.",
    )
    kafka_session_timeout_s: float = Field(
        30.0,
        ge=6,
        le=300,
        description="Consumer session timeout, in seconds: a silent consumer loses its partitions after it.",
    )
    kafka_group_instance_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Static membership: a name that only this process of its role has, and has again after a restart, such as the"
        " name of a StatefulSet's pod. A restart within KAFKA_SESSION_TIMEOUT_S then moves no partition; a process that stops"
        " for good keeps its partitions until that time is over.",
    )
    kafka_replication_factor: int = Field(
        -1,
        ge=-1,
        description="Replicas of the topics that `topics create` makes; -1 takes the broker's default. Production wants 3: then"
        " `min.insync.replicas` is 2, and no broker's disk is the only one that has an acknowledged event.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="Security protocol of the brokers' listener: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] | None = (
        Field(
            None,
            description="SASL mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, or AWS_MSK_IAM (extra `msk`).",
        )
    )
    kafka_sasl_username: str | None = Field(None, description="User name for PLAIN and SCRAM.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Password for PLAIN and SCRAM.")
    kafka_aws_region: str | None = Field(
        None, pattern=r"^[a-z0-9-]+$", description="For AWS_MSK_IAM: region of the cluster, such as eu-central-1."
    )
    kafka_oauth_token_url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$",
        description="For OAUTHBEARER: token endpoint of the identity provider (OAuth 2.0 client credentials). Its tokens must be"
        " JWTs that have `sub` and `exp`.",
    )
    kafka_oauth_client_id: str | None = Field(None, description="For OAUTHBEARER: client ID at the token endpoint.")
    kafka_oauth_client_secret: SecretStr | None = Field(
        None,
        description="For OAUTHBEARER: the client's secret; it goes to the token endpoint alone, never to a broker.",
    )
    kafka_oauth_scope: str | None = Field(
        None, description="For OAUTHBEARER: scope of the tokens, where the identity provider wants one."
    )
    kafka_oauth_ca_file: Path | None = Field(
        None,
        description="For OAUTHBEARER: PEM file of the certificate authorities that are trusted for the token endpoint;"
        " without it, the system's.",
    )
    kafka_ssl_ca_file: Path | None = Field(
        None,
        description="PEM file of the certificate authorities that are trusted for brokers; without it, the system's.",
    )
    kafka_ssl_cert_file: Path | None = Field(
        None, description="PEM file of the client certificate and its chain, where brokers require one (mTLS)."
    )
    kafka_ssl_key_file: Path | None = Field(None, description="PEM file of the client certificate's private key.")
    kafka_ssl_key_password: SecretStr | None = Field(None, description="Password of the private key, if it has one.")
    kafka_ssl_check_hostname: bool = Field(
        True, description="Whether a broker's certificate must match the host name of the connection."
    )

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for server in value.split(","):
            found = _SERVER.fullmatch(server.strip())
            if found is None or int(found[1] or 1) not in range(1, 65_536):
                raise PydanticCustomError(
                    "address",
                    "{server} is no broker: write HOST:PORT, or [ADDRESS]:PORT for IPv6, with commas between brokers",
                    {"server": repr(server.strip()[:80])},
                )
        return value

    @field_validator("kafka_topic_prefix")
    @classmethod
    def _is_a_prefix(cls, value: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9._-]{0,200}", value) is None:
            raise PydanticCustomError("prefix", "topic names have letters, digits, and . _ - only", {})
        return value

    @property
    def topics(self) -> Topics:
        """Return the names of this installation's topics."""
        return Topics(self.kafka_topic_prefix, self.kafka_notifications_topic or MEDIA_NOTIFICATIONS.name)

    @property
    def uses_tls(self) -> bool:
        """Return whether connections are encrypted."""
        return self.kafka_security_protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        """Return whether we log in by name."""
        return self.kafka_security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    @property
    def uses_oauth(self) -> bool:
        """Return whether we log in by tokens of an identity provider."""
        return self.uses_sasl and self.kafka_sasl_mechanism == "OAUTHBEARER"

    @property
    def uses_msk_iam(self) -> bool:
        """Return whether we log in by tokens that are signed with AWS credentials."""
        return self.uses_sasl and self.kafka_sasl_mechanism == "AWS_MSK_IAM"

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        problem = _sasl_problem(self) or _tls_problem(self)
        if problem is not None:
            raise PydanticCustomError("contradiction", "{problem}", {"problem": problem})
        return self


def _sasl_problem(kafka: KafkaSettings) -> str | None:
    """Return what contradicts KAFKA_SECURITY_PROTOCOL in the settings of SASL, as a sentence without its full stop."""
    protocol = f"KAFKA_SECURITY_PROTOCOL={kafka.kafka_security_protocol}"
    mechanism = f"KAFKA_SASL_MECHANISM={kafka.kafka_sasl_mechanism}"
    by_name: dict[str, object] = {
        "KAFKA_SASL_USERNAME": kafka.kafka_sasl_username,
        "KAFKA_SASL_PASSWORD": kafka.kafka_sasl_password,
    }
    by_token: dict[str, object] = {
        "KAFKA_OAUTH_TOKEN_URL": kafka.kafka_oauth_token_url,
        "KAFKA_OAUTH_CLIENT_ID": kafka.kafka_oauth_client_id,
        "KAFKA_OAUTH_CLIENT_SECRET": kafka.kafka_oauth_client_secret,
    }
    by_token_too: dict[str, object] = {
        "KAFKA_OAUTH_SCOPE": kafka.kafka_oauth_scope,
        "KAFKA_OAUTH_CA_FILE": kafka.kafka_oauth_ca_file,
    }
    by_role: dict[str, object] = {"KAFKA_AWS_REGION": kafka.kafka_aws_region}
    if not kafka.uses_sasl:
        mechanism_too: dict[str, object] = {"KAFKA_SASL_MECHANISM": kafka.kafka_sasl_mechanism}
        given = _first_given(mechanism_too | by_name | by_token | by_token_too | by_role)
        return given and f"{given} has no effect with {protocol}: set SASL_SSL (or SASL_PLAINTEXT), or remove it"
    if kafka.kafka_sasl_mechanism is None:
        return f"KAFKA_SASL_MECHANISM is needed with {protocol}"
    if kafka.uses_msk_iam:
        needed, foreign = by_role, by_name | by_token | by_token_too
    elif kafka.uses_oauth:
        needed, foreign = by_token, by_name | by_role
    else:
        needed, foreign = by_name, by_token | by_token_too | by_role
    given = _first_given(foreign)
    if given is not None:
        return f"{given} has no effect with {mechanism}: remove it, or set another mechanism"
    missing = next((name for name, value in needed.items() if value is None), None)
    return missing and f"{missing} is needed with {protocol} and {mechanism}"


def _first_given(settings: dict[str, object]) -> str | None:
    return next((name for name, value in settings.items() if value is not None), None)


def _tls_problem(kafka: KafkaSettings) -> str | None:
    """Return the same for TLS. An unused certificate would give false confidence."""
    given = {
        "KAFKA_SSL_CA_FILE": kafka.kafka_ssl_ca_file,
        "KAFKA_SSL_CERT_FILE": kafka.kafka_ssl_cert_file,
        "KAFKA_SSL_KEY_FILE": kafka.kafka_ssl_key_file,
        "KAFKA_SSL_KEY_PASSWORD": kafka.kafka_ssl_key_password,
    }
    for name, value in given.items():
        if not kafka.uses_tls and value is not None:
            return (
                f"{name} has no effect with KAFKA_SECURITY_PROTOCOL={kafka.kafka_security_protocol}:"
                " set SSL or SASL_SSL, or remove it"
            )
    if kafka.kafka_ssl_cert_file is not None and kafka.kafka_ssl_key_file is None:
        return "KAFKA_SSL_KEY_FILE is needed with KAFKA_SSL_CERT_FILE: the certificate alone proves nothing"
    if kafka.kafka_ssl_key_file is not None and kafka.kafka_ssl_cert_file is None:
        return "KAFKA_SSL_CERT_FILE is needed with KAFKA_SSL_KEY_FILE"
    if kafka.kafka_ssl_key_password is not None and kafka.kafka_ssl_key_file is None:
        return "KAFKA_SSL_KEY_PASSWORD has no effect without KAFKA_SSL_KEY_FILE"
    return None
