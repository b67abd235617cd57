"""Reaches the cluster, or says in one sentence why it cannot be reached and what to do."""

import logging
import re
import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from service.kafka.clients import client_config
from service.kafka.oauth import TokenError
from service.kafka.security import msk_tokens, token_source
from service.kafka.tls import Server, tls_problem
from service.settings import KafkaSettings

CONNECT_TIMEOUT_S: Final = 15.0
FIRST_ANSWER_S: Final = 1.0
PATIENCE_S: Final = 2.5
"""A broker that is just starting may hang up; when it does so for longer, something else is wrong."""
REFUSED_S: Final = 2.5
"""Where nothing listens for so long, somebody who looks at a screen is told so."""
_REFUSED: Final = "Connection refused"
_LOG_NOTICE: Final = 6
_NONE_ACQUIRED: Final = "Failed to acquire SASL OAUTHBEARER token: "

# librdkafka's public constants begin with an underscore.
_HOPELESS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})  # noqa: SLF001
_NOBODY_THERE: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})  # noqa: SLF001


class KafkaUnreachableError(Exception):
    """The cluster does not let us in, or no broker answered; the message says which was asked and what to do."""


class _Complaints(logging.Handler):
    """Errors of librdkafka while it connects: those that it hands over, and that a server hung up, which it only logs."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: Final[list[KafkaError]] = []
        self.hang_ups = 0
        self.logger: Final = logging.Logger("kafka connection")  # of its own: otherwise each try would be logged
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.hang_ups += "closed by peer" in record.getMessage()

    @property
    def are_hopeless(self) -> bool:
        """Return whether waiting cannot help."""
        return any(error.code() in _HOPELESS for error in self.errors)

    @property
    def is_nobody_there(self) -> bool:
        """Return whether every server refuses connections, or has a name that leads nowhere."""
        return bool(self.errors) and all(
            error.code() in _NOBODY_THERE or _REFUSED in error.str() for error in self.errors
        )


def connect(settings: KafkaSettings, *, waits_for_start: bool = True) -> tuple[AdminClient, ClusterMetadata]:
    """Return an admin client, and what the cluster has. Raises KafkaUnreachableError, at once when waiting cannot help.

    Unless it `waits_for_start`, a port where nothing listens is not waited for either.
    """
    complaints = _Complaints()
    config = client_config(settings) | {"log_level": _LOG_NOTICE, "error_cb": complaints.errors.append}
    admin = AdminClient(config, logger=complaints.logger)
    started = time.monotonic()
    answer_s = FIRST_ANSWER_S
    while True:
        try:
            return admin, admin.list_topics(timeout=answer_s)
        except KafkaException as exc:
            admin.poll(0)
            elapsed_s = time.monotonic() - started
            is_refused = not waits_for_start and elapsed_s >= REFUSED_S and complaints.is_nobody_there
            must_end = complaints.are_hopeless or is_refused or elapsed_s >= CONNECT_TIMEOUT_S
            if must_end or elapsed_s >= PATIENCE_S:
                reason = _explain(settings, complaints)
                if reason is not None or must_end:
                    raise KafkaUnreachableError(reason or _nobody(settings)) from exc
            answer_s = max(FIRST_ANSWER_S, min(2 * answer_s, CONNECT_TIMEOUT_S - elapsed_s))


def _nobody(settings: KafkaSettings) -> str:
    return f"No Kafka broker answers at {settings.kafka_bootstrap_servers}: start it, or set KAFKA_BOOTSTRAP_SERVERS."


def _explain(settings: KafkaSettings, complaints: _Complaints) -> str | None:
    """Return why waiting would not help, if that is known."""
    asked = settings.kafka_bootstrap_servers
    if settings.uses_oauth or settings.uses_msk_iam:
        try:
            (token_source(settings) if settings.uses_oauth else msk_tokens(settings)).token()
        except TokenError as exc:
            return str(exc)
    if settings.uses_tls:
        problem = tls_problem(settings, _servers(asked))
        if problem is not None:
            return problem
    refusal = next((error.str() for error in complaints.errors if error.code() in _HOPELESS), None)
    if refusal is not None:
        return _about_login(settings, refusal)
    if complaints.hang_ups:
        return (
            f"Something answers at {asked}, but does not speak {settings.kafka_security_protocol}:"
            " set KAFKA_SECURITY_PROTOCOL to that of the listener, or give another port. A broker in a container that is"
            " still starting looks the same: try again in a few seconds."
        )
    return None


def _about_login(settings: KafkaSettings, refusal: str) -> str:
    asked = settings.kafka_bootstrap_servers
    offered = re.search(r"supported mechanisms: ([A-Z0-9,\- ]+)", refusal)
    if offered:
        return (
            f"Kafka at {asked} does not offer KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism}:"
            f" set one of {offered[1].strip()}."
        )
    if settings.uses_msk_iam:
        return (
            f"Kafka at {asked} refuses the token that these AWS credentials have signed for"
            f" KAFKA_AWS_REGION={settings.kafka_aws_region}: correct the region, or let the role kafka-cluster:Connect."
        )
    if settings.uses_oauth and _NONE_ACQUIRED in refusal:  # but our own request was given one just now
        return (
            f"The token from KAFKA_OAUTH_TOKEN_URL={settings.kafka_oauth_token_url} is of no use to librdkafka"
            f" ({refusal.rpartition(_NONE_ACQUIRED)[2][:120]}): let the provider give JWTs that have `sub` and `exp`."
        )
    if settings.uses_oauth:
        return (
            f"Kafka at {asked} refuses the token of KAFKA_OAUTH_CLIENT_ID={settings.kafka_oauth_client_id}"
            f" from KAFKA_OAUTH_TOKEN_URL={settings.kafka_oauth_token_url}: give the client the audience and KAFKA_OAUTH_SCOPE"
            " that the brokers expect, or let the brokers trust that issuer."
        )
    return (
        f"Kafka at {asked} refuses KAFKA_SASL_USERNAME={settings.kafka_sasl_username} with this KAFKA_SASL_PASSWORD"
        f" by {settings.kafka_sasl_mechanism}: correct them, or make the user on the cluster."
    )


def _servers(text: str) -> list[Server]:
    parts = [part.strip().rpartition(":") for part in text.split(",")]
    return [Server(host.strip("[]"), int(port)) for host, _, port in parts if port.isdigit()]
