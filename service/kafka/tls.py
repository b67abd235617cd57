"""Ask a broker for its certificate with Python's own TLS, which distinguishes what librdkafka calls «handshake failed»."""

import socket
import ssl
from typing import Final, NamedTuple

from service.kafka.security import tls_context
from service.settings import KafkaSettings

CONNECT_TIMEOUT_S: Final = 3.0
REFUSAL_TIMEOUT_S: Final = 1.0
"""With TLS 1.3 a broker refuses our certificate only after the handshake is done on our side."""

# OpenSSL's X509_V_ERR_*: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNKNOWN_ISSUERS: Final = frozenset({2, 18, 19, 20, 21})
_OTHER_NAMES: Final = frozenset({62, 64})


class Server(NamedTuple):
    """A broker to start from."""

    host: str
    port: int


def tls_problem(settings: KafkaSettings, servers: list[Server]) -> str | None:
    """Return what is wrong between our certificates and the first server that can be reached, as a sentence; None if nothing."""
    for server in servers:
        context = tls_context(settings)
        try:
            plain = socket.create_connection(server, timeout=CONNECT_TIMEOUT_S)
        except OSError:
            continue
        try:
            with plain, context.wrap_socket(plain, server_hostname=server.host) as encrypted:
                encrypted.settimeout(REFUSAL_TIMEOUT_S)
                encrypted.recv(1)
        except ssl.SSLCertVerificationError as exc:
            return _about_theirs(exc, f"{server.host}:{server.port}")
        except ssl.SSLEOFError:
            return _not_tls(settings, server)
        except ssl.SSLError as exc:
            return _about_ours(exc, settings, server)
        except TimeoutError:
            return None  # it waits for a request: it has taken us in
        except OSError:
            return _not_tls(settings, server)
    return None


def _about_theirs(exc: ssl.SSLCertVerificationError, place: str) -> str:
    code = exc.verify_code
    if code == _EXPIRED:
        return f"The certificate of the Kafka broker at {place} has expired: renew it on the broker."
    if code == _NOT_YET_VALID:
        return f"The certificate of the Kafka broker at {place} is not valid yet: compare the clocks."
    if code in _OTHER_NAMES:
        return (
            f"The certificate of the Kafka broker at {place} is for another name: set KAFKA_BOOTSTRAP_SERVERS to a name"
            " that it holds, or KAFKA_SSL_CHECK_HOSTNAME=false."
        )
    if code in _UNKNOWN_ISSUERS:
        return (
            f"The certificate of the Kafka broker at {place} is from an authority that is not trusted here:"
            " set KAFKA_SSL_CA_FILE to that authority's certificate."
        )
    return f"The certificate of the Kafka broker at {place} is not accepted ({exc.verify_message}): renew it there."


def _about_ours(exc: ssl.SSLError, settings: KafkaSettings, server: Server) -> str:
    reason = exc.reason or "TLS failed"
    place = f"{server.host}:{server.port}"
    if "ALERT" not in reason:
        return _not_tls(settings, server)
    if settings.kafka_ssl_cert_file is None:
        return (
            f"The Kafka broker at {place} asks for a client certificate ({reason}):"
            " set KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE."
        )
    return (
        f"The Kafka broker at {place} refuses the certificate in KAFKA_SSL_CERT_FILE ({reason}):"
        " give one that is valid and from an authority that the broker trusts."
    )


def _not_tls(settings: KafkaSettings, server: Server) -> str:
    return (
        f"What listens at {server.host}:{server.port} does not speak TLS: set KAFKA_SECURITY_PROTOCOL to that of the"
        f" listener instead of {settings.kafka_security_protocol}, or give another port."
    )
