"""Faults on demand: a table of (method, path, times, action) that is asked before any route."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from typing import Any, Final

HOLD_LIMIT_S: Final = 60.0


@dataclass(frozen=True)
class Answer:
    """What goes back. `cut_at` ends the body early; an `endless` body goes on as long as somebody reads it."""

    status: int
    body: bytes = b""
    content_type: str | None = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    endless: bool = False


Action = Callable[[Callable[[], Answer]], Answer | None]
"""Gets the way on, and gives what is answered; None drops the connection without a word."""


def status(code: int, error: str = "", *, retry_after_s: int | None = None) -> Action:
    """An error of the API."""
    body = json.dumps({"error": error, "message": "Ошибка.", "description": error}).encode()
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return lambda _: Answer(code, body, "application/json", headers)


def page(code: int = 502) -> Action:
    """A web page instead of an answer."""
    return lambda _: Answer(code, b"<html><body>nginx</body></html>", "text/html")


def drop_before(_: Callable[[], Answer]) -> None:
    """Nothing is done, and nothing answered."""


def drop_after(go_on: Callable[[], Answer]) -> None:
    """It is done, but the answer is lost."""
    go_on()


def cut_body(at_bytes: int) -> Action:
    """The answer ends before its length."""
    return lambda go_on: replace(go_on(), cut_at=at_bytes)


def endless_body(go_on: Callable[[], Answer]) -> Answer:
    """The answer does not end."""
    return replace(go_on(), endless=True)


def answer_with_status(code: int) -> Action:
    """It is done, but the answer has another status: 202 after a PUT, say."""
    return lambda go_on: replace(go_on(), status=code)


def change_json(**changes: Any) -> Action:
    """Fields of the answer replaced; None removes a field."""

    def action(go_on: Callable[[], Answer]) -> Answer:
        answer = go_on()
        found = json.loads(answer.body) | changes
        return replace(answer, body=json.dumps({k: v for k, v in found.items() if v is not None}).encode())

    return action


def before_it(do: Callable[[], None]) -> Action:
    """Something happens first: a file is replaced, say."""

    def action(go_on: Callable[[], Answer]) -> Answer:
        do()
        return go_on()

    return action


@dataclass(frozen=True)
class Hold:
    """Stops a request until it is let go on; `reached` is set when it has come. After a minute it is dropped.

    `after_it` stops it when it is done and before it is answered; `then_drop` never does it at all.
    """

    after_it: bool = False
    then_drop: bool = False
    reached: Event = field(default_factory=Event)
    release: Event = field(default_factory=Event)

    def __call__(self, go_on: Callable[[], Answer]) -> Answer | None:
        """As an Action."""
        answer = go_on() if self.after_it else None
        self.reached.set()
        if not self.release.wait(HOLD_LIMIT_S) or self.then_drop:
            return None
        return answer if answer is not None else go_on()


@dataclass
class _Fault:
    method: str
    path: re.Pattern[str]
    action: Action
    times: int
    after: int


class FaultTable:
    """Faults are tried in the order in which they were added; each is used `times` times, after `after` calls passed."""

    def __init__(self) -> None:
        self._faults: Final[list[_Fault]] = []
        self._lock: Final = Lock()

    def add(self, method: str, path: str, action: Action, *, times: int = 1, after: int = 0) -> None:
        """`path` is a regular expression that is searched for in the path with its decoded query."""
        with self._lock:
            self._faults.append(_Fault(method, re.compile(path), action, times, after))

    def clear(self) -> None:
        """Everything works again."""
        with self._lock:
            self._faults.clear()

    def find(self, method: str, path: str) -> Action | None:
        """The action for this request, which counts."""
        with self._lock:
            for fault in self._faults:
                if fault.method != method or not fault.path.search(path) or not fault.times:
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault.action
        return None
