"""An Apache Kafka with a listener for each way to be secure, and for each way to have it wrong."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography.x509.oid import ExtendedKeyUsageOID

from service.demo.processes import free_port
from tests.servers.certificates import Authority
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.tokens import AUDIENCE, CLIENT, SECRET, TokenServer

USER: Final = "thumbnails"
PASSWORD: Final = "m4rked-k4fka-p4ss"  # noqa: S105 - of a broker that lives as long as the tests
LIMITED: Final = "limited"
"""A user whom tests forbid things."""

_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_OAUTH: Final = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
_VALIDATOR: Final = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
_PLAIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"


class SecureKafka(ApacheKafka):
    """One broker; `servers` has the address of each listener. `bootstrap_servers` is a plain one, for the tests themselves."""

    def __init__(self) -> None:
        names = ("SCRAM", "MTLS", "EXPIRED", "OTHERNAME", "CLEAR", "UNSIGNED", "SIGNED")
        self.servers: Final = {name: f"127.0.0.1:{free_port()}" for name in names}
        self.authority: Final = Authority()
        self._stack: Final = ExitStack()
        self.tokens: Final = self._stack.enter_context(TokenServer())
        super().__init__()
        self._java.insert(1, f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.tokens.url}/keys")

    def stop(self) -> None:
        super().stop()
        self._stack.close()

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        protocols = {
            "SCRAM": "SASL_SSL",
            "MTLS": "SSL",
            "EXPIRED": "SSL",
            "OTHERNAME": "SSL",
            "CLEAR": "SASL_PLAINTEXT",
            "UNSIGNED": "SASL_PLAINTEXT",
            "SIGNED": "SASL_SSL",
        }
        settings["listeners"] += "".join(f",{name}://{server}" for name, server in self.servers.items())
        settings["advertised.listeners"] += "".join(f",{name}://{server}" for name, server in self.servers.items())
        settings["listener.security.protocol.map"] += "".join(f",{name}:{what}" for name, what in protocols.items())
        settings["inter.broker.listener.name"] = "PLAINTEXT"
        certificates = {
            "SCRAM": self.authority.issue(),
            "MTLS": self.authority.issue(),
            "SIGNED": self.authority.issue(),
            "EXPIRED": self.authority.issue(valid_for=timedelta(days=-1)),
            "OTHERNAME": self.authority.issue("broker.example", ("broker.example",)),
        }
        ca_file = self.folder / "ca.pem"
        ca_file.write_bytes(self.authority.pem)
        for name, (certificate, key) in certificates.items():
            keystore = self.folder / f"{name}.pem"
            keystore.write_bytes(key + certificate)
            prefix = f"listener.name.{name.lower()}.ssl"
            settings |= {f"{prefix}.keystore.type": "PEM", f"{prefix}.keystore.location": str(keystore)}
            settings |= {f"{prefix}.truststore.type": "PEM", f"{prefix}.truststore.location": str(ca_file)}
        settings["listener.name.mtls.ssl.client.auth"] = "required"
        users = " ".join(f'user_{name}="{PASSWORD}"' for name in (USER, LIMITED))
        settings |= {
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": _SCRAM,
            "listener.name.clear.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            "listener.name.clear.plain.sasl.jaas.config": f"{_PLAIN} {users};",
            "listener.name.clear.scram-sha-256.sasl.jaas.config": _SCRAM,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS",
        }
        return settings | self._oauth_settings()

    def _oauth_settings(self) -> dict[str, str]:
        """A listener takes any token that has not expired, and another one those that the token server has signed.

        Both close a connection whose token has expired, as brokers of cloud providers do.
        """
        settings: dict[str, str] = {}
        for name in ("unsigned", "signed"):
            prefix = f"listener.name.{name}"
            settings |= {
                f"{prefix}.sasl.enabled.mechanisms": "OAUTHBEARER",
                f"{prefix}.oauthbearer.sasl.jaas.config": _OAUTH,
                f"{prefix}.oauthbearer.connections.max.reauth.ms": "3600000",
            }
        signed = "listener.name.signed.oauthbearer"
        return settings | {
            f"{signed}.sasl.server.callback.handler.class": _VALIDATOR,
            f"{signed}.sasl.oauthbearer.jwks.endpoint.url": f"{self.tokens.url}/keys",
            f"{signed}.sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{signed}.sasl.oauthbearer.expected.issuer": self.tokens.url,
        }

    def _format_options(self) -> list[str]:
        return [
            part
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for part in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
        ]

    def scram(self, folder: Path) -> dict[str, str]:
        """Our settings for SASL_SSL."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers["SCRAM"],
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_SSL_CA_FILE": str(self.ca_file(folder)),
        }

    def mtls(self, folder: Path) -> dict[str, str]:
        """Our settings for SSL with a certificate of our own."""
        certificate, key = self.authority.issue("thumbnails", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
        (folder / "own.pem").write_bytes(certificate)
        (folder / "own.key").write_bytes(key)
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers["MTLS"],
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_FILE": str(self.ca_file(folder)),
            "KAFKA_SSL_CERT_FILE": str(folder / "own.pem"),
            "KAFKA_SSL_KEY_FILE": str(folder / "own.key"),
        }

    def clear(self, user: str = USER) -> dict[str, str]:
        """Our settings for SASL_PLAINTEXT."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers["CLEAR"],
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }

    def unsigned(self) -> dict[str, str]:
        """Our settings for SASL_PLAINTEXT with tokens that nobody has signed."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers["UNSIGNED"],
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_OAUTH_TOKEN_URL": f"{self.tokens.url}/unsigned",
            "KAFKA_OAUTH_CLIENT_ID": CLIENT,
            "KAFKA_OAUTH_CLIENT_SECRET": SECRET,
        }

    def signed(self, folder: Path) -> dict[str, str]:
        """Our settings for SASL_SSL with signed tokens (OIDC)."""
        return self.unsigned() | {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers["SIGNED"],
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA_FILE": str(self.ca_file(folder)),
            "KAFKA_OAUTH_TOKEN_URL": f"{self.tokens.url}/signed",
            "KAFKA_OAUTH_SCOPE": "kafka",
        }

    def ca_file(self, folder: Path) -> Path:
        """The authority's certificate, as a file."""
        path = folder / "kafka-ca.pem"
        path.write_bytes(self.authority.pem)
        return path
