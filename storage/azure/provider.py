"""Objects in Azure Blob Storage, by azure-storage-blob."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from azure.storage.blob import BlobClient

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.azure.client import PAGE_SIZE, make_client
from storage.azure.credentials import AzureCredentials
from storage.azure.errors import translated
from storage.azure.reader import AzureReader
from storage.azure.settings import AzureOptions
from storage.azure.uploads import put
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject
from storage.connections import HttpLimits
from storage.credentials import parse_credentials
from storage.keys import check_folder, check_key, is_key, join_key
from storage.ordering import in_byte_order
from storage.outbound import EndpointPolicy
from storage.provider_settings import ProviderSettings


class AzureBlobProvider(StorageProvider):
    """Keys are names of block blobs below `base_path` in one container. A put is atomic; its MD5 travels with it."""

    def __init__(
        self,
        credentials: AzureCredentials,
        *,
        base_path: str = "",
        policy: EndpointPolicy,
        limits: HttpLimits | None = None,
        options: AzureOptions | None = None,
    ) -> None:
        """Connects at the first use. Raises PermanentError for an endpoint or a base path that is not allowed."""
        self._base_path: Final = check_folder(base_path) if base_path else ""
        self._client: Final = make_client(credentials, policy, limits or HttpLimits())
        own_url = f"{credentials.account_url}/{credentials.container}"
        self._url: Final = (credentials.public_base_url or own_url).rstrip("/")
        self._cache_control: Final = (options or AzureOptions()).storage_azure_cache_control

    @property
    def name(self) -> str:
        """See the contract."""
        return "azure_blob"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """Store the blob with one put, which Azure refuses where its MD5 is wrong, and compare the MD5 that it answers."""
        blob = self._blob(key)
        with translated(key):
            etag = put(blob, content, content_type, self._cache_control)
        if etag is None:
            with suppress(ThumbnailError):  # the error below says more
                self.delete_file(key)
            raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"Azure did not confirm what was sent as {key!r}.")
        return StoredObject(key, len(content), hashlib.sha256(content).hexdigest(), etag)

    def open_source(self, key: str) -> SourceReader:
        """Open the blob with one request, which also brings its beginning."""
        return AzureReader(self._blob(key), key)

    def file_exists(self, key: str) -> bool:
        """See the contract. A missing container is an error, not absence: HEAD says which in a header."""
        blob = self._blob(key)
        try:
            with translated(key):
                blob.get_blob_properties()
        except ObjectNotFoundError:
            return False
        return True

    def delete_file(self, key: str) -> None:
        """Delete the blob with its snapshots."""
        blob = self._blob(key)
        with suppress(ObjectNotFoundError), translated(key):
            blob.delete_blob(delete_snapshots="include")

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Page by page, while it is asked for more. Azure cannot begin in the middle: what is before `after` is read, too."""
        folder = f"{self._name(prefix)}/"
        listing = self._client.list_blobs(name_starts_with=folder, results_per_page=PAGE_SIZE)
        return (found for found in in_byte_order(self._listed(listing, prefix), "Azure") if found.key > after)

    def _listed(self, listing: Any, prefix: str) -> Iterator[ListedObject]:
        base = f"{self._base_path}/" if self._base_path else ""
        with translated(prefix):
            for blob in listing:
                key = blob.name.removeprefix(base)
                if is_key(key):
                    yield ListedObject(key, blob.size, blob.last_modified)

    def get_file_url(self, key: str) -> str:
        """Below `public_base_url`, else the blob's own address, which is readable where the container's access level says so."""
        return f"{self._url}/{quote(self._name(key))}"

    def close(self) -> None:
        """Close the connection pool."""
        self._client.close()

    def _name(self, key: str) -> str:
        """Return the blob's name. Azure takes a backslash for a slash: the object would be another key's."""
        if "\\" in check_key(key):
            raise PermanentError(
                ErrorCode.STORAGE_BAD_KEY, f"Azure cannot have the key {key[:80]!r}: it takes '\\' for '/'."
            )
        return join_key(self._base_path, key)

    def _blob(self, key: str) -> BlobClient:
        return self._client.get_blob_client(self._name(key))


def build(credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    """Return the provider of one connection. Raises PermanentError for credentials or an endpoint that cannot work."""
    return AzureBlobProvider(
        parse_credentials(AzureCredentials, credentials),
        base_path=base_path,
        policy=settings.policy,
        limits=settings.limits,
        options=settings.options_of(AzureOptions),
    )
