"""Objects in Google Cloud Storage, by google-cloud-storage."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from schemas.errors import ErrorCode, ObjectNotFoundError, ThumbnailError, TransientError
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject
from storage.connections import HttpLimits
from storage.credentials import parse_credentials
from storage.gcs.client import GcsClient
from storage.gcs.credentials import GcsCredentials
from storage.gcs.errors import translated
from storage.gcs.reader import GcsReader
from storage.gcs.settings import GcsOptions
from storage.gcs.uploads import put
from storage.keys import check_folder, check_key, is_key, join_key
from storage.ordering import in_byte_order
from storage.outbound import EndpointPolicy
from storage.provider_settings import ProviderSettings

_LISTED: Final = "items(name,size,timeCreated),nextPageToken"
_PAGE_SIZE: Final = 1000


class GcsProvider(StorageProvider):
    """Keys are object names below `base_path` in one bucket. An upload is atomic; its MD5 travels with it."""

    def __init__(
        self,
        credentials: GcsCredentials,
        *,
        base_path: str = "",
        policy: EndpointPolicy,
        limits: HttpLimits | None = None,
        options: GcsOptions | None = None,
    ) -> None:
        """Connects at the first use. Raises PermanentError for an endpoint, a key file or a base path that cannot work."""
        self._base_path: Final = check_folder(base_path) if base_path else ""
        self._client: Final = GcsClient(credentials, policy, limits or HttpLimits())
        own_url = f"{credentials.endpoint_url}/{credentials.bucket}"
        self._url: Final = (credentials.public_base_url or own_url).rstrip("/")
        cache_control = (options or GcsOptions()).storage_gcs_cache_control
        wanted = {"cache_control": cache_control, "storage_class": credentials.storage_class}
        self._wanted: Final = {name: value for name, value in wanted.items() if value}

    @property
    def name(self) -> str:
        """See the contract."""
        return "gcs"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """Store the object with its MD5, which Google refuses where it is wrong, and compare the MD5 that it answers."""
        name = self._name(key)
        with translated(key):
            generation = put(self._client, name, content, {"content_type": content_type, **self._wanted})
        if generation is None:
            with suppress(ThumbnailError):  # the error below says more
                self.delete_file(key)
            message = f"Google Cloud Storage did not confirm what was sent as {key!r}."
            raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, message)
        return StoredObject(key, len(content), hashlib.sha256(content).hexdigest(), generation)

    def open_source(self, key: str) -> SourceReader:
        """Open the object with one request, which also brings its beginning."""
        return GcsReader(self._client, self._name(key), key)

    def file_exists(self, key: str) -> bool:
        """See the contract. A missing bucket is an error, not absence."""
        blob = self._client.blob(self._name(key))
        try:
            with translated(key):
                blob.reload(projection="noAcl", **self._client.once)
        except ObjectNotFoundError:
            return False
        return True

    def delete_file(self, key: str) -> None:
        """See the contract."""
        blob = self._client.blob(self._name(key))
        with suppress(ObjectNotFoundError), translated(key):
            blob.delete(**self._client.once)

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Page by page, while it is asked for more; Google begins where it is told to."""
        folder = f"{self._name(prefix)}/"
        base = f"{self._base_path}/" if self._base_path else ""
        start = f"{base}{after}" if after else ""
        if start > folder and not start.startswith(folder):
            return iter(())
        listed = self._listed(folder, start if start > folder else None, base)
        return (found for found in in_byte_order(listed, "Google Cloud Storage") if found.key > after)

    def _listed(self, folder: str, start: str | None, base: str) -> Iterator[ListedObject]:
        with translated(folder):
            listing: Any = self._client.bucket.list_blobs(
                prefix=folder, start_offset=start, fields=_LISTED, page_size=_PAGE_SIZE, **self._client.once
            )
            for blob in listing:
                key = blob.name.removeprefix(base)
                if is_key(key):
                    yield ListedObject(key, blob.size, blob.time_created)

    def get_file_url(self, key: str) -> str:
        """Below `public_base_url`, else the object's own address, which is readable where the bucket's policy says so."""
        return f"{self._url}/{quote(self._name(key))}"

    def close(self) -> None:
        """Close the connection pools."""
        self._client.close()

    def _name(self, key: str) -> str:
        return join_key(self._base_path, check_key(key))


def build(credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    """Return the provider of one connection. Raises PermanentError for credentials or an endpoint that cannot work."""
    return GcsProvider(
        parse_credentials(GcsCredentials, credentials),
        base_path=base_path,
        policy=settings.policy,
        limits=settings.limits,
        options=settings.options_of(GcsOptions),
    )
