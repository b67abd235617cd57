"""Translates what Yandex Disk answers, or fails to answer, to our own errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import requests
from urllib3.exceptions import HTTPError
from yadisk import exceptions as yandex

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError

LOCKED_WAIT_S: Final = 10.0
"""A folder is locked while an operation runs on it: seconds, not milliseconds."""
LIMITED_WAIT_S: Final = 5.0


def no_hint() -> float | None:
    """Return None: the answer of these calls cannot say when to retry."""
    return None


@contextmanager
def translated(key: str, retry_after_s: Callable[[], float | None] = no_hint) -> Iterator[None]:
    """Raise our own error for each of yadisk's and requests', `from` it; `key` is named where the object is the matter."""
    try:
        yield
    except (yandex.YaDiskError, requests.RequestException, HTTPError) as exc:
        raise _ours(exc, key, retry_after_s()) from exc


def unavailable(message: str, retry_after_s: float | None = None) -> TransientError:
    """Yandex Disk did not do what it does; it may later."""
    return TransientError(ErrorCode.STORAGE_UNAVAILABLE, message, retry_after_s=retry_after_s)


def _ours(exc: Exception, key: str, hint_s: float | None) -> ThumbnailError:
    found = _by_class(exc, key, hint_s)
    if found is not None:
        return found
    if "CERTIFICATE_VERIFY_FAILED" in str(exc):
        return PermanentError(ErrorCode.STORAGE_DENIED, "Yandex Disk's certificate is not trusted.")
    if isinstance(exc, yandex.RequestTimeoutError | requests.Timeout):
        return unavailable("Yandex Disk did not answer in time.")
    if isinstance(exc, requests.exceptions.InvalidSchema | yandex.TooManyRedirectsError):
        return PermanentError(ErrorCode.STORAGE_DENIED, "Yandex Disk redirects to where storage may not connect.")
    if isinstance(exc, yandex.RequestError | requests.RequestException | HTTPError):
        return unavailable("The connection to Yandex Disk broke.")
    if isinstance(exc, yandex.InvalidResponseError | yandex.NotFoundError):
        return unavailable("The endpoint answered with something that is not Yandex Disk's API.")
    if isinstance(exc, yandex.BadRequestError | yandex.ConflictError):
        return PermanentError(ErrorCode.STORAGE_DENIED, f"Yandex Disk refuses: {type(exc).__name__}.")
    return unavailable(f"Yandex Disk failed: {type(exc).__name__}.", hint_s)


def _by_class(exc: Exception, key: str, hint_s: float | None) -> ThumbnailError | None:
    if isinstance(exc, yandex.PathNotFoundError):
        return ObjectNotFoundError(key)
    if isinstance(exc, yandex.UnauthorizedError):
        return PermanentError(ErrorCode.STORAGE_DENIED, "Yandex Disk refuses: the token is wrong or has expired.")
    if isinstance(exc, yandex.ForbiddenError):
        return PermanentError(ErrorCode.STORAGE_DENIED, "Yandex Disk refuses: access is denied.")
    if isinstance(exc, yandex.PayloadTooLargeError):
        return PermanentError(
            ErrorCode.STORAGE_DENIED, "Yandex Disk refuses: the account may not have files this large."
        )
    if isinstance(exc, yandex.LockedError):
        wait_s = hint_s or LOCKED_WAIT_S
        return TransientError(ErrorCode.STORAGE_LOCKED, "Yandex Disk keeps the file locked.", retry_after_s=wait_s)
    if isinstance(exc, yandex.TooManyRequestsError):
        wait_s = hint_s or LIMITED_WAIT_S
        return TransientError(ErrorCode.STORAGE_RATE_LIMITED, "Yandex Disk limits requests.", retry_after_s=wait_s)
    if isinstance(exc, yandex.InsufficientStorageError):
        return TransientError(ErrorCode.STORAGE_FULL, "Yandex Disk is full.")
    return None
