"""Translates what an S3 server answers, or fails to answer, to our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.outbound import retry_after_s
from storage.ranges import replaced

_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
_BAD_KEY: Final = frozenset(
    {
        "KeyTooLongError",
        "XMinioInvalidObjectName",
        "XMinioObjectExistsAsDirectory",
        "XMinioParentIsObject",
        "XMinioInvalidResourceName",
    }
)
_LIMITED: Final = frozenset(
    {"SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "TooManyRequests"}
    | {"RequestLimitExceeded", "BandwidthLimitExceeded", "429"}
)
_FULL: Final = frozenset(
    {"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage", "507"}
)
_UNVERIFIED: Final = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody"}
)
_PASSING: Final = frozenset({"RequestTimeout", "OperationAborted", "InternalError", "ServiceUnavailable"})
_VIRTUAL: Final = "it wants the bucket in the host's name; set the connection's addressing to virtual"
_REASONS: Final = {
    "NoSuchBucket": "the bucket does not exist",
    "InvalidBucketName": "the bucket's name is not allowed",
    "AccessDenied": "access is denied",
    "InvalidAccessKeyId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "ExpiredToken": "the session token has expired",
    "AuthorizationHeaderMalformed": "the region is wrong",
    "PermanentRedirect": "the bucket is in another region or at another endpoint",
    "TemporaryRedirect": "it redirects to another endpoint",
    "InvalidObjectState": "the object is in an archive",
    "MethodNotAllowed": "it does not allow this",
    "NotImplemented": "it does not have this",
    "SecondLevelDomainForbidden": _VIRTUAL,
    "PathStyleDomainForbidden": _VIRTUAL,
    "AccessControlListNotSupported": "the bucket takes no ACL; take `acl` out of the connection",
    "InvalidStorageClass": "it does not have the connection's `storage_class`",
}


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Raise our own error for each of boto's, `from` it; `key` is named where the object itself is the matter."""
    try:
        yield
    except boto.ClientError as exc:
        raise _answered(exc, key) from exc
    except (boto.BotoCoreError, ResponseParserError, HTTPError) as exc:
        raise _unanswered(exc) from exc


def unavailable(message: str) -> TransientError:
    """Return the error for a store that did not do what an S3 server does; it may later."""
    return TransientError(ErrorCode.STORAGE_UNAVAILABLE, message)


def _answered(exc: boto.ClientError, key: str) -> ThumbnailError:
    response: Any = exc.response
    code = str(response.get("Error", {}).get("Code", ""))
    meta = response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0))
    reason = _REASONS.get(code, f"it answered {code[:60]} with status {status}")
    if code in _ABSENT:
        return ObjectNotFoundError(key)
    if status in (412, 416):  # the ETag that was asked for is gone, or the object has become shorter
        return replaced(key)
    if code in _BAD_KEY:
        return PermanentError(ErrorCode.STORAGE_BAD_KEY, f"The S3 storage cannot have the key {key[:80]!r}: {reason}.")
    if code == "RequestTimeTooSkewed":
        return unavailable("The S3 storage's clock and this host's differ too much; set this host's clock.")
    if code in _UNVERIFIED:
        return TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"The S3 storage got other bytes than were sent: {code}.")
    wait_s = retry_after_s(meta.get("HTTPHeaders", {}).get("retry-after"))
    if code in _LIMITED or status == 429:
        return TransientError(ErrorCode.STORAGE_RATE_LIMITED, "The S3 storage limits requests.", retry_after_s=wait_s)
    if code in _FULL or status == 507:
        return TransientError(ErrorCode.STORAGE_FULL, "The S3 storage is full.", retry_after_s=wait_s)
    # What a server does not have, it will not have in a minute: that is no outage, and opens no breaker.
    if code in _PASSING or (status >= 500 and status not in (501, 505)) or status == 408:
        message = f"The S3 storage failed: {reason}."
        return TransientError(ErrorCode.STORAGE_UNAVAILABLE, message, retry_after_s=wait_s)
    return PermanentError(ErrorCode.STORAGE_DENIED, f"The S3 storage refuses: {reason}.")


def _unanswered(exc: Exception) -> ThumbnailError:
    cause: Any = getattr(exc, "kwargs", {}).get("error")
    if isinstance(cause, ThumbnailError):
        return cause  # the endpoint policy's
    if isinstance(exc, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return PermanentError(
            ErrorCode.STORAGE_DENIED,
            "The S3 storage's certificate is not trusted; the connection's ca_pem may name who issued it.",
        )
    if isinstance(exc, boto.ParamValidationError | boto.NoCredentialsError | boto.InvalidRegionError):
        return PermanentError(ErrorCode.STORAGE_DENIED, f"The S3 connection cannot work: {type(exc).__name__}.")
    if isinstance(exc, boto.ConnectTimeoutError | boto.ReadTimeoutError):
        return unavailable("The S3 storage did not answer in time.")
    if isinstance(exc, boto.EndpointConnectionError):
        return unavailable("The S3 storage cannot be reached.")
    if isinstance(exc, ResponseParserError):
        return unavailable("The S3 storage's endpoint answered with something that is not S3.")
    return unavailable(f"The connection to the S3 storage broke: {type(exc).__name__}.")
