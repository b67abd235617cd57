"""Where storage may connect to: every way round the policy that we know of."""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from schemas.errors import ErrorCode
from storage import outbound
from storage.credentials import parse_credentials
from storage.outbound import EndpointPolicy, EndpointRefusedError, NameLookups, guarded_session
from storage.s3.credentials import MinioCredentials
from storage.s3.provider import MinioStorageProvider
from tests.doubles.sources import wait_until

PUBLIC_ONLY = EndpointPolicy(allow_http=True)
LOOPBACK = EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)
NOT_PUBLIC = [
    *("127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"),  # noqa: S104
    *("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "[fd00:ec2::254]", "[fe80::1]"),
    *(
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b:1::1]",
        "[fec0::1]",
        "[5f00::1]",
        "192.88.99.1",
        "168.63.129.16",
    ),
    *("[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "224.0.0.1", "255.255.255.255", "[ff02::1]"),
]


class Listener(ThreadingHTTPServer):
    """Counts what arrives; answers with a redirect where the test sets one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heads: list[dict[str, str]] = []
        self.redirect: str | None = None
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        self.server.heads.append(dict(self.headers))
        self.send_response(307 if self.server.redirect else 200)
        if self.server.redirect:
            self.send_header("Location", self.server.redirect)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    yield from _listening()


@pytest.fixture
def other_listener() -> Iterator[Listener]:
    yield from _listening()


def _listening() -> Iterator[Listener]:
    with Listener() as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        made.shutdown()


def a_minio(endpoint: str, policy: EndpointPolicy) -> MinioStorageProvider:
    found = {"endpoint": endpoint, "bucket": "bucket", "access_key": "key", "secret_key": "secret"}
    return MinioStorageProvider(parse_credentials(MinioCredentials, found), policy=policy)


@pytest.mark.parametrize("host", NOT_PUBLIC)
def test_no_byte_goes_to_an_address_that_is_not_public(host: str, listener: Listener) -> None:
    url = f"http://{host}:{listener.server_address[1]}/"
    with pytest.raises(EndpointRefusedError) as caught:
        guarded_session(PUBLIC_ONLY).get(url, timeout=2)
    assert caught.value.code is ErrorCode.STORAGE_DENIED
    with pytest.raises(EndpointRefusedError):
        a_minio(url, PUBLIC_ONLY).upload_file("a/b", b"x", content_type="a/b")
    assert listener.heads == []


def test_what_the_operator_allows_is_reached(listener: Listener) -> None:
    assert guarded_session(LOOPBACK).get(listener.url, timeout=2).status_code == 200
    assert len(listener.heads) == 1


@pytest.mark.parametrize(
    "url",
    [
        *(
            "ftp://s3.example",
            "//s3.example",
            "s3.example",
            "https://",
            "https://a:b@s3.example",
            "https://s3.example/?a=b",
        ),
        *(
            "https://s3.example/#a",
            "https://[::1",
            "https://s3.example:port",
            "file:///etc/passwd",
            "http://s3.example",
        ),
    ],
)
def test_an_endpoint_of_another_form_is_refused_before_anything_is_built(url: str) -> None:
    with pytest.raises(EndpointRefusedError):
        EndpointPolicy().check_url(url)


def test_plain_http_is_refused_unless_it_is_allowed() -> None:
    assert EndpointPolicy(allow_http=True).check_url("http://s3.example") == "http://s3.example"
    with pytest.raises(requests.exceptions.InvalidSchema):
        guarded_session(EndpointPolicy()).get("http://s3.example")


def test_a_name_that_changes_its_meaning_leads_nowhere(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    """DNS rebinding: public when it is asked about first, this host from then on."""
    answers = iter(["93.184.216.34"])
    real = socket.getaddrinfo
    connected: list[str] = []

    def resolve(host: str, port: int, *rest: Any, **named: Any) -> Any:
        if host == "rebinding.example":
            host = next(answers, "127.0.0.1")
        return real(host, port, *rest, **named)

    def connect(_self: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    session = guarded_session(PUBLIC_ONLY)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        with pytest.raises(requests.ConnectionError):
            session.get(f"http://rebinding.example:{listener.server_address[1]}", timeout=2)
    assert connected == ["93.184.216.34"], "the address that was judged, and no other"
    with pytest.raises(EndpointRefusedError):
        session.get(f"http://rebinding.example:{listener.server_address[1]}", timeout=2)
    assert listener.heads == []


@pytest.mark.parametrize(
    "host", ["192.0.0.192", "169.254.169.254", "168.63.129.16", "100.100.100.200", "[fd00:ec2::254]"]
)
def test_what_clouds_tell_their_machines_is_refused_whatever_python_calls_global(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipaddress.IPv4Address, "is_global", True)  # as 192.0.0.192 was before Python 3.11.10
    refused = pytest.raises(EndpointRefusedError, match="which is not public")
    if host in ("192.0.0.192", "168.63.129.16", "[fd00:ec2::254]"):
        with refused:
            EndpointPolicy(allow_http=True).check_address(host.strip("[]"), host)
    monkeypatch.undo()
    with refused:
        EndpointPolicy(allow_http=True).check_url(f"http://{host}/latest/meta-data")


def a_slow_name_server(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Answers nothing until the event is set."""
    answers, real = threading.Event(), socket.getaddrinfo

    def resolve(*arguments: Any, **named: Any) -> Any:
        answers.wait(30)
        return real("127.0.0.1", *arguments[1:], **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


def test_a_name_server_that_does_not_answer_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    answers = a_slow_name_server(monkeypatch)
    monkeypatch.setattr(outbound, "LOOKUPS", NameLookups(most_s=0.2))
    try:
        with pytest.raises(requests.ConnectionError, match="its name server did not answer within"):
            guarded_session(LOOPBACK).get(f"http://slow.example:{listener.server_address[1]}", timeout=20)
    finally:
        answers.set()
    assert guarded_session(LOOPBACK).get(listener.url, timeout=5).status_code == 200


def test_lookups_that_nobody_waits_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = a_slow_name_server(monkeypatch)
    lookups = NameLookups(most_s=0.01, most_at_once=3)
    threads = threading.active_count()
    for number in range(10):
        with pytest.raises(socket.gaierror, match="did not answer" if number < 3 else "too many names"):
            lookups.find("slow.example", 443)
    assert threading.active_count() == threads + 3
    answers.set()
    wait_until(lambda: threading.active_count() == threads)
    assert lookups.find("slow.example", 443) == ["127.0.0.1"]


def test_a_redirect_to_a_refused_address_is_not_followed(listener: Listener, other_listener: Listener) -> None:
    policy = EndpointPolicy((ipaddress.ip_network("127.0.0.1/32"),), allow_http=True)
    listener.redirect = f"http://127.0.0.2:{other_listener.server_address[1]}/"
    with pytest.raises(EndpointRefusedError):
        guarded_session(policy).get(listener.url, timeout=2)
    assert other_listener.heads == []


def test_a_redirect_from_https_only_to_http_is_not_followed() -> None:
    session = guarded_session(EndpointPolicy())
    assert list(session.adapters) == ["https://"]


def test_where_an_s3_redirects_to_gets_a_signature_for_itself_alone(
    listener: Listener, other_listener: Listener
) -> None:
    listener.redirect = f"{other_listener.url}/bucket/a/b"
    with pytest.raises(Exception, match=r"^storage\."):
        a_minio(listener.url, LOOPBACK).upload_file("a/b", b"x", content_type="a/b")
    first, second = listener.heads[0], other_listener.heads[0]
    assert second["Host"] == other_listener.url.removeprefix("http://") != first["Host"]
    assert second["Authorization"].rpartition("=")[2] != first["Authorization"].rpartition("=")[2]


def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, other_listener: Listener
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other_listener.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    guarded_session(LOOPBACK).get(listener.url, timeout=2)
    with pytest.raises(Exception, match=r"^storage\."):
        a_minio(listener.url, LOOPBACK).open_source("a/b")  # an empty answer is none of S3's
    assert (len(listener.heads), other_listener.heads) == (2, [])


def test_the_name_and_not_its_address_is_what_the_server_is_told(listener: Listener) -> None:
    guarded_session(LOOPBACK).get(f"http://localhost:{listener.server_address[1]}", timeout=2)
    assert listener.heads[0]["Host"] == f"localhost:{listener.server_address[1]}"
