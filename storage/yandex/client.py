"""Makes yadisk's client: all its traffic goes by our guarded session, to the API's address that the operator set."""

import threading
from typing import Any, Final

import requests
import yadisk
from yadisk.sessions.requests_session import RequestsSession

from storage.outbound import retry_after_s
from storage.yandex.settings import YANDEX_API_URL, YandexDiskSettings

WAITING: Final[dict[str, Any]] = {"wait": True, "poll_interval": 0.25, "poll_timeout": 30.0}
"""Arguments of moves and removals, which Yandex Disk may turn into operations; in seconds."""


def make_client(settings: YandexDiskSettings, transport: "GuardedYandexSession") -> yadisk.Client:
    """Return a client without retries of its own: one place decides about retries, and it is not here."""
    default_args = {"n_retries": 0, "timeout": settings.timeout_s}
    return yadisk.Client(token=settings.token, session=transport, default_args=default_args)


class GuardedYandexSession(RequestsSession):
    """One session for all threads. `retry_after_s` is what the last answer in this thread asked for."""

    def __init__(self, session: requests.Session, api_url: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._session: Final = session
        self._api_url: Final = api_url.rstrip("/")
        self._last: Final = threading.local()

    @property
    def requests_session(self) -> requests.Session:
        """Return the guarded session, instead of one that yadisk makes for each thread."""
        return self._session

    @property
    def retry_after_s(self) -> float | None:
        """Seconds, or None when the last answer asked for nothing."""
        found: float | None = getattr(self._last, "retry_after_s", None)
        return found

    def send_request(self, method: Any, url: str, **kwargs: Any) -> Any:
        """Send as yadisk does, with the API's address replaced."""
        self._last.retry_after_s = None
        if url.startswith(f"{YANDEX_API_URL}/"):
            url = self._api_url + url.removeprefix(YANDEX_API_URL)
        response: Any = super().send_request(method, url, **kwargs)
        headers = response._response.headers  # noqa: SLF001 - yadisk's Response has no headers of its own
        self._last.retry_after_s = retry_after_s(headers.get("Retry-After"))
        return response

    def close(self) -> None:
        """Close the connection pool."""
        self._session.close()
