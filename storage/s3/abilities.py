"""The abilities of one S3 server, learned by use: a refused feature is not requested again."""

from enum import IntEnum
from typing import Any, Final

from botocore.exceptions import ClientError

_HEADER_CODES: Final = frozenset(
    {"InvalidArgument", "InvalidRequest", "NotImplemented", "XNotImplemented", "UnsupportedHeader", "400", "501", ""}
)
"""Codes of answers with status 400 that may mean a header. Others name the key, the credentials or the bytes."""


class UploadProof(IntEnum):
    """The proofs of an upload that a server can check, the strongest first."""

    SHA256 = 0
    MD5 = 1
    NONE = 2


class Abilities:
    """One for a connection, shared by its uploads, readers and listings. Each field is set once, from any thread."""

    def __init__(self) -> None:
        """Begin with a server that does all that Amazon's does."""
        self.proof = UploadProof.SHA256
        self.confirms_sha256 = True
        self.has_if_match = True
        self.has_ranges = True
        self.lists_by_version_2 = True
        self.lists_in_order = True

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for each ability that the server was found to lack, and what is done instead."""
        proof = {
            UploadProof.SHA256: "The server does not confirm the SHA-256 of an upload: an ETag that is its MD5 does, or it is read back.",
            UploadProof.MD5: "The server refuses SHA-256 checksums: uploads carry an MD5, and the ETag confirms it, or they are read back.",
            UploadProof.NONE: "The server refuses checksums: an ETag that is the MD5 of an upload confirms it, or it is read back.",
        }[self.proof]
        found = (
            (self.proof is UploadProof.SHA256 and self.confirms_sha256, proof),
            (
                self.has_if_match,
                "The server refuses If-Match: each read compares ETag, size and modification time itself.",
            ),
            (
                self.has_ranges,
                "The server ignores ranges: each read begins at an object's start, and far ones are refused.",
            ),
            (self.lists_by_version_2, "The server has no ListObjectsV2: ListObjects is used."),
            (self.lists_in_order, "The server lists in no order: a listing is read whole, and large ones are refused."),
        )
        return tuple(sentence for is_there, sentence in found if not is_there)


def status_of(exc: ClientError) -> int:
    """Return the HTTP status of an answer."""
    meta: Any = exc.response.get("ResponseMetadata", {})
    return int(meta.get("HTTPStatusCode", 0))


def code_of(exc: ClientError) -> str:
    """Return S3's code in an answer; it is the status where there was no body."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def may_be_a_header(exc: ClientError) -> bool:
    """Return whether the answer may refuse a header that the request can do without."""
    status = status_of(exc)
    return status == 501 or (status == 400 and code_of(exc) in _HEADER_CODES)
