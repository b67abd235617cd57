"""Lists a folder of a bucket in order, by whichever listing the server has."""

from collections.abc import Iterator
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from schemas.errors import ErrorCode, PermanentError
from storage.s3.abilities import Abilities, code_of, status_of
from storage.s3.errors import translated, unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

SORTED_HERE: Final = 100_000
"""The most objects of a listing that the server does not sort: they take about 50 MB."""


def list_in_order(
    client: "S3Client", bucket: str, folder: str, after: str, abilities: Abilities
) -> Iterator["ObjectTypeDef"]:
    """Return the objects whose keys begin with `folder` and come after `after`, in the order of their keys.

    Raises ThumbnailError for a server that fails, that never comes to an end, or whose order changes midway.
    """
    if not after.startswith(folder):
        if after > folder:
            return
        after = ""  # everything comes after it; MinIO refuses to begin outside of the folder
    pages = _pages(client, bucket, folder, after, abilities)
    seen = ""
    for page in pages:
        keys = [seen, *(found["Key"] for found in page)]
        if any(one > other for one, other in pairwise(keys)):
            abilities.lists_in_order = False
            if seen:
                raise _too_many("begins its listing in order and goes on without")
            page = _all_sorted(chain([page], pages))  # the rest of the listing is its last page
        for found in page:
            if found["Key"] > max(after, seen):
                yield found
            seen = max(seen, found["Key"])


def _all_sorted(pages: Iterator[list["ObjectTypeDef"]]) -> list["ObjectTypeDef"]:
    found: list[ObjectTypeDef] = []
    for page in pages:
        found += page
        if len(found) > SORTED_HERE:
            raise _too_many(f"lists in no order, and more than {SORTED_HERE:,} objects")
    return sorted(found, key=lambda one: one["Key"])


def _too_many(what: str) -> PermanentError:
    return PermanentError(ErrorCode.STORAGE_DENIED, f"The S3 storage {what}, so that it cannot be read to its end.")


def _pages(
    client: "S3Client", bucket: str, folder: str, after: str, abilities: Abilities
) -> Iterator[list["ObjectTypeDef"]]:
    """Return the listing's pages. A server may have version 2 of the listing, or only say so: then version 1 goes on."""
    token, marker = "", after
    while True:
        page = _page(client, {"Bucket": bucket, "Prefix": folder}, token, marker, abilities)
        if "Name" not in page:
            # An answer that was cut off in its head has no body, which botocore takes for an empty listing.
            raise unavailable("The S3 storage's answer is no listing.")
        contents = page.get("Contents", [])
        yield contents
        if not page.get("IsTruncated"):
            return
        next_token, before = page.get("NextContinuationToken", ""), marker
        marker = max([marker, page.get("NextMarker", ""), *(found["Key"] for found in contents[-1:])])
        if not next_token:
            abilities.lists_by_version_2 = False
        if (next_token == token) if next_token else (marker == before):
            raise unavailable("The S3 storage gives the same page of a listing again and again.")
        token = next_token


def _page(client: "S3Client", request: dict[str, Any], token: str, marker: str, abilities: Abilities) -> Any:
    with translated(request["Prefix"]):
        if abilities.lists_by_version_2:
            start: dict[str, Any] = {"ContinuationToken": token} if token else {"StartAfter": marker} if marker else {}
            try:
                return client.list_objects_v2(**request, **start)
            except ClientError as exc:
                if token or (status_of(exc) != 501 and code_of(exc) != "NotImplemented"):
                    raise
                abilities.lists_by_version_2 = False
        from_marker: dict[str, Any] = {"Marker": marker} if marker else {}
        return client.list_objects(**request, **from_marker)
