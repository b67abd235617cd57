"""The log: a closed list of names, one form for everybody, and no line a thousand times."""

import ast
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars
from structlog.testing import capture_logs

from schemas.log_events import GROUPS, LOG_EVENTS
from service.observability.log_limits import RepeatLimit
from service.observability.logs import ContextThreads, configure_logs

ROOT = Path(__file__).parents[4]
PACKAGES = ("schemas", "storage", "processors", "streams", "service")
LEVELS = {name: name for name in ("debug", "info", "warning", "error", "critical", "log")} | {"exception": "error"}


def log_calls() -> Iterator[tuple[str, str, ast.expr]]:
    """Where a line is written, its level, and what stands for its name."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                method = node.func.attr
                if isinstance(node.func.value, ast.Name) and node.func.value.id == "log" and method in LEVELS:
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield where, LEVELS[method], node.args[1 if method == "log" else 0]


def test_every_line_has_a_name_of_the_list_and_its_level() -> None:
    wrong = []
    for where, level, name in log_calls():
        value = name.value if isinstance(name, ast.Constant) else None
        event = LOG_EVENTS.get(value) if isinstance(value, str) else None
        if event is None or level not in ("log", event.level):
            wrong.append(f"{where} {level} {value!r}")
    assert wrong == []


def test_every_name_of_the_list_is_written_somewhere() -> None:
    written = {name.value for _, _, name in log_calls() if isinstance(name, ast.Constant)}
    assert LOG_EVENTS.keys() - written == set()
    assert len(LOG_EVENTS) == sum(map(len, GROUPS.values())), "a name stands twice"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the configured log writes; afterwards it is as before."""
    out, root = io.StringIO(), logging.getLogger()
    before = root.handlers, root.level
    monkeypatch.setattr(sys, "stderr", out)
    configure_logs("json", "INFO", role="worker")
    yield out
    root.handlers, root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_of_a_library_has_the_same_form_and_the_event_it_is_about(lines: io.StringIO) -> None:
    with bound_contextvars(topic="media.uploaded", offset=7, trace_id="a" * 32), ContextThreads(1) as threads:
        threads.submit(logging.getLogger("botocore.retryhandler").warning, "No answer from %s", "store").result()
        structlog.get_logger("x").info("objects_cleaned", deleted=1)
    theirs, ours = read(lines)
    assert (theirs["event"], theirs["logger"]) == ("No answer from store", "botocore.retryhandler")
    shared = {"level", "timestamp", "role", "logger", "topic", "offset", "trace_id"}
    assert shared < theirs.keys() & ours.keys()


def test_a_pool_without_our_context_would_not_know_the_event(lines: io.StringIO) -> None:
    with bound_contextvars(offset=7), ThreadPoolExecutor(1) as threads:
        threads.submit(logging.getLogger("botocore").warning, "No answer").result()
    assert "offset" not in read(lines)[0]


@pytest.mark.parametrize(
    ("name", "level", "shown"),
    [
        ("botocore.auth", logging.INFO, False),
        ("urllib3.connectionpool", logging.DEBUG, False),
        ("aiokafka.consumer", logging.INFO, False),
        ("yadisk", logging.INFO, False),
        ("yadisk", logging.WARNING, True),
        ("librdkafka", logging.ERROR, True),
    ],
)
def test_libraries_are_heard_from_warnings_on(lines: io.StringIO, name: str, level: int, *, shown: bool) -> None:
    logging.getLogger(name).log(level, "Something happened")
    assert bool(read(lines)) is shown


def test_repeats_are_held_back_and_single_events_never(lines: io.StringIO) -> None:
    log = structlog.get_logger("streams")
    for number in range(50):
        log.warning("database_down", reason="refused", retry_in_s=number)
        log.warning(
            "storage_fallback_used", connection_id=number % 2, error_code="storage.full", media=f"video:{number}"
        )
        log.warning("retry_scheduled", media=f"video:{number}")
        logging.getLogger("librdkafka").error("%s [%s] %s", "FAIL", "rdkafka#1", f"refused after {number} ms")
    counts: dict[str, int] = {}
    for line in read(lines):
        counts[line["event"].partition(" ")[0]] = counts.get(line["event"].partition(" ")[0], 0) + 1
    assert counts == {"database_down": 3, "storage_fallback_used": 6, "retry_scheduled": 50, "FAIL": 3}


def test_the_next_line_says_how_many_were_held_back() -> None:
    now = 0.0
    limit = RepeatLimit(burst=2, window_s=60, clock=lambda: now)
    assert [limit.admit("a") for _ in range(5)] == [0, 0, None, None, None]
    assert limit.admit("b") == 0
    now = 60.0
    assert [limit.admit("a") for _ in range(3)] == [3, 0, None]
    now = 130.0
    assert limit.admit("a") == 1


def test_the_table_of_repeats_is_bounded() -> None:
    limit = RepeatLimit(burst=1, max_keys=10)
    for number in range(1000):
        assert limit.admit(number) == 0
    assert limit.admit(999) is None
    assert limit.admit(0) == 0


def test_signatures_in_urls_are_cut_off_in_texts_of_others(lines: io.StringIO) -> None:
    url = "https://s3.example/bucket/a.mp4?X-Amz-Signature=s3cret&X-Amz-Date=1"
    logging.getLogger("urllib3").warning("Retrying after %s: /disk/a?sign=s3cret", url)
    error = ConnectionError(f"HTTPSConnectionPool: Max retries exceeded with url: {url} (Caused by x)")
    structlog.get_logger("x").error("event_internal_error", exc_info=error)
    written = lines.getvalue()
    assert "s3cret" not in written
    assert "https://s3.example/bucket/a.mp4?…" in read(lines)[0]["event"]
    assert "(Caused by x)" in read(lines)[1]["exception"]
    assert "why? because" in _shown(lines, "why? because")


def _shown(lines: io.StringIO, text: str) -> str:
    logging.getLogger("x").warning(text)
    return str(read(lines)[-1]["event"])


def test_the_console_shows_no_local_variables() -> None:
    program = (
        "import structlog; from service.observability.logs import configure_logs; configure_logs('console', 'INFO', role='x')\n"
        "def f():\n password = 'hun' + 'ter2'\n 1 / 0\n"
        "try: f()\nexcept Exception: structlog.get_logger('x').exception('event_internal_error')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "ZeroDivisionError" in done.stderr
    assert "hunter2" not in done.stderr


OF_TWO_TESTS = structlog.get_logger("x")


def test_a_role_that_a_test_starts_in_its_own_process_writes_to_its_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", "INFO", role="x")
    OF_TWO_TESTS.info("role_starting")
    assert "role_starting" in capsys.readouterr().err


def test_what_the_same_logger_writes_is_captured_by_a_later_test() -> None:
    configure_logs("json", "INFO", role="y")
    with capture_logs() as written:
        OF_TWO_TESTS.info("role_starting")
    assert [line["event"] for line in written] == ["role_starting"]
