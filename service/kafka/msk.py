"""Sign tokens for Amazon MSK's login by IAM: a URL that only the holder of AWS credentials can sign, good for 15 minutes."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

import botocore.session
from botocore.credentials import CredentialProvider
from botocore.exceptions import BotoCoreError, ClientError

from service.kafka.oauth import RENEW_AFTER, TokenError

INSTALL: Final = "pip install 'thumbnail-pipeline[msk]'"

Sign = Callable[[str, CredentialProvider], tuple[str, int]]
"""Takes the region; returns a token, and when it expires, as Unix time in milliseconds."""


class MissingSignerError(Exception):
    """The extra `msk` is not installed; the message says so."""


class MskTokens:
    """Has a token at any time; threads may share it.

    Credentials come as in every AWS client (environment, files, role of the pod or machine), and renew themselves.
    """

    def __init__(self, region: str, *, now: Callable[[], float] = time.time) -> None:
        """Raises MissingSignerError."""
        self._region: Final = region
        self._now: Final = now
        self._sign: Final = _signer()
        self._provider: Final = _SharedCredentials()
        self._lock: Final = Lock()
        self._token = ""
        self._signed_at = self._expires_at = 0.0

    def token(self) -> str:
        """Return a token that has a part of its life before it. Raises TokenError."""
        return self.token_and_expiry()[0]

    def token_and_expiry(self) -> tuple[str, float]:
        """Return a token, and its end as Unix time in seconds. Raises TokenError."""
        with self._lock:
            now = self._now()
            if not self._token or now >= self._signed_at + RENEW_AFTER * (self._expires_at - self._signed_at):
                self._token, expires_ms = self._new_token()
                self._signed_at, self._expires_at = now, expires_ms / 1000
            return self._token, self._expires_at

    def _new_token(self) -> tuple[str, int]:
        try:
            return self._sign(self._region, self._provider)
        except (BotoCoreError, ClientError) as exc:
            raise TokenError(
                f"AWS gives no credentials for KAFKA_SASL_MECHANISM=AWS_MSK_IAM ({exc}): correct them."
            ) from exc


class _SharedCredentials(CredentialProvider):
    """botocore's own chain, asked once: a session for each token would ask the token service of AWS each time."""

    METHOD = "thumbnail-pipeline"

    def __init__(self) -> None:
        super().__init__()
        self._credentials: Any = None

    def load(self) -> Any:
        if self._credentials is None:
            self._credentials = botocore.session.Session().get_credentials()
        if self._credentials is None:
            raise TokenError(
                "No AWS credentials were found for KAFKA_SASL_MECHANISM=AWS_MSK_IAM:"
                " give the process a role, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            )
        return self._credentials.get_frozen_credentials()


def _signer() -> Sign:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-untyped] # it has no stubs
    except ImportError as exc:
        raise MissingSignerError(f"KAFKA_SASL_MECHANISM=AWS_MSK_IAM needs an extra: {INSTALL}.") from exc
    sign: Sign = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider
    return sign
