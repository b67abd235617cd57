"""Objects in any S3: Amazon's, MinIO, and what else speaks its protocol."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from botocore.exceptions import ClientError

from schemas.errors import ErrorCode, ObjectNotFoundError, ThumbnailError, TransientError
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject
from storage.connections import HttpLimits
from storage.credentials import parse_credentials
from storage.keys import check_key, is_key, join_key
from storage.outbound import EndpointPolicy
from storage.provider_settings import ProviderSettings
from storage.s3.client import make_client
from storage.s3.credentials import MinioCredentials
from storage.s3.errors import translated, unavailable
from storage.s3.reader import MinioReader, body_of, etag_of

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutObjectOutputTypeDef

_PUT_TRIES: Final = 3


class MinioStorageProvider(StorageProvider):
    """Keys are object names below `base_path` in one bucket. A put is atomic in S3; its checksum travels with it."""

    def __init__(
        self,
        credentials: MinioCredentials,
        *,
        base_path: str = "",
        policy: EndpointPolicy,
        limits: HttpLimits | None = None,
    ) -> None:
        """Connects at the first use. Raises PermanentError for an endpoint or a base path that is not allowed."""
        self._bucket: Final = credentials.bucket
        self._base_path: Final = check_key(base_path) if base_path else ""
        self._client: Final = make_client(credentials, policy, limits or HttpLimits())
        self._url: Final = _base_url(credentials, self._client.meta.endpoint_url)
        self._extra: Final[dict[str, Any]] = _encryption(credentials)

    @property
    def name(self) -> str:
        """As in the contract."""
        return "minio"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """Store the object with one PUT. The server compares the SHA-256, and its first proof confirms it.

        That is its own SHA-256, or an ETag that is the content's MD5, or the object read back.
        """
        object_key, digest = self._object_key(key), hashlib.sha256(content)
        checksum = base64.b64encode(digest.digest()).decode()
        with translated(key):
            answer = self._put(Key=object_key, Body=content, ContentType=content_type, ChecksumSHA256=checksum)
        if answer.get("ChecksumSHA256") != checksum and not self._is_there(object_key, content, answer.get("ETag", "")):
            with suppress(ThumbnailError):  # the error below says more
                self.delete_file(key)
            raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"The S3 storage did not keep what was sent as {key!r}.")
        return StoredObject(key, len(content), digest.hexdigest(), etag_of(answer))

    def _put(self, **request: Any) -> "PutObjectOutputTypeDef":
        """Put, and again where access is denied: MinIO says so, too, when a deletion prunes the folder meanwhile."""
        for _ in range(_PUT_TRIES - 1):
            try:
                return self._client.put_object(Bucket=self._bucket, **request, **self._extra)
            except ClientError as exc:
                if exc.response.get("Error", {}).get("Code") != "AccessDenied":
                    raise
        return self._client.put_object(Bucket=self._bucket, **request, **self._extra)

    def _is_there(self, object_key: str, content: bytes, etag: str) -> bool:
        if etag.strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest():
            return True
        with MinioReader(self._client, self._bucket, object_key, object_key) as found:
            return found.size == len(content) and found.read_at(0, found.size) == content

    def open_source(self, key: str) -> SourceReader:
        """Open the object with one request, which also brings its beginning."""
        return MinioReader(self._client, self._bucket, self._object_key(key), key)

    def file_exists(self, key: str) -> bool:
        """Ask for the first byte: a HEAD does not distinguish a missing bucket from a missing object."""
        object_key = self._object_key(key)
        try:
            with translated(key):
                answer = self._client.get_object(Bucket=self._bucket, Key=object_key, Range="bytes=0-0")
                with body_of(answer):
                    etag_of(answer)
        except ObjectNotFoundError:
            return False
        except TransientError as exc:
            if _is_empty(exc.__cause__):
                return True
            raise
        return True

    def delete_file(self, key: str) -> None:
        """As in the contract: S3 itself takes the deletion of what is absent for done."""
        object_key = self._object_key(key)
        with suppress(ObjectNotFoundError), translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=object_key)

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Page by page, while it is asked for more."""
        folder = f"{self._object_key(prefix)}/"
        base = f"{self._base_path}/" if self._base_path else ""
        start: dict[str, Any] = {"StartAfter": f"{base}{after}"} if after else {}
        with translated(prefix):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=folder, **start):
                if "Name" not in page:
                    # An answer that was cut off in its head has no body, which botocore takes for an empty listing.
                    raise unavailable("The S3 storage's answer is no listing.")
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(base)
                    if is_key(key):
                        # Without its time an object counts as new, so that nobody takes it for forgotten.
                        yield ListedObject(key, found["Size"], found.get("LastModified") or datetime.now(UTC))

    def get_file_url(self, key: str) -> str:
        """Below `public_base_url`, else the object's own address, which is readable where the bucket's policy says so."""
        return f"{self._url}/{quote(self._object_key(key))}"

    def close(self) -> None:
        """Close the connection pool."""
        self._client.close()

    def _object_key(self, key: str) -> str:
        return join_key(self._base_path, check_key(key))


def _base_url(credentials: MinioCredentials, endpoint_url: str) -> str:
    if credentials.public_base_url:
        return credentials.public_base_url.rstrip("/")
    if credentials.endpoint_url is not None and credentials.addressing != "virtual":
        return f"{endpoint_url.rstrip('/')}/{credentials.bucket}"
    scheme, _, host = endpoint_url.rstrip("/").partition("://")
    return f"{scheme}://{credentials.bucket}.{host}"


def _encryption(credentials: MinioCredentials) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if credentials.sse is not None:
        extra["ServerSideEncryption"] = credentials.sse
    if credentials.sse_kms_key_id is not None:
        extra["SSEKMSKeyId"] = credentials.sse_kms_key_id
    return extra


def _is_empty(exc: BaseException | None) -> bool:
    return isinstance(exc, ClientError) and exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 416


def build(credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    """Return the provider of one connection. Raises PermanentError for credentials or an endpoint that cannot work."""
    found = parse_credentials(MinioCredentials, credentials)
    return MinioStorageProvider(found, base_path=base_path, policy=settings.policy, limits=settings.limits)
