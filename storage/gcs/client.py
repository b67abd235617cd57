"""Makes google-cloud-storage's client: all its traffic, that for tokens too, goes by our guarded sessions."""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, Final
from urllib.parse import quote

import requests
from google.api_core.client_options import ClientOptions
from google.auth.transport.requests import Request
from google.cloud.storage import Blob, Bucket, Client  # type: ignore[import-untyped]  # it has no stubs
from google.oauth2.service_account import Credentials as ServiceAccount
from requests.auth import AuthBase

from schemas.errors import ErrorCode, PermanentError
from storage.connections import HttpLimits
from storage.gcs.credentials import GcsCredentials
from storage.outbound import EndpointPolicy, guarded_session

_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"


class GcsClient:
    """One bucket, by the SDK and by plain requests. The SDK's calls get `once`: one place decides about retries."""

    def __init__(self, credentials: GcsCredentials, policy: EndpointPolicy, limits: HttpLimits) -> None:
        """Connects at the first use.

        Raises PermanentError storage.denied for an address that the policy refuses, and for a key that is none.
        """
        self._url: Final = policy.check_url(credentials.endpoint_url)
        self.timeout_s: Final = (limits.connect_timeout_s, limits.read_timeout_s)
        self.once: Final[dict[str, Any]] = {"timeout": self.timeout_s, "retry": None}
        account = _account(credentials, policy)
        self._tokens: Final = guarded_session(policy, ca_pem=credentials.ca_pem, max_connections=1)
        self.session: Final = guarded_session(policy, ca_pem=credentials.ca_pem, max_connections=limits.max_connections)
        self.session.auth = _Login(account, partial(Request(self._tokens), timeout=self.timeout_s))
        options = ClientOptions(api_endpoint=self._url)
        self.sdk: Final = Client(project=None, credentials=account, _http=self.session, client_options=options)
        self.bucket: Final[Bucket] = self.sdk.bucket(credentials.bucket)

    def blob(self, name: str) -> Blob:
        """Return the SDK's handle of one object, which asks for nothing yet."""
        return self.bucket.blob(name)

    def media_url(self, name: str) -> str:
        """Return the JSON API's address of an object's bytes."""
        return f"{self._url}/download/storage/v1/b/{self.bucket.name}/o/{quote(name, safe='')}?alt=media"

    def close(self) -> None:
        """Close the connection pools."""
        self.session.close()
        self._tokens.close()


class _Login(AuthBase):
    """Puts the account's token on each request, and gets a new one in time.

    The SDK's own session would do it, but it takes certificates and proxies from the host's environment.
    """

    def __init__(self, account: Any, ask: Callable[..., Any]) -> None:
        self._account: Final = account
        self._ask: Final = ask
        self._lock: Final = Lock()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            self._account.before_request(self._ask, request.method, request.url, request.headers)
        return request


def _account(credentials: GcsCredentials, policy: EndpointPolicy) -> Any:
    key_file = credentials.key_file
    policy.check_url(key_file["token_uri"])
    try:
        return ServiceAccount.from_service_account_info(key_file, scopes=[_SCOPE])  # type: ignore[no-untyped-call]
    except ValueError:
        pass
    # Outside of the except block, so that the error has no cause or context: they may hold a part of the key.
    raise PermanentError(ErrorCode.STORAGE_DENIED, "The private_key of the service account is no key.")
