"""Ranged reads of one version of an S3 object: the first request opens it and brings its beginning, too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from schemas.errors import ErrorCode, TransientError
from storage.base import SourceReader, span
from storage.ranges import RangedAnswer, replaced
from storage.s3.errors import translated, unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

FIRST_READ_BYTES: Final = 256 * 1024
"""Read while opening: every decoder begins at the beginning, so this saves a request."""


class MinioReader(SourceReader):
    """Pinned to an ETag: each read is conditional on it, and its answer is compared with it."""

    def __init__(self, client: "S3Client", bucket: str, object_key: str, key: str) -> None:
        """`key` is the caller's name of `object_key`. Raises as StorageProvider.open_source does."""
        self._client: Final = client
        self._bucket: Final = bucket
        self._object_key: Final = object_key
        self._key: Final = key
        with translated(key):
            self._size, self._version, self._head = self._open()

    def _open(self) -> tuple[int, str, bytes]:
        try:
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._object_key, Range=f"bytes=0-{FIRST_READ_BYTES - 1}"
            )
        except ClientError as exc:
            if exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 416:
                raise
            return self._open_empty()
        with body_of(answer) as body:
            ranged, size = _ranged(answer, body)
            return size, etag_of(answer), ranged.read_exactly(min(size, FIRST_READ_BYTES))

    def _open_empty(self) -> tuple[int, str, bytes]:
        """Open an empty object: it has no first byte, so the server refused the range."""
        found = self._client.head_object(Bucket=self._bucket, Key=self._object_key)
        if found["ContentLength"]:
            raise TransientError(ErrorCode.SOURCE_UNREADABLE, f"The object {self._key!r} changes while it is opened.")
        return 0, etag_of(found), b""

    @property
    def size(self) -> int:
        """As in the contract."""
        return self._size

    @property
    def version(self) -> str:
        """Return the ETag."""
        return self._version

    def read_at(self, offset: int, length: int) -> bytes:
        """As in the contract; what came with the opening is not asked for again."""
        length = span(offset, length, self._size)
        if not length or offset + length <= len(self._head):
            return self._head[offset : offset + length]
        with translated(self._key):
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=self._object_key,
                Range=f"bytes={offset}-{offset + length - 1}",
                IfMatch=f'"{self._version}"',
            )
            with body_of(answer) as body:
                ranged, size = _ranged(answer, body)
                if etag_of(answer) != self._version or size != self._size:
                    raise replaced(self._key)
                return ranged.read_range(offset, length, size)

    def close(self) -> None:
        """Let go of the object's beginning; connections belong to the client."""
        self._head = b""


def etag_of(answer: Any) -> str:
    """Return the answer's ETag without its quotes. Raises TransientError for an answer without one: S3 always has it."""
    etag = str(answer.get("ETag", "")).strip('"')
    if not etag:
        raise unavailable("The S3 storage's endpoint answered with something that is not S3.")
    return etag


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


def _ranged(answer: "GetObjectOutputTypeDef", body: Any) -> tuple[RangedAnswer, int]:
    """Return the answer as a ranged one, and the object's size. Raises TransientError where it does not say that."""
    found = RangedAnswer("The S3 storage", answer.get("ContentRange") or None, answer.get("ContentLength"), body.read)
    if found.total is None:
        raise unavailable("The S3 storage does not say how long the object is.")
    return found, found.total
