"""Ranged reads of one version of an S3 object: the first request opens it and brings its beginning, too."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from schemas.errors import ErrorCode, PermanentError, TransientError
from storage.base import SourceReader, span
from storage.ranges import RangedAnswer, replaced
from storage.s3.abilities import Abilities, may_be_a_header, status_of
from storage.s3.errors import translated, unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

FIRST_READ_BYTES: Final = 256 * 1024
"""Read while opening: every decoder begins at the beginning, so this saves a request."""


_SETTLED: Final = timedelta(seconds=2)
"""Times in HTTP are whole seconds: an object that is older than this when it is opened gets another time when it changes."""


@dataclass(frozen=True)
class _Version:
    """The object's version, as an answer tells it."""

    etag: str
    size: int
    modified_at: datetime | None
    is_settled: bool

    @classmethod
    def of(cls, answer: Any, size: int) -> "_Version":
        """Raises TransientError for an answer with neither an ETag nor a time."""
        require_s3(answer)
        modified_at, seen_at = answer.get("LastModified"), _date_of(answer)
        is_settled = None not in (modified_at, seen_at) and seen_at - modified_at >= _SETTLED
        return cls(bare_etag(answer.get("ETag", "")), size, modified_at, is_settled)

    def is_same(self, later: "_Version") -> bool:
        """Return whether an answer that came later is about the same content.

        Some servers give one object several ETags, so another one alone proves no change; nor does the same time prove
        that there was none, unless the object was settled. A server without ETags has the time alone.
        """
        if self.size != later.size:
            return False
        has_same_etag = self.etag != "" and self.etag == later.etag
        return has_same_etag or (self.is_settled and self.modified_at == later.modified_at)


class MinioReader(SourceReader):
    """Pinned to a version: each read is conditional on its ETag, and what its answer says is compared with it."""

    def __init__(self, client: "S3Client", bucket: str, object_key: str, key: str, abilities: Abilities) -> None:
        """`key` is the caller's name of `object_key`. Raises as StorageProvider.open_source does."""
        self._client: Final = client
        self._bucket: Final = bucket
        self._object_key: Final = object_key
        self._key: Final = key
        self._abilities: Final = abilities
        self._if_match = ""
        with translated(key):
            self._opened, self._head = self._open()

    def _open(self) -> tuple[_Version, bytes]:
        try:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._object_key, Range=f"bytes=0-{FIRST_READ_BYTES - 1}"
            )
        except ClientError as exc:
            if status_of(exc) != 416:
                raise
            return self._open_empty()
        with body_of(answer) as body:
            ranged, size = self._ranged(answer, body)
            self._if_match = answer.get("ETag", "")
            return _Version.of(answer, size), ranged.read_exactly(min(size, FIRST_READ_BYTES))

    def _open_empty(self) -> tuple[_Version, bytes]:
        """Open an empty object: it has no first byte, so the server refused the range."""
        found = self._client.head_object(Bucket=self._bucket, Key=self._object_key)
        if found.get("ContentLength"):
            raise TransientError(ErrorCode.SOURCE_UNREADABLE, f"The object {self._key!r} changes while it is opened.")
        return _Version.of(found, 0), b""

    @property
    def size(self) -> int:
        """See the contract."""
        return self._opened.size

    @property
    def version(self) -> str:
        """Return the ETag; without one, what is known: time, size and how the object begins."""
        if self._opened.etag:
            return self._opened.etag
        return f"{self._opened.modified_at}-{self.size}-{hashlib.sha256(self._head).hexdigest()[:16]}"

    def read_at(self, offset: int, length: int) -> bytes:
        """See the contract. Bytes that came with the opening are not requested again.

        A condition that is refused proves nothing: the answer without it says whether the object is still the same.
        """
        length = span(offset, length, self.size)
        if not length or offset + length <= len(self._head):
            return self._head[offset : offset + length]
        with translated(self._key):
            answer, was_refused = self._get(f"bytes={offset}-{offset + length - 1}")
            with body_of(answer) as body:
                ranged, size = self._ranged(answer, body)
                if not self._opened.is_same(_Version.of(answer, size)):
                    raise replaced(self._key)
                if was_refused:
                    self._abilities.has_if_match = False
                return ranged.read_range(offset, length, size)

    def _get(self, wanted: str) -> tuple["GetObjectOutputTypeDef", bool]:
        """Return the answer, and whether it came only after the condition had been refused."""
        get: dict[str, Any] = {"Bucket": self._bucket, "Key": self._object_key, "Range": wanted}
        if not (self._abilities.has_if_match and self._if_match):
            return self._client.get_object(**get), False
        try:
            return self._client.get_object(**get, IfMatch=self._if_match), False
        except ClientError as exc:
            if status_of(exc) != 412 and not may_be_a_header(exc):
                raise
        return self._client.get_object(**get), True

    def _ranged(self, answer: "GetObjectOutputTypeDef", body: Any) -> tuple[RangedAnswer, int]:
        """Return the answer as a ranged one, and the object's size, which HEAD has to say where the answer does not.

        Raises PermanentError where nothing says it: that will not change, so it is no outage.
        """
        ranges = answer.get("ContentRange") or None
        found = RangedAnswer("The S3 storage", ranges, answer.get("ContentLength"), body.read)
        size = found.total
        if size is None:
            require_s3(answer)
            head: Any = self._client.head_object(Bucket=self._bucket, Key=self._object_key)
            size = head.get("ContentLength")
        if size is None:
            message = "The S3 storage says neither with an object nor in answer to HEAD how long the object is."
            raise PermanentError(ErrorCode.STORAGE_DENIED, message)
        if ranges is None:
            self._abilities.has_ranges = False
        return found, size

    def close(self) -> None:
        """Let go of the object's beginning; connections belong to the client."""
        self._head = b""


def require_s3(answer: Any) -> None:
    """Raise TransientError for an answer with neither an ETag nor a time: a page of something that stands before S3."""
    if not bare_etag(answer.get("ETag", "")) and answer.get("LastModified") is None:
        raise unavailable("The S3 storage's endpoint answered with something that is not S3.")


def bare_etag(etag: str) -> str:
    """Return an ETag without its quotes and without the mark of a weak one, in whichever form a server writes it."""
    return etag.strip().removeprefix("W/").strip('"')


def _date_of(answer: Any) -> datetime | None:
    try:
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, ValueError):
        return None


@contextmanager
def body_of(answer: "GetObjectOutputTypeDef") -> Iterator[Any]:
    """Yield the answer's body. Its connection is used again if the body was read to its end, else closed."""
    body: Any = answer["Body"]
    try:
        yield body
    finally:
        body.close()
        # Closing alone would take the connection's place in the pool along, and a bounded pool would run dry.
        body._raw_stream.release_conn()  # noqa: SLF001 - botocore has no public way
