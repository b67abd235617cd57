"""Makes azure-storage-blob's client: all its traffic goes by our guarded session, and it retries nothing itself."""

from typing import Any, Final

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerClient

from storage.azure.credentials import AzureCredentials
from storage.azure.errors import translated, unavailable
from storage.connections import HttpLimits
from storage.outbound import EndpointPolicy, guarded_session

_ONE_REQUEST_BYTES: Final = 1 << 40
"""Nothing is cut into parts: a put of one request is atomic, and a read of one request is of one version."""
PAGE_SIZE: Final = 1000


def make_client(credentials: AzureCredentials, policy: EndpointPolicy, limits: HttpLimits) -> ContainerClient:
    """Return a client of one container; it connects at its first use.

    Raises PermanentError storage.denied for an endpoint that the policy refuses, and for what no client can be made of.
    """
    key, token = credentials.account_key, credentials.sas_token
    session = guarded_session(policy, ca_pem=credentials.ca_pem, max_connections=limits.max_connections)
    with translated("(the connection)"):
        return ContainerClient(
            policy.check_url(credentials.account_url),
            credentials.container,
            credential=AzureNamedKeyCredential(credentials.account, key.get_secret_value())
            if key
            else AzureSasCredential(token.get_secret_value().removeprefix("?") if token else ""),
            transport=ClosingTransport(session=session, session_owner=False, use_env_settings=False),
            connection_timeout=limits.connect_timeout_s,
            read_timeout=limits.read_timeout_s,
            permit_redirects=False,  # Azure never redirects
            retry_total=0,  # one place decides about retries, and it is not here
            max_single_put_size=_ONE_REQUEST_BYTES,
            max_single_get_size=_ONE_REQUEST_BYTES,
        )


class ClosingTransport(RequestsTransport):  # type: ignore[misc]  # the SDK loads it by a name, so it is Any
    """Closes the session that it was given, which the SDK leaves open, with the client."""

    def close(self) -> None:
        """Close the connection pool."""
        if self.session is not None:
            self.session.close()


class BodyLimit:
    """Refuses a read's answer that does not say how long it is, or says more than was asked for, before its body is read.

    The SDK reads every body whole: an endpoint that a tenant names must not fill the memory.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes: Final = most_bytes

    def __call__(self, answered: PipelineResponse[Any, Any]) -> None:
        """Raise TransientError storage.unavailable for such an answer."""
        answer = answered.http_response
        length = answer.headers.get("Content-Length", "")
        if answer.status_code not in (200, 206) or (length.isdecimal() and int(length) <= self._most_bytes):
            return
        answer.internal_response.close()  # or its place in the pool would be lost
        raise unavailable("Azure answered a read with more than was asked for, or without saying how much.")
