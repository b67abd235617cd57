"""Objects in any S3: Amazon's, MinIO, and what else speaks its protocol."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from botocore.exceptions import ClientError

from schemas.errors import ErrorCode, ObjectNotFoundError, ThumbnailError, TransientError
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject
from storage.connections import HttpLimits
from storage.credentials import parse_credentials
from storage.keys import check_folder, check_key, is_key, join_key
from storage.outbound import EndpointPolicy
from storage.provider_settings import ProviderSettings
from storage.s3.abilities import Abilities, status_of
from storage.s3.client import make_client
from storage.s3.credentials import MinioCredentials
from storage.s3.errors import translated
from storage.s3.listing import list_in_order
from storage.s3.reader import MinioReader, body_of, require_s3
from storage.s3.settings import S3Options
from storage.s3.uploads import Uploads


class MinioStorageProvider(StorageProvider):
    """Keys are object names below `base_path` in one bucket. A put is atomic in S3; its checksum travels with it."""

    def __init__(
        self,
        credentials: MinioCredentials,
        *,
        base_path: str = "",
        policy: EndpointPolicy,
        limits: HttpLimits | None = None,
        options: S3Options | None = None,
    ) -> None:
        """Connects at the first use. Raises PermanentError for an endpoint or a base path that is not allowed."""
        self._bucket: Final = credentials.bucket
        self._base_path: Final = check_folder(base_path) if base_path else ""
        self._client: Final = make_client(credentials, policy, limits or HttpLimits())
        self._url: Final = _base_url(credentials, self._client.meta.endpoint_url)
        self._abilities: Final = Abilities()
        extra = _extra(credentials, options or S3Options())
        self._uploads: Final = Uploads(self._client, self._bucket, self._abilities, extra)

    @property
    def name(self) -> str:
        """See the contract."""
        return "minio"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """Store the object with one PUT, and have the server prove that it kept it: see `Uploads.put`."""
        object_key = self._object_key(key)
        with translated(key):
            etag = self._uploads.put(object_key, content, content_type)
        if etag is None:
            with suppress(ThumbnailError):  # the error below says more
                self.delete_file(key)
            raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"The S3 storage did not keep what was sent as {key!r}.")
        return StoredObject(key, len(content), hashlib.sha256(content).hexdigest(), etag)

    def open_source(self, key: str) -> SourceReader:
        """Open the object with one request, which also brings its beginning."""
        return MinioReader(self._client, self._bucket, self._object_key(key), key, self._abilities)

    def file_exists(self, key: str) -> bool:
        """Ask for the first byte: a HEAD does not distinguish a missing bucket from a missing object."""
        object_key = self._object_key(key)
        try:
            with translated(key):
                answer = self._client.get_object(Bucket=self._bucket, Key=object_key, Range="bytes=0-0")
                with body_of(answer):
                    require_s3(answer)
        except ObjectNotFoundError:
            return False
        except TransientError as exc:
            if _is_empty(exc.__cause__):
                return True
            raise
        return True

    def delete_file(self, key: str) -> None:
        """See the contract. S3 itself accepts the deletion of an absent object."""
        object_key = self._object_key(key)
        with suppress(ObjectNotFoundError), translated(key):
            self._client.delete_object(Bucket=self._bucket, Key=object_key)

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Page by page, while it is asked for more."""
        folder = f"{self._object_key(prefix)}/"
        base = f"{self._base_path}/" if self._base_path else ""
        start = f"{base}{after}" if after else ""
        for found in list_in_order(self._client, self._bucket, folder, start, self._abilities):
            key = found["Key"].removeprefix(base)
            if is_key(key):
                # Without its time an object counts as new, so that nobody takes it for forgotten.
                yield ListedObject(key, found["Size"], found.get("LastModified") or datetime.now(UTC))

    def get_file_url(self, key: str) -> str:
        """Below `public_base_url`, else the object's own address, which is readable where the bucket's policy says so."""
        return f"{self._url}/{quote(self._object_key(key))}"

    def remarks(self) -> tuple[str, ...]:
        """See the contract."""
        return self._abilities.remarks()

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


def _extra(credentials: MinioCredentials, options: S3Options) -> dict[str, Any]:
    """Return the parameters of every put: what the connection and the operator want of an object."""
    wanted = {
        "ServerSideEncryption": credentials.sse,
        "SSEKMSKeyId": credentials.sse_kms_key_id,
        "StorageClass": credentials.storage_class,
        "ACL": credentials.acl,
        "CacheControl": options.storage_s3_cache_control,
        "ContentDisposition": options.storage_s3_content_disposition,
    }
    return {name: value for name, value in wanted.items() if value}


def _is_empty(exc: BaseException | None) -> bool:
    return isinstance(exc, ClientError) and status_of(exc) == 416


def build(credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    """Return the provider of one connection. Raises PermanentError for credentials or an endpoint that cannot work."""
    found = parse_credentials(MinioCredentials, credentials)
    options = settings.options_of(S3Options)
    return MinioStorageProvider(
        found, base_path=base_path, policy=settings.policy, limits=settings.limits, options=options
    )
