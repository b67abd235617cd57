"""A certificate authority of one's own, and a server's certificate from it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_VALID_FOR: Final = timedelta(days=30)


@dataclass(frozen=True)
class Certificates:
    """What the two ends of TLS need. `folder` has the names that MinIO expects: public.crt and private.key."""

    folder: Path
    ca_pem: str
    ca_file: Path


class Authority:
    """Signs certificates; whoever trusts `pem` trusts them."""

    def __init__(self, name: str = "Thumbnail pipeline, local authority") -> None:
        self._key: Final = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        self._certificate: Final = (
            _unsigned(subject, subject, self._key.public_key(), _VALID_FOR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem: Final = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        common_name: str = "localhost",
        names: tuple[str, ...] = _NAMES,
        *,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        valid_for: timedelta = _VALID_FOR,
    ) -> tuple[bytes, bytes]:
        """A certificate for hosts (names or addresses) and its private key, both PEM; `valid_for` may be negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _unsigned(_name(common_name), self._certificate.subject, key.public_key(), valid_for)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM), _private_pem(key)


def make_certificates(folder: Path) -> Certificates:
    """A new, self-signed authority and its certificate for a server on this machine, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority()
    certificate, key = authority.issue()
    (folder / "public.crt").write_bytes(certificate)
    (folder / "private.key").write_bytes(key)
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(authority.pem)
    return Certificates(folder, authority.pem.decode(), ca_file)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, valid_for: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + valid_for)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
