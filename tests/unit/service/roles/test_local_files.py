"""`thumbnails serve-local`: the objects of local storage over HTTP, nothing else of the host, and nothing but reading."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.errors import ErrorCode, TransientError
from service.cli.main import app
from service.roles.local_files import CHUNK_BYTES, LocalFilesServer, RangeNotSatisfiableError, content_type_of, range_of
from storage.base import SourceReader
from storage.connections import LocalStorageSettings
from storage.local_disk.provider import LocalStorageProvider

KEY = "acme/thumbnails/video/1/v 1/größe.webp"
PICTURE = b"RIFF\0\0\0\0WEBP" + bytes(range(256))
URL = "http://localhost:8000/storage"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("host")
    folder = outside / "storage"
    storage = LocalStorageProvider(folder, URL)
    storage.upload_file(KEY, PICTURE, content_type="image/webp")
    storage.upload_file("acme/page.html", b"<script>", content_type="text/html")
    (outside / "secret.txt").write_text("secret")
    (folder / "link.webp").symlink_to(outside / "secret.txt")
    (folder / "links").symlink_to(outside)
    (folder / "hard..webp").write_bytes(b"a name with two dots")
    os.mkfifo(folder / "fifo.webp")
    return folder


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[LocalFilesServer]:
    made = LocalFilesServer(LocalStorageSettings(root, URL), "/storage", "127.0.0.1", 0)
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.stop()
    thread.join()
    made.close()


def ask(
    server: LocalFilesServer, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", "localhost")
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_the_url_of_an_object_gives_its_bytes_and_its_type(server: LocalFilesServer) -> None:
    path = server.files.storage.get_file_url(KEY).removeprefix("http://localhost:8000")
    answer, body = ask(server, f"{path}?fresh=1")
    assert (answer.status, body) == (200, PICTURE)
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head, nothing = ask(server, path, "HEAD")
    assert (head.status, nothing, head.headers["Content-Length"]) == (200, b"", str(len(PICTURE)))


def test_an_object_of_several_chunks_is_whole(server: LocalFilesServer) -> None:
    content = os.urandom(2 * CHUNK_BYTES + 3)
    server.files.storage.upload_file("acme/clip.mp4", content, content_type="video/mp4")
    answer, body = ask(server, "/storage/acme/clip.mp4")
    assert answer.headers["Content-Type"] == "video/mp4"
    assert body == content


CONTENT = bytes(range(256)) * 8
ENDS = len(CONTENT) - 1


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=100-", 100, ENDS),
        ("bytes=-16", ENDS - 15, ENDS),
        ("bytes=-999999", 0, ENDS),
        ("bytes=2000-999999", 2000, ENDS),
        ("Bytes= 5-6 ", 5, 6),
    ],
)
def test_a_part_of_an_object_is_given(server: LocalFilesServer, asked: str, first: int, last: int) -> None:
    server.files.storage.upload_file("acme/clip.mp4", CONTENT, content_type="video/mp4")
    answer, body = ask(server, "/storage/acme/clip.mp4", headers={"Range": asked})
    assert (answer.status, body) == (206, CONTENT[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "bytes=9-3", "bytes=x-y", "bytes=-", "lines=0-1", "bytes", ""])
def test_a_range_of_another_form_gives_the_whole_object(server: LocalFilesServer, asked: str) -> None:
    server.files.storage.upload_file("acme/clip.mp4", CONTENT, content_type="video/mp4")
    answer, body = ask(server, "/storage/acme/clip.mp4", headers={"Range": asked})
    assert (answer.status, body) == (200, CONTENT)


@pytest.mark.parametrize("asked", ["bytes=2048-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(server: LocalFilesServer, asked: str) -> None:
    server.files.storage.upload_file("acme/clip.mp4", CONTENT, content_type="video/mp4")
    answer, body = ask(server, "/storage/acme/clip.mp4", headers={"Range": asked})
    assert (answer.status, body) == (416, b"")
    assert answer.headers["Content-Range"] == "bytes */2048"


def test_an_empty_object_has_no_part() -> None:
    assert range_of(None, 0) is None
    for asked in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        with pytest.raises(RangeNotSatisfiableError):
            range_of(asked, 0)


def test_what_a_browser_has_already_is_not_sent_again_and_what_is_new_is(server: LocalFilesServer) -> None:
    storage, path = server.files.storage, "/storage/acme/uploads/photo.jpg"
    storage.upload_file("acme/uploads/photo.jpg", b"first", content_type="image/jpeg")
    first, _ = ask(server, path)
    etag = first.headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        same, nothing = ask(server, path, headers={"If-None-Match": known})
        assert (same.status, nothing, same.headers["ETag"]) == (304, b"", etag)
    part, _ = ask(server, path, headers={"Range": "bytes=0-1", "If-Range": etag})
    assert part.status == 206

    storage.upload_file("acme/uploads/photo.jpg", b"another", content_type="image/jpeg")
    for headers in ({"If-None-Match": etag}, {"Range": "bytes=0-1", "If-Range": etag}):
        new, body = ask(server, path, headers=headers)
        assert (new.status, body) == (200, b"another"), "never a mixture of two"
        assert new.headers["ETag"] != etag


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("acme/thumbnails/video/1/v-1-0123456789ab/small.webp", "public, max-age=31536000, immutable"),
        ("thumbnails/image/9/v/large.avif", "public, max-age=31536000, immutable"),
        ("acme/uploads/photo.jpg", "no-cache"),
        ("acme/thumbnails/photo.jpg", "no-cache"),
        ("acme/thumbnails/video/x/v/small.webp", "no-cache"),
    ],
)
def test_only_thumbnails_whose_key_is_made_of_their_content_are_kept_for_ever(
    server: LocalFilesServer, key: str, kept: str
) -> None:
    server.files.storage.upload_file(key, PICTURE, content_type="image/webp")
    for method in ("GET", "HEAD"):
        assert ask(server, f"/storage/{key}", method)[0].headers["Cache-Control"] == kept
    assert ask(server, f"/storage/{key}x")[0].headers["Cache-Control"] == "no-store", "it may be there a moment later"


def test_a_head_has_the_headers_of_the_whole_object_and_no_body(server: LocalFilesServer) -> None:
    server.files.storage.upload_file("acme/clip.mp4", CONTENT, content_type="video/mp4")
    head, body = ask(server, "/storage/acme/clip.mp4", "HEAD", {"Range": "bytes=0-1"})
    assert (head.status, body, head.headers["Content-Length"]) == (200, b"", str(len(CONTENT)))
    get, _ = ask(server, "/storage/acme/clip.mp4")
    assert {name: value for name, value in head.headers.items() if name != "date"} == {
        name: value for name, value in get.headers.items() if name != "date"
    }


def test_an_object_that_changes_while_it_is_sent_ends_the_connection(server: LocalFilesServer, root: Path) -> None:
    size = 64 * CHUNK_BYTES  # more than the system's buffers take
    server.files.storage.upload_file("acme/clip.mp4", bytes(size), content_type="video/mp4")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as visitor:
        visitor.sendall(b"GET /storage/acme/clip.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = len(visitor.recv(1000))
        with (root / "acme" / "clip.mp4").open("r+b") as file:
            file.write(b"changed in place")
        while chunk := visitor.recv(1 << 20):
            received += len(chunk)
    assert received < size, "the visitor sees that the rest is missing"
    assert ask(server, "/storage/acme/clip.mp4", "HEAD")[0].status == 200


def test_every_object_is_closed_whether_its_visitor_stays_or_leaves(server: LocalFilesServer) -> None:
    server.files.storage.upload_file("acme/clip.mp4", bytes(64 * CHUNK_BYTES), content_type="video/mp4")

    def open_files() -> int:
        links = (os.path.realpath(path) for path in Path("/proc/self/fd").iterdir())
        return sum(link.endswith("clip.mp4") for link in links)

    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as visitor:
            visitor.sendall(b"GET /storage/acme/clip.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert visitor.recv(1000)
            assert open_files() == 1
        deadline = time.monotonic() + 20
        while open_files() and time.monotonic() < deadline:
            ask(server, "/storage/acme/clip.mp4", "HEAD")
        assert open_files() == 0


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/storage",
        "/storage/",
        "/storage/acme",
        "/storage/acme/",
        "/storage/acme/nothing.webp",
        "/storage/../secret.txt",
        "/storage/acme/../../secret.txt",
        "/storage/%2e%2e/secret.txt",
        "/storage/..%2fsecret.txt",
        "/storage/%252e%252e%252fsecret.txt",
        "/storage/..\\secret.txt",
        "/storage//etc/passwd",
        "/storage/%2fetc/passwd",
        "//etc/passwd",
        "/storage/acme/%00",
        "/storage/%ff%fe",
        "/storage/link.webp",
        "/storage/links/secret.txt",
        "/storage/fifo.webp",
        "/storage2/acme/page.html",
        "/acme/page.html",
        "http://localhost/etc/passwd",
        "/storage/" + "a/" * 600 + "b",
        "/storage/acme/.page.html.0123456789abcdef.part",
    ],
)
def test_whatever_is_no_object_is_not_found(server: LocalFilesServer, path: str) -> None:
    answer, body = ask(server, path)
    assert (answer.status, body) == (404, b"404 Not Found\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_but_reading_is_answered(server: LocalFilesServer, root: Path, method: str) -> None:
    answer, _ = ask(server, "/storage/acme/page.html", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert (root / "acme" / "page.html").read_bytes() == b"<script>"


def test_a_storage_that_does_not_answer_is_no_missing_object(
    server: LocalFilesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_key: str) -> SourceReader:
        raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, "The disk is gone.")

    monkeypatch.setattr(server.files.storage, "open_source", refuse)
    assert ask(server, "/storage/acme/page.html")[0].status == 503


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/small.webp", "image/webp"),
        ("a/small.avif", "image/avif"),
        ("a/small.jpg", "image/jpeg"),
        ("a/clip.MP4", "video/mp4"),
        ("a/page.html", "application/octet-stream"),
        ("a/picture.svg", "application/octet-stream"),
        ("a/picture.svgz", "application/octet-stream"),
        ("a/nothing", "application/octet-stream"),
    ],
)
def test_a_browser_shows_pictures_and_runs_nothing(key: str, expected: str) -> None:
    assert content_type_of(key) == expected


def test_the_command_serves_where_the_setting_says_and_ends_with_exit_code_0(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"LOCAL_STORAGE_ROOT": str(root), "LOCAL_STORAGE_URL": f"http://localhost:{port}/storage"}
    for number in (signal.SIGTERM, signal.SIGINT):
        command = subprocess.Popen(
            [sys.executable, "-m", "service", "serve-local"],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            text=True,
        )
        with command:
            assert command.stdout is not None
            said = command.stdout.readline()
            assert (
                said == f"Serving {root} at http://localhost:{port}/storage, on 127.0.0.1 port {port}, until Ctrl-C.\n"
            )
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/storage/acme/page.html")
            assert connection.getresponse().read() == b"<script>"
            connection.close()
            command.send_signal(number)
        assert command.returncode == 0


@pytest.mark.parametrize(
    ("url", "arguments", "code", "sentence"),
    [
        ("https://files.example/storage", [], 2, "give the --port that it asks"),
        ("storage", [], 2, "LOCAL_STORAGE_URL=storage is no URL"),
        ("http://localhost:99999/x", [], 2, "is no URL"),
        ("http://localhost:{taken}/storage", [], 1, "is taken by another process: set LOCAL_STORAGE_URL"),
        ("http://localhost:8000/storage", ["--port", "{taken}"], 1, "is taken by another process"),
        ("http://localhost:8000/storage", ["--host", "192.0.2.1", "--port", "0"], 1, "192.0.2.1 port 0: "),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, url: str, arguments: list[str], code: int, sentence: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("LOCAL_STORAGE_URL", url.replace("{taken}", port))
        done = CliRunner().invoke(app, ["serve-local", *(part.replace("{taken}", port) for part in arguments)])
    assert done.exit_code == code
    assert sentence in done.output
    assert done.output.count("\n") == 1
