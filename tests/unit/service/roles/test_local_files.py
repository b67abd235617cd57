"""`thumbnails serve-local`: the objects of local storage over HTTP, nothing else of the host, and nothing but reading."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.errors import ErrorCode, TransientError
from service.cli.main import app
from service.roles.local_files import CHUNK_BYTES, LocalFilesServer, content_type_of
from storage.base import SourceReader
from storage.connections import LocalStorageSettings
from storage.local_disk.provider import LocalStorageProvider

KEY = "acme/thumbnails/video/1/v 1/größe.webp"
PICTURE = b"RIFF\0\0\0\0WEBP" + bytes(range(256))
URL = "http://localhost:8000/storage"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "storage"
    storage = LocalStorageProvider(folder, URL)
    storage.upload_file(KEY, PICTURE, content_type="image/webp")
    storage.upload_file("acme/page.html", b"<script>", content_type="text/html")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.webp").symlink_to(tmp_path / "secret.txt")
    (folder / "links").symlink_to(tmp_path)
    (folder / "hard..webp").write_bytes(b"a name with two dots")
    os.mkfifo(folder / "fifo.webp")
    return folder


@pytest.fixture
def server(root: Path) -> Iterator[LocalFilesServer]:
    with LocalFilesServer(LocalStorageSettings(root, URL), "/storage", "127.0.0.1", 0) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: LocalFilesServer, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", "localhost")
        connection.endheaders()
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_the_url_of_an_object_gives_its_bytes_and_its_type(server: LocalFilesServer) -> None:
    path = server.storage.get_file_url(KEY).removeprefix("http://localhost:8000")
    answer, body = ask(server, f"{path}?fresh=1")
    assert (answer.status, body) == (200, PICTURE)
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    head, nothing = ask(server, path, "HEAD")
    assert (head.status, nothing, head.headers["Content-Length"]) == (200, b"", str(len(PICTURE)))


def test_an_object_of_several_chunks_is_whole(server: LocalFilesServer) -> None:
    content = os.urandom(2 * CHUNK_BYTES + 3)
    server.storage.upload_file("acme/clip.mp4", content, content_type="video/mp4")
    answer, body = ask(server, "/storage/acme/clip.mp4")
    assert answer.headers["Content-Type"] == "video/mp4"
    assert body == content


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


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_nothing_but_reading_is_answered(server: LocalFilesServer, root: Path, method: str) -> None:
    answer, _ = ask(server, "/storage/acme/page.html", method)
    assert answer.status == 501
    assert (root / "acme" / "page.html").read_bytes() == b"<script>"


def test_a_storage_that_does_not_answer_is_no_missing_object(
    server: LocalFilesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_key: str) -> SourceReader:
        raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, "The disk is gone.")

    monkeypatch.setattr(server.storage, "open_source", refuse)
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
