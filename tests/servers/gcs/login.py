"""A double of Google's login: a token for whoever signs with the key of the one service account."""

import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_AUDIENCE: Final = "https://oauth2.googleapis.com/token"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class GoogleLogin:
    """Listens on 127.0.0.1 between `with` and its end. `key_file` is what Google gives to download; `given` all tokens."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.public_key: Final = key.public_key().public_bytes(*public)
        self.given: Final[list[str]] = []
        self._server: Final = _Server(("127.0.0.1", 0), _Handler)
        self._server.double = self
        self.url: Final = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self.key_file: Final[dict[str, str]] = {
            "type": "service_account",
            "project_id": "local",
            "private_key_id": "0123456789abcdef",
            "private_key": key.private_bytes(*private).decode(),
            "client_email": "thumbnails@local.iam.gserviceaccount.com",
            "token_uri": self.url,
        }

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), name="google-login", daemon=True).start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """Return status and body for the form of a request for a token."""
        from google.auth import jwt

        verify: Any = jwt.decode
        try:
            claims = verify(form["assertion"][0], certs=self.public_key, audience=_AUDIENCE)
        except (KeyError, ValueError):
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        if form.get("grant_type") != [_GRANT] or claims["iss"] != self.key_file["client_email"]:
            return 400, {"error": "invalid_grant"}
        self.given.append(f"token-{secrets.token_hex(16)}")
        return 200, {"access_token": self.given[-1], "token_type": "Bearer", "expires_in": 3600}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    double: GoogleLogin


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        status, content = self.server.double.answer(form)
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass
