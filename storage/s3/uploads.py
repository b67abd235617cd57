"""Puts one object and proves that the server kept it, with the strongest proof that the server takes."""

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from schemas.errors import ErrorCode, TransientError
from storage.s3.abilities import Abilities, UploadProof, code_of, may_be_a_header
from storage.s3.reader import MinioReader, bare_etag

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import PutObjectOutputTypeDef

_PUT_TRIES: Final = 3


@dataclass(frozen=True)
class Uploads:
    """Uploads to one bucket. `extra` are the parameters that all of them have."""

    client: "S3Client"
    bucket: str
    abilities: Abilities
    extra: dict[str, Any]

    def put(self, object_key: str, content: bytes, content_type: str) -> str | None:
        """Store the object with one PUT and return its ETag, or SHA-256 without one, or None where the server did not keep it.

        A server that refuses the checksum's header gets the upload again with a weaker one, and remembers nothing
        worse than what it took in the end. Its own SHA-256, an ETag that is the content's MD5, or the object read back
        is the proof. Raises boto's errors.
        """
        sha256 = hashlib.sha256(content)
        checksum = _base64(sha256.digest())
        answer = self._put_with_proof(content, checksum, Key=object_key, ContentType=content_type)
        version = bare_etag(answer.get("ETag", "")) or sha256.hexdigest()
        if answer.get("ChecksumSHA256") == checksum:
            return version
        is_there = self._is_there(object_key, content, answer.get("ETag", ""))
        if is_there and not answer.get("ChecksumSHA256"):
            self.abilities.confirms_sha256 = False
        return version if is_there else None

    def _put_with_proof(self, content: bytes, checksum: str, **request: Any) -> "PutObjectOutputTypeDef":
        md5 = _base64(hashlib.md5(content, usedforsecurity=False).digest())
        headers = {UploadProof.SHA256: {"ChecksumSHA256": checksum}, UploadProof.MD5: {"ContentMD5": md5}}
        for proof, header in headers.items():
            if proof < self.abilities.proof:
                continue
            try:
                answer = self._put(Body=content, **request, **header)
            except ClientError as exc:
                if not may_be_a_header(exc):
                    raise
            else:
                self.abilities.proof = proof
                return answer
        answer = self._put(Body=content, **request)
        self.abilities.proof = UploadProof.NONE
        return answer

    def _put(self, **request: Any) -> "PutObjectOutputTypeDef":
        """Put, and again where access is denied: MinIO says so, too, when a deletion prunes the folder meanwhile."""
        for _ in range(_PUT_TRIES - 1):
            try:
                return self.client.put_object(Bucket=self.bucket, **request, **self.extra)
            except ClientError as exc:
                if code_of(exc) != "AccessDenied":
                    raise
        return self.client.put_object(Bucket=self.bucket, **request, **self.extra)

    def _is_there(self, object_key: str, content: bytes, etag: str) -> bool:
        if bare_etag(etag) == hashlib.md5(content, usedforsecurity=False).hexdigest():
            return True
        try:
            with MinioReader(self.client, self.bucket, object_key, object_key, self.abilities) as found:
                return found.size == len(content) and found.read_at(0, found.size) == content
        except TransientError as error:  # it is not there, or was replaced while it was read
            if error.code not in (ErrorCode.SOURCE_MISSING, ErrorCode.SOURCE_UNREADABLE):
                raise
            return False


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
