"""The thumbnails in a company's storages, media by media, in the order of their keys."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from schemas.errors import ErrorCode, PermanentError
from schemas.events import MAX_DATABASE_ID, MediaKind
from storage.base import ListedObject
from storage.tenants import TenantStorage
from streams.rows.versions import version_in

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class MediaObjects:
    """The objects of one media in one storage, by folder: only folders with a version's name count."""

    row_id: int
    folders: dict[str, list[ListedObject]]

    @property
    def by_key(self) -> dict[str, ListedObject]:
        """Return all objects by their keys."""
        return {found.key: found for objects in self.folders.values() for found in objects}


@dataclass(frozen=True)
class ThumbnailListing:
    """The thumbnails of one kind in one storage of a company.

    `on_foreign` is called for each object in a folder that the pipeline did not make: these are left alone.
    """

    storage: TenantStorage
    kind: MediaKind
    on_foreign: Callable[[], None] = lambda: None

    @property
    def prefix(self) -> str:
        """Return the folder that holds the folders of all media."""
        return f"{self.storage.prefix}/thumbnails/{self.kind}"

    def media(self, after: str = "") -> Iterator[MediaObjects]:
        """Return what lies there of each media whose id comes after `after` as text.

        Raises ThumbnailError: also for a listing out of order, in which objects would seem to be missing.
        """
        # "0" is the character after "/": all that is in the folder of `after` is behind us.
        found = self._ours(self.storage.list_objects(self.prefix, after=f"{self.prefix}/{after}0" if after else ""))
        last = after
        for name, entries in groupby(found, key=lambda entry: entry[0]):
            if name <= last:
                raise _out_of_order(name)
            last = name
            folders: dict[str, list[ListedObject]] = {}
            for _, folder, one in entries:
                folders.setdefault(folder, []).append(one)
            yield MediaObjects(int(name), folders)

    def one(self, row_id: int) -> MediaObjects:
        """Return what lies there of one media at this moment. Raises ThumbnailError."""
        folders: dict[str, list[ListedObject]] = {}
        for _, folder, found in self._ours(self.storage.list_objects(f"{self.prefix}/{row_id}")):
            folders.setdefault(folder, []).append(found)
        return MediaObjects(row_id, folders)

    def _ours(self, listed: Iterator[ListedObject]) -> Iterator[tuple[str, str, ListedObject]]:
        cut = len(self.prefix) + 1
        for found in listed:
            parts = found.key[cut:].split("/")
            if len(parts) == 3 and _is_id(parts[0]) and version_in(parts[1]) is not None:
                yield parts[0], parts[1], found
            else:
                self.on_foreign()


def _is_id(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and int(text) <= MAX_DATABASE_ID


def _out_of_order(name: str) -> PermanentError:
    return PermanentError(
        ErrorCode.STORAGE_UNAVAILABLE,
        f"The storage lists the media {name} out of order: what it holds cannot be compared with the rows.",
    )
