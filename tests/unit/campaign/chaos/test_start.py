"""The start of a campaign: what is built once has its own limit and message, and is no part of the run's time."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.campaign.chaos import __main__ as chaos
from tests.servers.go_tool import GoTool, NoToolError
from tests.system import bounded_run
from tests.system.bounded_run import EXIT_NOT_RUN, a_bounded_run


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """The program sets its own, and pytest's time limit is an alarm, too."""
    numbers = (signal.SIGTERM, signal.SIGALRM, signal.SIGINT)
    before, timer = [signal.getsignal(number) for number in numbers], signal.setitimer(signal.ITIMER_REAL, 0)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def test_nothing_is_built_under_the_alarm_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    alarms: list[float] = []

    def build(_tool: GoTool, say: Callable[[str], None]) -> Path:
        say("Building")
        alarms.append(signal.getitimer(signal.ITIMER_REAL)[0])
        return Path("built")

    def a_run(*_arguments: object, **_options: object) -> None:
        said.append("begins")
        raise NoToolError("that is enough for a test")

    monkeypatch.setattr(bounded_run, "fetch_jars", lambda: Path("jars"))
    monkeypatch.setattr(GoTool, "get", build)
    monkeypatch.setattr(chaos, "a_bounded_run", a_run)
    monkeypatch.setattr("rich.console.Console.print", lambda _self, text, **_options: said.append(str(text)))
    assert chaos.main(["--uploads", "1"]) == EXIT_NOT_RUN
    assert said[:3] == ["Building", "Building", "begins"]
    assert alarms == [0.0, 0.0]


def test_what_cannot_be_built_is_one_sentence_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(_tool: GoTool, _say: Callable[[str], None]) -> Path:
        raise NoToolError("minio was not built within 1800 s.")

    monkeypatch.setattr(bounded_run, "fetch_jars", lambda: Path("jars"))
    monkeypatch.setattr(GoTool, "get", build)
    assert chaos.main([]) == EXIT_NOT_RUN
    assert "not run to its end: minio was not built within 1800 s." in capsys.readouterr().out


def test_the_run_itself_has_its_alarm() -> None:
    with a_bounded_run("thumbnails-test-", 60.0, keep=False, say=print):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
