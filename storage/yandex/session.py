"""How yadisk reaches the network: by our guarded session, to the API's address that the operator set."""

import threading
from typing import Any, Final

import requests
from yadisk.sessions.requests_session import RequestsSession

from storage.retry_after import seconds_of

_REAL_API: Final = "https://cloud-api.yandex.net"


class GuardedYandexSession(RequestsSession):
    """One session for all threads. `retry_after_s` is what the last answer in this thread asked for."""

    def __init__(self, session: requests.Session, api_url: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._session: Final = session
        self._api_url: Final = api_url.rstrip("/")
        self._last: Final = threading.local()

    @property
    def requests_session(self) -> requests.Session:
        """The guarded one, instead of yadisk's own for each thread."""
        return self._session

    @property
    def retry_after_s(self) -> float | None:
        """Seconds, or None when the last answer asked for nothing."""
        found: float | None = getattr(self._last, "retry_after_s", None)
        return found

    def send_request(self, method: Any, url: str, **kwargs: Any) -> Any:
        """As yadisk's, with the API's address replaced."""
        self._last.retry_after_s = None
        if url.startswith(f"{_REAL_API}/"):
            url = self._api_url + url.removeprefix(_REAL_API)
        response: Any = super().send_request(method, url, **kwargs)
        headers = response._response.headers  # noqa: SLF001 - yadisk's Response has no headers of its own
        self._last.retry_after_s = seconds_of(headers.get("Retry-After"))
        return response

    def close(self) -> None:
        """Close the connection pool."""
        self._session.close()
