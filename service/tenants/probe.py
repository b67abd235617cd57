"""Prove a storage by using it as the pipeline and its readers do."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from schemas.errors import ThumbnailError
from storage.base import StorageProvider
from storage.outbound import EndpointPolicy, guarded_session

_FOLDER: Final = "health-probe"
_SIZE_BYTES: Final = 300 * 1024
"""More than providers bring along when they open an object, so that ranges are asked for."""
_PARTS: Final = ((100, 1000), (270 * 1024, 1000), (_SIZE_BYTES - 1, 1))
"""Offset and length of the parts that are read, the later ones beyond the first 256 KiB."""
_TIMEOUT_S: Final = (3.0, 10.0)
_BROWSER: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate",
    "Referer": "https://www.example.com/",
    "Sec-Fetch-Dest": "image",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Site": "cross-site",
}
"""What a browser sends for a picture in a page of another site: servers that guard against hotlinks look at it."""
_ANYWHERE: Final = EndpointPolicy((IPv4Network("0.0.0.0/0"), IPv6Network("::/0")), allow_http=True)


@dataclass(frozen=True)
class Proof:
    """The result of a probe: the reason why the storage cannot be used (`problem`), or a harmless fault (`warning`). `remarks`
    name what the store does not do, and what is done instead.
    """

    problem: str | None = None
    warning: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the warning and the remarks."""
        return (*(() if self.warning is None else (self.warning,)), *self.remarks)


ReadUrl = Callable[[str], bytes]
"""Return what a URL gives to everybody, with and without a browser's headers. Raises UrlError."""


class UrlError(Exception):
    """A URL does not give its object; the message goes on after 'The URL of an object'."""


def prove_by_use(provider: StorageProvider, read_url: ReadUrl) -> Proof:
    """Write a probe, read it in parts and whole, list it, ask for its URL, and delete it. Closes the provider.

    A URL that browsers cannot read is a warning: a company may keep its bucket private, and show its pictures otherwise.
    """
    key, content = f"{_FOLDER}/{secrets.token_hex(8)}", secrets.token_bytes(_SIZE_BYTES)
    step = "Writing"
    try:
        provider.upload_file(key, content, content_type="application/octet-stream")
        try:
            step = "Reading"
            problem = _problem_of_reading(provider, key, content)
            step = "Listing"
            if problem is None and key not in provider.list_files(_FOLDER):
                problem = "The storage does not list what was written."
            step = "Making the URL of"
            warning = _warning_about(provider.get_file_url(key), key, content, read_url)
        except ThumbnailError:
            with suppress(ThumbnailError):  # the first error says more
                provider.delete_file(key)
            raise
        step = "Deleting"
        provider.delete_file(key)
        if problem is None and provider.file_exists(key):
            problem = "The storage still has what was deleted."
    except ThumbnailError as exc:
        return Proof(f"{step} a probe failed: {exc.message}")
    finally:
        provider.close()
    return Proof(problem, warning, provider.remarks())


def _problem_of_reading(provider: StorageProvider, key: str, content: bytes) -> str | None:
    with provider.open_source(key) as source:
        parts = [source.read_at(offset, length) for offset, length in _PARTS]
        whole = source.read_at(0, _SIZE_BYTES + 1)
    if whole != content or parts != [content[offset : offset + length] for offset, length in _PARTS]:
        return "The storage returned other bytes than were written."
    return None


def _warning_about(url: str, key: str, content: bytes, read_url: ReadUrl) -> str | None:
    if not urlsplit(url).path.endswith(key):
        return (
            None  # a page that shows the object, as Yandex Disk gives them; that it was given is all that can be seen
        )
    try:
        found = read_url(url)
    except UrlError as exc:
        return f"Browsers may not see the pictures: the URL of an object {exc}"
    return None if found == content else f"The URL {url.removesuffix(key)} gives other bytes than the storage has."


def url_reader(policy: EndpointPolicy, *, is_own: bool) -> ReadUrl:
    """Return a reader of URLs that has no credentials and no cookies.

    `is_own`: the URL is one of the operator's own, LOCAL_STORAGE_URL, and not one that a tenant chose.
    """

    def read(url: str) -> bytes:
        base = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
        with guarded_session(_ANYWHERE if is_own else policy) as session:
            try:
                found = _read(session, url, {}, f"to everybody who is not logged in ({base}): let everybody read")
                shown = _read(session, url, _BROWSER, f"to a browser on another site's page ({base}): let it show")
            except ThumbnailError as exc:
                raise UrlError(f"cannot be read from here: {exc.message}") from exc
            except (requests.RequestException, HTTPError) as exc:
                advice = (
                    "`thumbnails serve-local` serves local storage" if is_own else "see the endpoint and --public-url"
                )
                raise UrlError(f"cannot be read from here, for {base} gives no answer: {advice}.") from exc
        if found != shown:
            raise UrlError(
                f"gives a browser other bytes than other clients ({base}): let nothing there change pictures."
            )
        return found

    return read


def _read(session: requests.Session, url: str, headers: dict[str, str], refusal: str) -> bytes:
    with session.get(url, headers=headers, timeout=_TIMEOUT_S, stream=True) as answer:
        if answer.status_code != 200:
            raise UrlError(
                f"answers {answer.status_code} {refusal} the objects, or set the URL that does show them (--public-url)."
            )
        return bytes(answer.raw.read(_SIZE_BYTES + 1, decode_content=True))
