"""Makes boto3's S3 client: of what the connection's row says alone, guarded, and without retries of its own."""

from datetime import datetime
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urljoin

import botocore.session
from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.config import Config
from botocore.httpsession import URLLib3Session
from botocore.parsers import ResponseParserFactory
from botocore.utils import parse_timestamp

from storage.connections import HttpLimits
from storage.outbound import EndpointPolicy, guarded_pools, tls_context
from storage.s3.credentials import MinioCredentials
from storage.s3.errors import translated, unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NOT_FROM_OUTSIDE: Final = {
    "profile": (None, None, None, None),
    "config_file": (None, None, "/dev/null", None),
    "credentials_file": (None, None, "/dev/null", None),
}
"""The host's own AWS configuration is the operator's, and no part of a tenant's connection."""
MAX_REDIRECTS: Final = 2
"""The most that one request follows. Each of an object's requests is redirected again: the endpoint is what to change."""
_REDIRECTS: Final = frozenset({301, 302, 307, 308})
_BUILDING: Final = Lock()
"""A botocore session makes one client at a time."""


class _GuardedSession(URLLib3Session):
    def __init__(self, policy: EndpointPolicy, limits: HttpLimits, ca_pem: str | None) -> None:
        self._tls: Final = tls_context(ca_pem)
        super().__init__(
            verify=True,
            proxies={},
            timeout=(limits.connect_timeout_s, limits.read_timeout_s),  # type: ignore[arg-type]  # its stub forgets tuples
            max_pool_connections=limits.max_connections,
        )
        manager: Any = self._manager  # type: ignore[attr-defined]  # not in its stub
        manager.pool_classes_by_scheme = guarded_pools(policy, AWSHTTPConnectionPool, AWSHTTPSConnectionPool)

    def _get_ssl_context(self) -> Any:
        return self._tls

    def _get_pool_manager_kwargs(self, **extra_kwargs: Any) -> dict[str, Any]:
        # A full pool makes its users wait; botocore's own would open ever more connections.
        return {**super()._get_pool_manager_kwargs(**extra_kwargs), "block": True}  # type: ignore[misc]  # not in its stub


def make_client(credentials: MinioCredentials, policy: EndpointPolicy, limits: HttpLimits) -> "S3Client":
    """Return a client for one connection; it connects at its first use.

    Raises PermanentError storage.denied for an endpoint that the policy refuses, and for what no client can be made of.
    """
    endpoint_url = credentials.endpoint_url
    if endpoint_url is not None:
        policy.check_url(endpoint_url)
    is_path_style = credentials.addressing == "path" or (credentials.addressing == "auto" and endpoint_url is not None)
    config = Config(
        signature_version="s3v4",
        proxies={},
        retries={"mode": "standard", "total_max_attempts": 1},  # one place decides about retries, and it is not here
        s3={"addressing_style": "path" if is_path_style else "virtual"},
        request_checksum_calculation="when_required",  # we send the stronger SHA-256 ourselves
        response_checksum_validation="when_required",
    )
    token = credentials.session_token
    with translated("(the connection)"), _BUILDING:
        client = _session().create_client(
            "s3",
            region_name=credentials.region,
            endpoint_url=endpoint_url,
            aws_access_key_id=credentials.access_key.get_secret_value(),
            aws_secret_access_key=credentials.secret_key.get_secret_value(),
            aws_session_token=token.get_secret_value() if token else None,
            config=config,
        )
    guarded = _GuardedSession(policy, limits, credentials.ca_pem)
    client.meta.events.register_last("before-parameter-build.s3", _follow_no_region)
    client.meta.events.register("after-call.s3", _refuse_pages)
    follow: Any = partial(_follow, policy)  # its stub forgets that handlers may answer
    client.meta.events.register_first("needs-retry.s3", follow)
    client._endpoint.http_session = guarded  # type: ignore[attr-defined]  # noqa: SLF001 - botocore has no public place for it
    return cast("S3Client", client)


def _follow_no_region(context: dict[str, Any], **_: Any) -> None:
    """Keep botocore from looking for a bucket's region: it asks again without end where the answer is always a redirect.

    A wrong region is a mistake in the connection's row and is reported.
    """
    context.setdefault("s3_redirect", {})["redirected"] = True


def _follow(
    policy: EndpointPolicy, request_dict: dict[str, Any], response: tuple[Any, Any] | None, **_: Any
) -> float | None:
    """Send a redirected request to where its answer says, signed again for that host; None leaves the answer as it is.

    Raises EndpointRefusedError for a place that the policy refuses.
    """
    answer = response[0] if response is not None else None
    location = answer.headers.get("Location") if answer is not None and answer.status_code in _REDIRECTS else None
    context = request_dict["context"]
    if not location or context.get("redirects", 0) >= MAX_REDIRECTS:
        return None
    url = urljoin(request_dict["url"], location)
    policy.check_url(url.partition("?")[0])
    context["redirects"] = context.get("redirects", 0) + 1
    request_dict["url"] = url
    return 0.0


def _refuse_pages(http_response: Any, model: Any, **_: Any) -> None:
    """A page with status 200 would pass for an empty listing, or for a deletion; an object may well be a page."""
    is_page = http_response.status_code < 300 and "html" in http_response.headers.get("Content-Type", "")
    if is_page and model.name != "GetObject":
        raise unavailable("The S3 storage's endpoint answered with something that is not S3.")


@cache
def _session() -> botocore.session.Session:
    session = botocore.session.Session(session_vars=_NOT_FROM_OUTSIDE)
    parsers = ResponseParserFactory()
    parsers.set_parser_defaults(timestamp_parser=_time_or_none)
    session.register_component("response_parser_factory", parsers)
    return session


def _time_or_none(text: str) -> datetime | None:
    """Return a time, or None for what is none, or has no zone: it must not take the rest of the answer along."""
    try:
        found = parse_timestamp(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
