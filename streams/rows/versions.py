"""The versions (folders of renditions) of one upload, and those that its row says were given up."""

import re
from typing import Final

from schemas.events import ThumbnailFailed, ThumbnailReady, upload_version

MOST_GIVEN_UP: Final = 32
"""So many versions of one upload a row remembers: 32 of at most 50 characters fit into their column."""
_VERSION: Final = re.compile(r"(?P<upload>\d+T\d{6}\.\d{6}Z-[0-9a-f]{12})(-r[0-9a-f]{12})?(?=-|$)")
"""The beginning of every folder that the pipeline makes: see upload_version."""


def version_of(result: ThumbnailReady | ThumbnailFailed) -> str:
    """Return the version that `result` is about. One that is no version of its upload does not count."""
    version = upload_version(result.occurred_at, result.upload_event_id)
    if isinstance(result, ThumbnailFailed):
        named = result.version or ""
    else:
        named = result.renditions[0].key.rpartition("/")[0].rpartition("/")[2] if result.renditions else ""
    found = _VERSION.match(named)
    return version if found is None or found["upload"] != version else found.group()


def version_in(folder: str) -> str | None:
    """Return the version with which the name of a folder begins; None where the folder is not the pipeline's."""
    found = _VERSION.match(folder)
    return None if found is None else found.group()


def upload_of(folder: str) -> str | None:
    """Return what all versions of an upload begin with, of a version or a folder; None where that is not the pipeline's."""
    found = _VERSION.match(folder)
    return None if found is None else found["upload"]


def given_up_text(versions: tuple[str, ...]) -> str | None:
    """Return the column thumbnail_given_up for `versions`."""
    return " ".join(versions) or None


def given_up_versions(text: str | None) -> tuple[str, ...]:
    """Return the versions in the column thumbnail_given_up, the first one first. Rows of 0.1 have none."""
    return tuple((text or "").split())
