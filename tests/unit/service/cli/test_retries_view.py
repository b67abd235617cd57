"""What waits for a retry fits 80 columns; a pipe gets one line a record; a cancellation says what it did and did not."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from service.cli import dlq_view, retries_view
from service.waiting_retries import CancelReport
from streams.dlq.retries import WaitingRetry
from streams.failures.marks import Mark, MarkState

LONG = WaitingRetry(
    tier=3,
    topic="thumbnail.retry.3",
    partition=2,
    offset=1_234_567,
    timestamp_ms=1,
    code="media.crashed_decoder",
    company_id=2_147_483_647,
    key="ar_content:2147483647",
    message="The decoder was killed: left out without room for it.",
    due_at=datetime.now(UTC) + timedelta(minutes=100),
    first_failed_at=None,
    origin="media.uploaded",
    is_tombstone=False,
)


@pytest.mark.parametrize("width", [80, 140])
def test_the_longest_values_fit_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    page = io.StringIO()
    monkeypatch.setattr(retries_view, "stdout", Console(file=page, width=width, force_terminal=True, color_system=None))
    retries_view.show_waiting([LONG, replace(LONG, cancelled=Mark(MarkState.CANCELLED, datetime.now(UTC), "", "ana"))])
    heading, first, second, *more = [line.rstrip() for line in page.getvalue().splitlines()]
    assert max(map(len, (heading, first, second))) <= width
    assert first.split()[0] == "3:2:1234567"
    for part in (" min ", LONG.code, str(LONG.company_id), LONG.key or ""):
        assert part in first
    assert "cancelled" in second
    assert more == []
    assert (LONG.message in first) is (width == 140)


@pytest.mark.parametrize(
    ("left_s", "text"),
    [(None, "now"), (-5, "now"), (9.4, "in 9 s"), (119, "in 119 s"), (170, "in 3 min"), (3600, "in 60 min")],
)
def test_the_time_that_is_left_is_said_in_words(left_s: float | None, text: str) -> None:
    now = datetime(2026, 11, 25, 10, tzinfo=UTC)
    due_at = None if left_s is None else now + timedelta(seconds=left_s)
    assert retries_view.due_text(due_at, now) == text


def test_a_pipe_has_one_line_for_each_with_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    retries_view.show_waiting([LONG, replace(LONG, company_id=None, key=None, due_at=None)])
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["position", "due", "code", "company", "key", "message"]
    assert first.endswith(LONG.message)
    assert second.split()[:5] == ["3:2:1234567", "now", LONG.code, "-", "-"]


def test_what_was_not_cancelled_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    page = io.StringIO()
    monkeypatch.setattr(dlq_view, "stdout", Console(file=page, width=80, color_system=None, highlight=False))
    report = CancelReport(
        cancelled=[LONG], cleanups=[LONG], not_waiting=["1:0:17"], too_late=[LONG], perhaps_too_late=[LONG]
    )
    retries_view.show_report(report, dry_run=False)
    said = page.getvalue()
    for sentence in (
        "1 record cancelled: not tried again when due",
        "Left out: 3:2:1234567. A cleanup or a deletion cannot be cancelled.",
        "Not waiting any more: 1:0:17. `thumbnails retries list` shows what waits.",
        "Too late: 3:2:1234567 went back to work meanwhile.",
        "Perhaps too late: 3:2:1234567, due at this moment.",
    ):
        assert sentence in said


def test_a_dry_run_that_finds_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    page = io.StringIO()
    monkeypatch.setattr(dlq_view, "stdout", Console(file=page, width=80, color_system=None, highlight=False))
    retries_view.show_report(CancelReport(), dry_run=True)
    assert page.getvalue().splitlines() == [
        "0 records would be cancelled.",
        "Nothing was cancelled: no record waits that these options mean.",
    ]
