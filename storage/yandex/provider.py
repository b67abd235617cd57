"""Objects on a Yandex Disk, by yadisk."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import requests
from yadisk import exceptions as yandex

from schemas.errors import ErrorCode, ObjectNotFoundError, TransientError
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject
from storage.credentials import parse_credentials
from storage.keys import check_folder, check_key, is_key, join_key
from storage.outbound import guarded_session
from storage.provider_settings import ProviderSettings
from storage.yandex.client import WAITING, GuardedYandexSession, make_client
from storage.yandex.credentials import YandexDiskCredentials
from storage.yandex.errors import translated, unavailable
from storage.yandex.reader import FileMeta, YandexReader
from storage.yandex.settings import YandexDiskOptions, YandexDiskSettings
from storage.yandex.uploads import YandexUploads, remember

_Entry = tuple[str, tuple[int, datetime] | None]
"""The key of a file with its size and time, or of a folder, with a slash."""


class YandexDiskProvider(StorageProvider):
    """Keys are paths below `base_path`."""

    def __init__(
        self,
        settings: YandexDiskSettings,
        *,
        base_path: str = "",
        session: requests.Session,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """All traffic goes by `session`, which checks addresses: see storage.outbound. It is closed with the provider."""
        self._settings: Final = settings
        self._base_path: Final = check_folder(base_path) if base_path else ""
        self._session: Final = session
        self._transport: Final = GuardedYandexSession(session, settings.api_url)
        self._client: Final = make_client(settings, self._transport)
        self._uploads: Final = YandexUploads(self._client, settings.root, sleep)
        self._public_urls: Final[OrderedDict[str, str]] = OrderedDict()

    @property
    def name(self) -> str:
        """See the contract."""
        return "yandex_disk"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:  # noqa: ARG002 - Yandex Disk goes by the name
        """Put, confirm and move: see YandexUploads."""
        path = self._path(key)
        with self._translated(key):
            return self._uploads.upload(path, key, content)

    def open_source(self, key: str) -> SourceReader:
        """Open the object with one request, which also brings a download link."""
        path = self._path(key)
        return YandexReader(
            self._session,
            key,
            get_meta=lambda: self._meta(path, key),
            get_link=lambda: self._link(path, key),
            timeout_s=self._settings.timeout_s,
        )

    def _meta(self, path: str, key: str) -> FileMeta:
        with self._translated(key):
            found = self._client.get_meta(path, fields=["type", "size", "md5", "sha256", "revision", "file"])
        if found.type != "file" or found.size is None:
            raise ObjectNotFoundError(key)
        return FileMeta(found.size, found.sha256 or found.md5 or str(found.revision), found.md5, found.file)

    def _link(self, path: str, key: str) -> str:
        with self._translated(key):
            return self._client.get_download_link(path)

    def file_exists(self, key: str) -> bool:
        """See the contract."""
        path = self._path(key)
        try:
            with self._translated(key):
                return self._client.get_type(path) == "file"
        except ObjectNotFoundError:
            return False

    def delete_file(self, key: str) -> None:
        """Remove the file for good; folders stay, for removing one would take along what was put into it meanwhile."""
        path = self._path(key)
        with suppress(ObjectNotFoundError), self._translated(key):
            if self._client.get_type(path) == "file":
                self._client.remove(path, permanently=True, **WAITING)

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Folder by folder, while it is asked for more: the entries of the open folders are in memory.

        Yandex Disk sorts names its own way, so each folder is read whole, and sorted here.
        """
        base = f"{self._path(prefix)}/"
        waiting: list[_Entry] = [(f"{check_key(prefix)}/", None)]
        cut = len(base) - len(waiting[0][0])
        with self._translated(prefix):
            while waiting:
                name, found = waiting.pop()
                if found is None:
                    below = self._entries_in(f"{base[:cut]}{name}".rstrip("/"), name)
                    waiting += sorted((entry for entry in below if _is_after(entry[0], after)), reverse=True)
                elif is_key(name):
                    yield ListedObject(name, *found)

    def _entries_in(self, path: str, prefix: str) -> "Iterator[_Entry]":
        """Files with what is known of them, and folders with a slash at their end, which then sort as what is in them does."""
        try:
            for item in self._client.listdir(path, fields=["name", "type", "size", "modified"]):
                name = f"{prefix}{item.name}"
                if item.type == "dir":
                    yield f"{name}/", None
                elif item.size is not None and item.modified is not None:
                    yield name, (item.size, item.modified)
                else:
                    raise unavailable("Yandex Disk's listing does not say how large and how old its files are.")
        except (yandex.PathNotFoundError, yandex.WrongResourceTypeError):
            return

    def get_file_url(self, key: str) -> str:
        """Below `public_base_url`; without one the file is published, and has its public page's URL for good.

        Then the object must exist (ObjectNotFoundError).
        """
        path, base_url = self._path(key), self._settings.public_base_url
        if base_url:
            return f"{base_url.rstrip('/')}/{quote(join_key(self._base_path, key))}"
        known = self._public_urls.get(path)
        if known is None:
            with self._translated(key):
                self._client.publish(path)
                known = self._client.get_meta(path, fields=["public_url"]).public_url
            if not known:
                raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Yandex Disk gave a published file no address.")
            remember(self._public_urls, path, known)
        return known

    def close(self) -> None:
        """Close the connection pool."""
        self._client.close()

    def _path(self, key: str) -> str:
        return f"{self._settings.root}{join_key(self._base_path, check_key(key))}"

    def _translated(self, key: str) -> AbstractContextManager[None]:
        return translated(key, lambda: self._transport.retry_after_s)


def _is_after(name: str, after: str) -> bool:
    """Return whether a file, or something in a folder, may come after `after`."""
    return name > after or (name.endswith("/") and after.startswith(name))


def build(credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    """Return the provider of one connection. Raises PermanentError for credentials or settings that cannot work."""
    found, limits = parse_credentials(YandexDiskCredentials, credentials), settings.limits
    yandex_disk = YandexDiskSettings(
        token=found.token.get_secret_value(),
        api_url=settings.policy.check_url(settings.options_of(YandexDiskOptions).yandex_disk_api_url),
        root=found.root,
        public_base_url=found.public_base_url,
        timeout_s=(limits.connect_timeout_s, limits.read_timeout_s),
    )
    session = guarded_session(settings.policy, max_connections=limits.max_connections)
    return YandexDiskProvider(yandex_disk, base_path=base_path, session=session)
