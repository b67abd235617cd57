"""Dead letters on a terminal of any width keep what is to be done; in a pipe each is one line."""

import io
import re
from datetime import UTC, datetime

import pytest
from rich.console import Console

from schemas.errors import NEXT_ACTIONS, ErrorCode
from service.cli import dlq_view as view
from streams.dlq.read import ErrorGroup

NOW = datetime(2026, 11, 29, 10, tzinfo=UTC)
CODES = (ErrorCode.STORAGE_BAD_KEY, ErrorCode.MEDIA_CORRUPT)
GROUPS = [ErrorGroup(str(code), NOW, NOW, f"{number}:1700", "", 1234, 56) for number, code in enumerate(CODES)]


@pytest.mark.parametrize("width", [1, 40, 80, 119, 120, 140])
def test_every_width_of_a_terminal_keeps_the_code_and_the_action(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    page = io.StringIO()
    monkeypatch.setattr(view, "stdout", Console(file=page, width=width, force_terminal=True, color_system=None))
    view.show_stats(GROUPS)
    shown = re.sub(r"[\s│┃|]+|\x1b\[[\d;]*m", "", page.getvalue())
    if width < 80:
        assert all(re.sub(r"\s+", "", NEXT_ACTIONS[code]) in shown and code in shown for code in CODES)
        return
    for code in CODES:
        assert code in shown
        assert all(re.sub(r"\s+", "", word) in shown for word in NEXT_ACTIONS[code].split())
        assert "1234" in shown


def test_a_pipe_has_one_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    view.show_stats(GROUPS)
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["code", "letters", "waiting"]
    assert [line.split()[0] for line in lines] == list(CODES)
    assert [line.endswith(NEXT_ACTIONS[code]) for line, code in zip(lines, CODES, strict=True)] == [True, True]
