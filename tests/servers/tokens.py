"""An identity provider: gives tokens by OAuth 2.0 client credentials, and the key that proves the signed ones."""

import base64
import json
import ssl
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT: Final = "thumbnails"
SECRET: Final = "m4rked-cl1ent-s3cret"  # noqa: S105 - of a client of this double
AUDIENCE: Final = "kafka"
_KEY_ID: Final = "the only key"


class TokenServer:
    """Listens on 127.0.0.1 between `with` and its end; what it answers can be changed while it runs."""

    def __init__(self, certificate_and_key: tuple[bytes, bytes] | None = None, folder: Path | None = None) -> None:
        """With a certificate it speaks TLS; `folder` is for its file."""
        self.lives_s = 300.0
        self.audience = AUDIENCE
        self.answer: tuple[int, bytes] | None = None
        """Given to everybody, instead of a token."""
        self.may_answer: Final = Event()
        self.may_answer.set()
        self.given: Final[list[str]] = []
        self.forms: Final[list[dict[str, list[str]]]] = []
        self.logins: Final[list[str]] = []
        self._key: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server: Final = _Server(("127.0.0.1", 0), _Handler)
        self._server.double = self
        scheme = "http"
        if certificate_and_key is not None and folder is not None:
            scheme, file = "https", folder / "token-server.pem"
            file.write_bytes(b"".join(certificate_and_key))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file)
            # In the thread of each connection, for a handshake that fails must not end the server.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url: Final = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), name="token-server", daemon=True).start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, *, signed: bool) -> str:
        now = time.time()
        claims = {
            "iss": self.url,
            "sub": CLIENT,
            "aud": self.audience,
            "scope": "kafka",
            "iat": int(now),
            "exp": int(now + self.lives_s),
            "jti": uuid.uuid4().hex,
        }
        header = {"alg": "RS256", "kid": _KEY_ID} if signed else {"alg": "none"}
        text = f"{_part(header)}.{_part(claims)}"
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()) if signed else b""
        return f"{text}.{_base64(signature)}"

    def keys(self) -> dict[str, Any]:
        """The public key, as a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        n, e = (_base64(number.to_bytes((number.bit_length() + 7) // 8)) for number in (numbers.n, numbers.e))
        return {"keys": [{"kty": "RSA", "kid": _KEY_ID, "use": "sig", "alg": "RS256", "n": n, "e": e}]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    double: TokenServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: a client that does not trust the certificate hangs up."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 90

    def do_GET(self) -> None:
        self._send(200, json.dumps(self.server.double.keys()).encode())

    def do_POST(self) -> None:
        double = self.server.double
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        double.forms.append(form)
        double.may_answer.wait()
        if double.answer is not None:
            self._send(*double.answer)
            return
        login = (self.headers.get("Authorization") or "").removeprefix("Basic ")
        double.logins.append(login)
        if login != base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode():
            self._send(401, b'{"error": "invalid_client"}')
            return
        if form.get("scope", ["kafka"]) != ["kafka"]:
            self._send(400, b'{"error": "invalid_scope"}')
            return
        token = double.token(signed=self.path == "/signed")
        double.given.append(token)
        content = {"access_token": token, "token_type": "Bearer", "expires_in": double.lives_s}
        self._send(200, json.dumps(content).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def _part(content: dict[str, Any]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
