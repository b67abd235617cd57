"""Translates what Azure answers, or fails to answer, to our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from azure.core import exceptions as azure
from requests import RequestException
from urllib3.exceptions import HTTPError

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.outbound import retry_after_s
from storage.ranges import replaced

_BAD_KEY: Final = frozenset({"InvalidResourceName", "OutOfRangeInput", "InvalidUri", "ContainerNameTooLong"})
_LIMITED: Final = frozenset({"ServerBusy", "AccountIOPSLimitExceeded", "IngressLimitExceeded", "EgressLimitExceeded"})
_FULL: Final = frozenset({"AccountCapacityExceeded", "InsufficientStorage"})
_UNVERIFIED: Final = frozenset({"Md5Mismatch", "Crc64Mismatch", "InvalidMd5"})
_LOCKED: Final = frozenset({"LeaseIdMissing", "LeaseAlreadyPresent", "BlobBeingRehydrated", "PendingCopyOperation"})
_PASSING: Final = frozenset({"OperationTimedOut", "InternalError", "ContainerBeingDeleted", "AccountBeingCreated"})
_LIMITED_WAIT_S: Final = 5.0
_LOCKED_WAIT_S: Final = 60.0
_REASONS: Final = {
    "ContainerNotFound": "the container does not exist",
    "ContainerDisabled": "the container is disabled",
    "AuthenticationFailed": "the account key or the SAS token is wrong or has expired",
    "AuthorizationFailure": "access is denied: the key is wrong, or the account's firewall refuses",
    "AuthorizationPermissionMismatch": "the SAS token does not allow this",
    "AuthorizationProtocolMismatch": "the SAS token allows https alone",
    "AuthorizationSourceIPMismatch": "the SAS token does not allow this address",
    "InsufficientAccountPermissions": "access is denied",
    "KeyBasedAuthenticationNotPermitted": "the account allows no keys",
    "InvalidAuthenticationInfo": "the account key or the SAS token is wrong",
    "AccountIsDisabled": "the account is disabled",
    "BlobImmutableDueToPolicy": "the container's policy keeps the object as it is",
    "BlobArchived": "the object is in an archive",
    "InvalidBlobType": "the blob is not a block blob",
}


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Raise our own error for each of the SDK's, `from` it; `key` is named where the object itself is the matter."""
    try:
        yield
    except azure.HttpResponseError as exc:
        raise _answered(exc, key) from exc
    except (azure.AzureError, RequestException, HTTPError) as exc:
        raise _unanswered(exc) from exc
    except ValueError as exc:  # the SDK's own for answers that lack a header, and for credentials that are none
        raise unavailable("The endpoint answered with something that is not Azure Blob Storage.") from exc


def unavailable(message: str) -> TransientError:
    """Return the error for a store that did not do what Azure does; it may later."""
    return TransientError(ErrorCode.STORAGE_UNAVAILABLE, message)


def code_of(exc: azure.HttpResponseError) -> str:
    """Return Azure's code in an answer; empty where it has none."""
    found = getattr(exc, "error_code", None) or ""
    return str(getattr(found, "value", found))


def _answered(exc: azure.HttpResponseError, key: str) -> ThumbnailError:
    code, status = code_of(exc), exc.status_code or 0
    if not status:  # the SDK's wrapper of a connection that broke within a body
        return unavailable("The connection to Azure broke.")
    reason = _REASONS.get(code, f"it answered {code[:60]} with status {status}" if code else f"status {status}")
    if code == "BlobNotFound" or (status == 404 and code in ("", "ResourceNotFound")):
        return ObjectNotFoundError(key)
    if (
        status in (412, 416) and code not in _LOCKED
    ):  # the ETag that was asked for is gone, or the object is shorter now
        return replaced(key)
    if code in _BAD_KEY:
        return PermanentError(ErrorCode.STORAGE_BAD_KEY, f"Azure cannot have the key {key[:80]!r}: {reason}.")
    if code in _UNVERIFIED:
        return TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"Azure got other bytes than were sent: {code}.")
    headers: Any = getattr(exc.response, "headers", None) or {}
    wait_s = retry_after_s(headers.get("Retry-After"))
    if code in _LIMITED or status == 429:
        wait_s = wait_s or _LIMITED_WAIT_S
        return TransientError(ErrorCode.STORAGE_RATE_LIMITED, "Azure limits requests.", retry_after_s=wait_s)
    if code in _FULL or status == 507:
        return TransientError(ErrorCode.STORAGE_FULL, "The Azure account is full.", retry_after_s=wait_s)
    if code in _LOCKED:
        wait_s = wait_s or _LOCKED_WAIT_S
        return TransientError(ErrorCode.STORAGE_LOCKED, f"Azure keeps the blob locked: {code}.", retry_after_s=wait_s)
    if code in _PASSING or (status >= 500 and status not in (501, 505)) or status == 408:
        return TransientError(ErrorCode.STORAGE_UNAVAILABLE, f"Azure failed: {reason}.", retry_after_s=wait_s)
    return PermanentError(ErrorCode.STORAGE_DENIED, f"Azure refuses: {reason}.")


def _unanswered(exc: Exception) -> ThumbnailError:
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        message = "Azure's certificate is not trusted; the connection's ca_pem may name who issued it."
        return PermanentError(ErrorCode.STORAGE_DENIED, message)
    if isinstance(exc, azure.ServiceRequestTimeoutError | azure.ServiceResponseTimeoutError):
        return unavailable("Azure did not answer in time.")
    if isinstance(exc, azure.ServiceRequestError):
        return unavailable("Azure cannot be reached.")
    if isinstance(exc, azure.DecodeError):
        return unavailable("The endpoint answered with something that is not Azure Blob Storage.")
    return unavailable(f"The connection to Azure broke: {type(exc).__name__}.")
