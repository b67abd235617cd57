"""What 1,200 half-open HTTP requests on a worker's port cost its uploads, on real Apache Kafka.

Run: python -m benchmarks.half_open [--connections N] [--seconds S] [--rounds R]. Slices with and without them take turns. A visitor
that is cut off comes again after five seconds. Beside the uploads, /health/live is asked all the time by a probe of its own.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.clips import photographs
from benchmarks.worker import announced, uploads_of
from tests.servers.kafka.apache import ApacheKafka
from tests.system.stack import Stack, a_stack

HALF = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Half: "
COMES_AGAIN_S = 5.0
PROBE_EVERY_S = 0.2


async def one_visitor(port: int) -> None:
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HALF)
            await reader.read()  # until it is cut off
            writer.close()
        await asyncio.sleep(COMES_AGAIN_S)


def visit(port: int, connections: int) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(one_visitor(port) for _ in range(connections)))

    asyncio.run(all_of_them())


@contextmanager
def visitors(port: int, connections: int) -> Iterator[None]:
    """In a process of their own, which ends with the block."""
    process = multiprocessing.Process(target=visit, args=(port, connections), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


class Probe(threading.Thread):
    """Asks whether the role lives; `seconds` has how long each answer took."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self._port = port
        self._ended = threading.Event()

    def run(self) -> None:
        """Ask until end()."""
        while not self._ended.wait(PROBE_EVERY_S):
            began = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            try:
                connection.request("GET", "/health/live")
                is_well = connection.getresponse().status == http.HTTPStatus.OK
                self.seconds.append(time.perf_counter() - began if is_well else float("inf"))
            except (OSError, http.client.HTTPException):
                self.seconds.append(float("inf"))
            finally:
                connection.close()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        self.join()


def port_of(stack: Stack) -> int:
    lines = stack.supervisor.of("worker")[0].log.read_text().splitlines()
    return next(int(json.loads(line)["http_port"]) for line in lines if '"role_ready"' in line)


def rate(stack: Stack, key: str, ids: range, seconds: float) -> float:
    """Uploads a second within `seconds`, of a backlog that lasts longer."""
    stack.platform.add_rows(ids)
    already = announced(stack)
    stack.platform.publish(uploads_of(key, "image", ids))
    time.sleep(2)
    before, began = announced(stack), time.perf_counter()
    time.sleep(seconds)
    done, lasted = announced(stack) - before, time.perf_counter() - began
    stack.wait_for(lambda: announced(stack) >= already + len(ids), timeout_s=300)
    return done / lasted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--backlog", type=int, default=700, help="uploads of a slice: more than it can do")
    options = parser.parse_args()
    kafka = ApacheKafka()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = photographs(folder)[0].path
        try:
            with a_stack(kafka.start(), f"sqlite:///{folder / 'x.db'}", "", folder) as stack:
                stack.platform.store("acme/uploads/photo.jpg", path.read_bytes())
                measure(stack, options)
        finally:
            kafka.stop()


def measure(stack: Stack, options: argparse.Namespace) -> None:
    port, worker = port_of(stack), stack.supervisor.of("worker")[0].process.pid
    probe, ratios, first = Probe(port), [], 1
    probe.start()
    for _ in range(options.rounds):
        without = rate(stack, "acme/uploads/photo.jpg", range(first, first + options.backlog), options.seconds)
        first += options.backlog
        asked = len(probe.seconds)
        with visitors(port, options.connections):
            beside = rate(stack, "acme/uploads/photo.jpg", range(first, first + options.backlog), options.seconds)
            descriptors = len(list(Path(f"/proc/{worker}/fd").iterdir()))
            threads = len(list(Path(f"/proc/{worker}/task").iterdir()))
        first += options.backlog
        ratios.append(beside / without)
        print(
            f"{without:.1f} uploads/s without, {beside:.1f} with {options.connections} half-open: {ratios[-1]:.2f};"
            f" {descriptors} descriptors, {threads} threads; /health/live at most {max(probe.seconds[asked:]):.3f} s"
        )
    probe.end()
    answered = sorted(probe.seconds)
    print(f"Median ratio {statistics.median(ratios):.2f}; {len(answered)} probes, the slowest {answered[-1]:.3f} s")


if __name__ == "__main__":
    main()
