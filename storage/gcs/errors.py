"""Translates what Google Cloud Storage answers, or fails to answer, to our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import requests
from google.api_core.exceptions import GoogleAPICallError
from google.auth import exceptions as login
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse  # type: ignore[import-untyped]  # it has no stubs
from urllib3.exceptions import HTTPError

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.outbound import retry_after_s
from storage.ranges import replaced

_NOT_GOOGLE: Final = "The endpoint answered with something that is not Google Cloud Storage."
_LIMITED_WAIT_S: Final = 5.0
_REASONS: Final = {
    400: "the request is not one that it takes",
    401: "the service account's key is wrong or was deleted",
    403: "the service account may not do this",
    405: "it does not allow this",
}


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Raise our own error for each of the SDK's, `from` it; `key` is named where the object itself is the matter."""
    try:
        yield
    except GoogleAPICallError as exc:
        headers: Any = getattr(exc.response, "headers", None) or {}
        raise refusal(int(exc.code or 0), str(exc.message), key, headers.get("Retry-After")) from exc
    except InvalidResponse as exc:
        answer: Any = exc.response
        raise refusal(answer.status_code, answer.text[:500], key, answer.headers.get("Retry-After")) from exc
    except DataCorruption as exc:
        raise _unverified(key) from exc
    except login.RefreshError as exc:
        raise _refused_login(exc) from exc
    except (login.GoogleAuthError, requests.RequestException, HTTPError) as exc:
        raise _unanswered(exc) from exc
    except (ValueError, KeyError, AttributeError) as exc:  # the SDK's, for answers that lack what Google's have
        raise unavailable(_NOT_GOOGLE) from exc


def unavailable(message: str) -> TransientError:
    """Return the error for a store that did not do what Google's does; it may later."""
    return TransientError(ErrorCode.STORAGE_UNAVAILABLE, message)


def refusal(status: int, message: str, key: str, retry_after: str | None) -> ThumbnailError:
    """Return our own error for an answer that is none of success. `message` is the server's, and is not handed on."""
    said, wait_s = message.lower(), retry_after_s(retry_after)
    if status == 404 and "bucket" in said and ("does not exist" in said or "bucket not found" in said):
        return PermanentError(ErrorCode.STORAGE_DENIED, "Google Cloud Storage refuses: the bucket does not exist.")
    if status == 404:
        return ObjectNotFoundError(key)
    if status in (412, 416):  # the generation that was asked for is gone, or the object is shorter now
        return replaced(key)
    if status == 400 and ("hash" in said or "md5" in said or "checksum" in said):
        return _unverified(key)
    if status == 400 and "object name" in said:
        return PermanentError(ErrorCode.STORAGE_BAD_KEY, f"Google Cloud Storage cannot have the key {key[:80]!r}.")
    if status == 429 or (status == 403 and "rate limit" in said):
        wait_s = wait_s or _LIMITED_WAIT_S
        return TransientError(
            ErrorCode.STORAGE_RATE_LIMITED, "Google Cloud Storage limits requests.", retry_after_s=wait_s
        )
    if status == 507 or (status == 403 and "quota" in said):
        return TransientError(ErrorCode.STORAGE_FULL, "Google Cloud Storage is full.", retry_after_s=wait_s)
    if status == 408 or (status >= 500 and status not in (501, 505)):
        sentence = f"Google Cloud Storage failed with status {status}."
        return TransientError(ErrorCode.STORAGE_UNAVAILABLE, sentence, retry_after_s=wait_s)
    reason = _REASONS.get(status, f"it answered with status {status}")
    return PermanentError(ErrorCode.STORAGE_DENIED, f"Google Cloud Storage refuses: {reason}.")


def _unverified(key: str) -> TransientError:
    message = f"Google Cloud Storage got other bytes than were sent as {key!r}."
    return TransientError(ErrorCode.UPLOAD_UNVERIFIED, message)


def _refused_login(exc: login.RefreshError) -> ThumbnailError:
    if exc.retryable:
        return unavailable("Google's login does not work at present.")
    message = "Google Cloud Storage refuses: the service account's key is wrong or was deleted."
    return PermanentError(ErrorCode.STORAGE_DENIED, message)


def _unanswered(exc: Exception) -> ThumbnailError:
    text = f"{exc} {exc.__cause__}"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        message = (
            "The certificate of Google Cloud Storage is not trusted; the connection's ca_pem may name who issued it."
        )
        return PermanentError(ErrorCode.STORAGE_DENIED, message)
    if isinstance(exc, requests.exceptions.InvalidSchema | requests.TooManyRedirects):
        message = "Google Cloud Storage redirects to where storage may not connect."
        return PermanentError(ErrorCode.STORAGE_DENIED, message)
    if isinstance(exc, requests.Timeout):
        return unavailable("Google Cloud Storage did not answer in time.")
    if isinstance(exc, requests.exceptions.InvalidJSONError):
        return unavailable(_NOT_GOOGLE)
    if isinstance(exc, requests.ConnectionError | login.TransportError):
        return unavailable("Google Cloud Storage cannot be reached.")
    return unavailable(f"The connection to Google Cloud Storage broke: {type(exc).__name__}.")
