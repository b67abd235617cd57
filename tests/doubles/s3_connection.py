"""An S3 provider before scripted answers, and the answers that a sound server gives."""

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.connections import HttpLimits
from storage.credentials import parse_credentials
from storage.outbound import EndpointPolicy
from storage.s3.credentials import MinioCredentials
from storage.s3.provider import MinioStorageProvider
from storage.s3.settings import S3Options
from tests.doubles.scripted_s3 import ETAG, Asked, Reply, ScriptedS3

SECRET = "s3cr3t-of-a-t3nant"  # noqa: S105 - the tests look for it in messages
LOOPBACK = EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)
CONTENT = bytes(range(256)) * 4096


@contextmanager
def scripted(
    answer: Reply | Callable[[Asked], Reply], *, options: S3Options | None = None, **fields: str
) -> Iterator[tuple[MinioStorageProvider, ScriptedS3]]:
    with ScriptedS3(answer if callable(answer) else lambda _: answer) as server:
        found = {"endpoint": server.url, "bucket": "bucket", "access_key": "key", "secret_key": SECRET, **fields}
        limits = HttpLimits(max_connections=4, read_timeout_s=1.0)
        credentials = parse_credentials(MinioCredentials, found)
        provider = MinioStorageProvider(credentials, policy=LOOPBACK, limits=limits, options=options)
        yield provider, server
        provider.close()


def ranged(content: bytes = CONTENT, **changes: str) -> Callable[[Asked], Reply]:
    """A sound answer to a GET with a range, headers changed or, when empty, left out."""

    def answer(asked: Asked) -> Reply:
        first, last = (int(part) for part in asked.headers["Range"].removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        headers = {"ETag": ETAG, "Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}"}
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        return Reply(206, part, {name: value for name, value in headers.items() if value})

    return answer


def upload(provider: MinioStorageProvider) -> None:
    provider.upload_file("acme/a", b"content", content_type="image/webp")
