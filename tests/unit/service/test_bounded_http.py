"""What a visitor costs that sends half a request, trickles one, or takes no answer: real sockets, and uvicorn."""

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from service.bounded_http import bounded
from service.roles.http import MAX_CONNECTIONS, HttpServer
from tests.doubles.sources import wait_until

HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: "
LARGE = 50_000_000
SOON_S = 5.0
"""Far from every other time here, so that a busy machine changes no verdict."""
NEVER_S = 300.0


async def an_app(scope: Any, _receive: Any, send: Any) -> None:
    """Answer briefly, or with more than any socket's buffers hold."""
    body = b"x" * (LARGE if scope["path"] == "/large" else 2)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})


@contextmanager
def a_server(protocol: type) -> Iterator[tuple[int, Callable[[], int]]]:
    """Its port, and how many connections it has."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        an_app, http=protocol, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    port = listener.getsockname()[1]
    thread.start()
    try:
        yield port, lambda: len(server.server_state.connections)
    finally:
        server.should_exit = True
        thread.join(10)


def connected(port: int, first: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(first)
    return connection


def answer(port: int, path: str = "/") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def is_cut(connection: socket.socket) -> bool:
    """Whether the server has ended it, waiting for as long as the socket does."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_request_has_to_come_whole_in_time() -> None:
    with (
        a_server(bounded(10, request_s=0.3)) as (port, count),
        connected(port) as silent,
        connected(port, HALF) as half,
    ):
        assert is_cut(silent)
        assert is_cut(half)
        with connected(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234") as body:
            assert body.recv(15).startswith(b"HTTP/1.1 200")  # an answer does not end the wait for the rest
            while body.recv(100):
                pass
        wait_until(lambda: count() == 0)


def trickle_for(seconds: float, connection: socket.socket) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        connection.sendall(b"a")
        time.sleep(0.05)  # the visitor's pace


def test_a_request_that_trickles_has_no_more_time() -> None:
    with (
        a_server(bounded(10, request_s=0.5)) as (port, _),
        connected(port, HALF) as trickle,
        pytest.raises(ConnectionError),
    ):
        trickle_for(SOON_S, trickle)


def test_a_visitor_that_comes_again_has_its_time_anew() -> None:
    with a_server(bounded(10, request_s=0.6)) as (port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(5):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"xx"
            time.sleep(0.2)  # the visitor's pace: together longer than one request may take
        connection.close()


def test_whoever_has_waited_longest_without_a_request_makes_room() -> None:
    with a_server(bounded(5, request_s=NEVER_S)) as (port, count), ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(port, HALF))
            assert answer(port) == 200
            assert count() <= 5


def test_where_all_are_being_answered_no_other_gets_in() -> None:
    with a_server(bounded(2, untaken_s=NEVER_S)) as (port, count), ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connected(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"))
        wait_until(lambda: count() == 2)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            answer(port)


def test_an_answer_has_to_be_taken_in_time() -> None:
    with a_server(bounded(10, untaken_s=0.3)) as (port, count):
        with connected(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") as idle:
            wait_until(lambda: count() == 1)
            wait_until(lambda: count() == 0)
            idle.close()
        with connected(port, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") as slow:
            got = 0
            while got < LARGE and (part := slow.recv(2_000_000)):
                got += len(part)
                time.sleep(0.02)  # together longer than the bound
            assert got >= LARGE


def test_half_requests_cost_a_role_a_bounded_number_of_descriptors_and_no_thread() -> None:
    server = HttpServer("127.0.0.1", 0, CollectorRegistry(), live=lambda: {"ok": True}, ready=lambda: {"ok": False})
    server.start()
    threads = set(threading.enumerate())
    try:
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connected(server.port, HALF))
            assert answer(server.port, "/health/live") == 200
            assert answer(server.port, "/health/ready") == 503
            assert len(server._server.server_state.connections) <= MAX_CONNECTIONS
            assert set(threading.enumerate()) <= threads
    finally:
        server.stop()
    with pytest.raises(ConnectionError):
        connected(server.port)


def test_a_crowd_of_half_requests_pushes_out_no_probe() -> None:
    server = HttpServer("127.0.0.1", 0, CollectorRegistry(), live=lambda: {"ok": True}, ready=lambda: {"ok": True})
    server.start()
    with ExitStack() as stack:
        stack.callback(server.stop)

        def crowd() -> None:
            for _ in range(1500):
                stack.enter_context(connected(server.port, HALF))

        visitors = threading.Thread(target=crowd)
        visitors.start()
        answers = [answer(server.port, "/health/live")]
        while visitors.is_alive():
            answers.append(answer(server.port, "/health/live"))
        visitors.join()
        assert set(answers) == {200}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/metrics?name[]=up", 200),
        ("GET", "/", 404),
        ("POST", "/health/live", 405),
    ],
)
def test_a_role_answers_probes_and_scrapes_alone(method: str, path: str, status: int) -> None:
    server = HttpServer("127.0.0.1", 0, CollectorRegistry(), live=lambda: {"ok": True}, ready=lambda: {"ok": True})
    server.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        connection.close()
    finally:
        server.stop()
