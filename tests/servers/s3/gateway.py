"""Hands HTTP requests on to a real S3, signed with its owner's keys, as a gateway before a storage does."""

from typing import Final

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from tests.doubles.scripted_s3 import Asked, Reply
from tests.servers.s3.server import REGION, S3Server

_HANDED_ON: Final = frozenset(
    {"range", "if-match", "if-none-match"}
    | {"content-type", "content-md5", "content-encoding", "content-disposition", "cache-control"}
)
_SIGNED_ANEW: Final = frozenset({"x-amz-date", "x-amz-content-sha256", "x-amz-security-token"})
_OF_ONE_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


class Gateway:
    """Call it with a request to get the server's answer. Whoever signed the request, and how, is not looked at."""

    def __init__(self, server: S3Server) -> None:
        self._endpoint_url: Final = server.endpoint_url
        self._session: Final = URLLib3Session(proxies={}, timeout=30, max_pool_connections=32)
        self._auth: Final = S3SigV4Auth(Credentials(server.access_key, server.secret_key), "s3", REGION)

    def __call__(self, asked: Asked) -> Reply:
        """Return the server's answer to `asked`, whose path begins with the bucket."""
        headers = {name: value for name, value in asked.headers.items() if _is_handed_on(name.lower())}
        request = AWSRequest(asked.method, f"{self._endpoint_url}{asked.path}", headers, asked.body)
        self._auth.add_auth(request)
        answer = self._session.send(request.prepare())
        found = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_ONE_HOP}
        length = int(answer.headers["Content-Length"]) if asked.method == "HEAD" else -1
        return Reply(answer.status_code, answer.content, found, length=length)

    def close(self) -> None:
        """Close the connections to the server."""
        self._session.close()


def _is_handed_on(name: str) -> bool:
    return name in _HANDED_ON or (name.startswith("x-amz-") and name not in _SIGNED_ANEW)
