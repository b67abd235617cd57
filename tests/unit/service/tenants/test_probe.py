"""A storage is proved by use: each thing that it does wrong is named, and no probe is left behind."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from schemas.errors import ErrorCode, PermanentError
from service.tenants.probe import Proof, UrlError, prove_by_use, url_reader
from storage.base import SourceReader
from storage.memory import MemoryStorageProvider
from storage.outbound import EndpointPolicy


class ShortReader(MemoryStorageProvider):
    def open_source(self, key: str) -> SourceReader:
        self.upload_file(key, b"something else", content_type="text/plain")
        return super().open_source(key)


class ForgetfulList(MemoryStorageProvider):
    def list_files(self, prefix: str) -> Iterator[str]:
        return filter(None, "" if prefix else "never")


class FirstBlockOnly(MemoryStorageProvider):
    """A cache that answers ranges beyond its first block with zeros."""

    def open_source(self, key: str) -> SourceReader:
        content = self.objects[key]
        self.objects[key] = content[: 256 * 1024] + bytes(max(0, len(content) - 256 * 1024))
        return super().open_source(key)


class Keeper(MemoryStorageProvider):
    def delete_file(self, key: str) -> None:
        assert key in self.objects, "it says yes, and does nothing"


class PageUrls(MemoryStorageProvider):
    def get_file_url(self, key: str) -> str:
        return f"https://disk.example/i/{len(key)}"


def read_by(provider: MemoryStorageProvider, url: str) -> bytes:
    key = url[url.index("health-probe/") :]
    with provider.open_source(key) as source:
        return source.read_at(0, source.size)


def left(provider: MemoryStorageProvider) -> list[str]:
    return list(provider.objects)


def test_a_storage_that_does_all_has_no_problem_and_no_warning() -> None:
    provider = MemoryStorageProvider()
    assert prove_by_use(provider, partial(read_by, provider)) == Proof()
    assert left(provider) == []


@pytest.mark.parametrize(
    ("provider", "problem"),
    [
        (ShortReader(), "The storage returned other bytes than were written."),
        (ForgetfulList(), "The storage does not list what was written."),
        (FirstBlockOnly(), "The storage returned other bytes than were written."),
    ],
)
def test_what_a_storage_does_wrong_is_named_and_the_probe_is_deleted(
    provider: MemoryStorageProvider, problem: str
) -> None:
    assert prove_by_use(provider, partial(read_by, provider)).problem == problem
    assert left(provider) == []


def test_a_storage_that_keeps_what_was_deleted_is_found_out() -> None:
    provider = Keeper()
    assert prove_by_use(provider, partial(read_by, provider)).problem == "The storage still has what was deleted."


def test_a_url_that_browsers_cannot_read_is_a_warning() -> None:
    def refuse(_url: str) -> bytes:
        raise UrlError("answers 403.")

    said = "Browsers may not see the pictures: the URL of an object answers 403."
    assert prove_by_use(MemoryStorageProvider(), refuse) == Proof(warning=said)
    other = prove_by_use(MemoryStorageProvider(), lambda _url: b"a page").warning
    assert other == "The URL memory://objects/ gives other bytes than the storage has."


def test_a_page_that_shows_an_object_need_not_be_the_object() -> None:
    assert prove_by_use(PageUrls(), lambda _url: b"<html>") == Proof()


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_hotlink = "guarded" in self.path and "example.com" in self.headers.get("Referer", "")
        status = 403 if "private" in self.path or is_hotlink else 200
        self.send_response(status)
        self.send_header("Content-Length", "1000000000" if "endless" in self.path else "5")
        self.end_headers()
        is_smaller = "smaller" in self.path and "image/avif" in self.headers["Accept"]
        self.wfile.write(b"x" * 1_000_000 if "endless" in self.path else b"small" if is_smaller else b"bytes")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_url_is_read_as_everybody_reads_it_and_only_so_far_as_needed(site: str) -> None:
    read = url_reader(EndpointPolicy(), is_own=True)
    assert read(f"{site}/open") == b"bytes"
    assert len(read(f"{site}/endless")) < 400_000
    with pytest.raises(UrlError, match=f"answers 403 to everybody who is not logged in .{site}"):
        read(f"{site}/private")


@pytest.mark.parametrize(
    ("path", "words"),
    [("guarded", "answers 403 to a browser on another site's page"), ("smaller", "gives a browser other bytes")],
)
def test_a_url_that_is_not_for_browsers_is_told_apart(site: str, path: str, words: str) -> None:
    with pytest.raises(UrlError, match=words):
        url_reader(EndpointPolicy(), is_own=True)(f"{site}/{path}")


class Remarking(MemoryStorageProvider):
    def remarks(self) -> tuple[str, ...]:
        return ("The server refuses checksums.",)


def test_what_a_store_does_not_do_is_passed_on() -> None:
    provider = Remarking()
    assert prove_by_use(provider, partial(read_by, provider)) == Proof(remarks=("The server refuses checksums.",))


def test_a_url_that_a_tenant_chose_leads_to_no_address_of_the_operator(site: str) -> None:
    with pytest.raises(UrlError, match="cannot be read from here"):
        url_reader(EndpointPolicy(allow_http=True), is_own=False)(f"{site}/open")


@pytest.mark.parametrize(
    ("method", "after", "step"),
    [
        ("upload_file", 0, "Writing"),
        ("open_source", 0, "Reading"),
        ("read_at", 1, "Reading"),
        ("list_files", 0, "Listing"),
        ("file_exists", 0, "Deleting"),
    ],
)
def test_the_step_that_fails_is_named_and_the_probe_is_deleted(method: str, after: int, step: str) -> None:
    provider = MemoryStorageProvider()
    denied = PermanentError(ErrorCode.STORAGE_DENIED, "The S3 storage refuses: access is denied.")
    provider.fail_next(method, denied, after=after)
    proof = prove_by_use(provider, partial(read_by, provider))
    assert proof == Proof(f"{step} a probe failed: The S3 storage refuses: access is denied.")
    assert left(provider) == []
