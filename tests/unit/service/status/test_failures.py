"""What fails, in one row a code: dead letters and retries together, with one command for all, on 80 columns and in JSON."""

import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from schemas.errors import NEXT_ACTIONS, ErrorCode
from service.status.failures import WHILE_RETRIED
from service.status.fallbacks import Fallback
from service.status.recent_results import Recent, Result
from service.status.role_endpoints import RoleState
from service.status.snapshot import Snapshot
from service.status.topic_states import TopicBacklogs
from service.status.view import plain, render
from streams.dlq.read import ErrorGroup, Known, grouped
from streams.dlq.retries import WaitingRetry
from streams.failures.marks import Mark, MarkState

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)


def dead(
    code: str, company: int | None = 3, number: int = 1, state: MarkState | None = None
) -> list[tuple[str, Known]]:
    """So many dead letters, a second apart."""
    began = NOW.timestamp() - 600
    return [
        (f"0:{n}", Known(1, began + n, code, company, f"video:{n}", "The file ends too early.", state))
        for n in range(number)
    ]


def waiting(code: str, company: int | None = 3, number: int = 1, **more: Any) -> list[WaitingRetry]:
    return [
        WaitingRetry(
            tier=1,
            topic="thumbnail.retry.1",
            partition=0,
            offset=n,
            timestamp_ms=1,
            code=code,
            company_id=company,
            key=f"video:{n}",
            message="No company has the id 99.",
            due_at=NOW + timedelta(seconds=9 + n),
            first_failed_at=NOW - timedelta(seconds=60),
            origin="media.uploaded",
            is_tombstone=False,
            **more,
        )
        for n in range(number)
    ]


def seen(
    *letters: list[tuple[str, Known]],
    retries: list[WaitingRetry] | None = None,
    topic: str = "thumbnail.dlq",
    **more: Any,
) -> Snapshot:
    groups: list[ErrorGroup] = grouped([one for some in letters for one in some])
    recent = Recent((Result(NOW, 7, "minio"), Result(NOW, 8, "minio")), 300.0)
    return Snapshot(
        NOW,
        (),
        topics=TopicBacklogs((), {}),
        recent=recent,
        dead_letters={topic: groups},
        waiting=retries or [],
        **more,
    )


def shown(found: Snapshot, width: int) -> list[str]:
    page = Console(width=width, file=io.StringIO(), color_system=None, highlight=False)
    page.print(render(found, 60.0))
    file = page.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_dead_letters_and_retries_of_one_code_are_one_group() -> None:
    found = seen(dead("tenant.unknown", 99, 2), retries=waiting("tenant.unknown", 98, 3))
    (group,) = found.to_json(60)["failures"]
    assert {name: group[name] for name in ("code", "topic", "waiting", "retrying", "next_due_at", "command")} == {
        "code": "tenant.unknown",
        "topic": "thumbnail.dlq",
        "waiting": 2,
        "retrying": 3,
        "next_due_at": "2026-11-25T10:00:09.000Z",
        "command": "thumbnails dlq replay --code tenant.unknown",
    }
    assert group["companies"] == [{"company_id": 98, "count": 3}, {"company_id": 99, "count": 2}]
    assert group["example"] == {
        "position": "0:1",
        "company_id": 99,
        "media": "video:1",
        "message": "The file ends too early.",
    }


@pytest.mark.parametrize(
    ("code", "topic", "command"),
    [
        ("storage.denied", "thumbnail.dlq", "thumbnails dlq replay --code storage.denied"),
        ("media.corrupt", "thumbnail.dlq", "thumbnails dlq discard --code media.corrupt"),
        ("result.refused", "p.thumbnail.ready.dlq", "thumbnails dlq replay --topic ready --code result.refused"),
    ],
)
def test_each_group_has_one_command_for_all_of_it(code: str, topic: str, command: str) -> None:
    (group,) = seen(dead(code), topic=topic).to_json(60)["failures"]
    assert (group["command"], group["fails_again"]) == (command, "discard" in command)


def test_what_only_waits_for_a_retry_is_listed_by_its_command() -> None:
    (group,) = seen(retries=waiting("source.missing")).to_json(60)["failures"]
    assert (group["topic"], group["command"]) == (None, "thumbnails retries list --code source.missing")


@pytest.mark.parametrize("code", WHILE_RETRIED)
def test_nobody_is_told_to_replay_what_is_no_dead_letter_yet(code: ErrorCode) -> None:
    (group,) = seen(retries=waiting(code)).to_json(60)["failures"]
    assert group["next_action"].endswith(". What waits for a retry then goes on by itself.")
    assert "replay" not in group["next_action"]
    (group,) = seen(dead(code), retries=waiting(code)).to_json(60)["failures"]
    assert group["next_action"] == NEXT_ACTIONS[code]


def test_only_what_nobody_has_dealt_with_needs_attention() -> None:
    settled = [dead("media.corrupt", state=state) for state in MarkState if state is not MarkState.SENDING]
    found = seen(*settled)
    assert (found.to_json(60)["ok"], found.to_json(60)["failures"]) == (True, [])
    data = seen(*settled, dead("media.corrupt", state=MarkState.SENDING)).to_json(60)
    assert not data["ok"]
    assert data["failures"][0]["waiting"] == 1


def test_a_retry_storm_needs_attention_before_it_is_dead_letters() -> None:
    few = seen(retries=waiting("tenant.unknown", 99, 19)).to_json(60)
    assert (few["ok"], few["attention"]) == (True, [])
    data = seen(retries=waiting("tenant.unknown", 99, 20)).to_json(60)
    (sentence,) = data["attention"]
    assert sentence == (
        "20 records wait for a retry after tenant.unknown, all of company 99, such as video:0: No company has the id 99."
        " One company rather than the deploy: 2 other companies got thumbnails of late."
        " Check company_id against the companies table. What waits for a retry then goes on by itself."
        " `thumbnails retries list --code tenant.unknown` names them."
    )


@pytest.mark.parametrize("code", ["storage.paused", "tenant.limited", "database.unavailable"])
def test_waits_for_a_part_that_is_down_are_no_storm_of_their_own(code: str) -> None:
    assert seen(retries=waiting(code, 99, 50)).to_json(60)["ok"]


def test_what_waits_is_told_by_code_and_company_without_what_was_cancelled() -> None:
    mark = Mark(MarkState.CANCELLED, NOW, "", "ana", "x")
    found = seen(retries=[*waiting("source.missing", 3, 2), *waiting("source.missing", 4, 25, cancelled=mark)])
    data = found.to_json(60)
    assert data["ok"]
    assert [(row["company_id"], row["count"], row["cancelled"]) for row in data["waiting_retries"]] == [
        (4, 25, 25),
        (3, 2, 0),
    ]
    assert [(row["retrying"], row["companies"]) for row in data["failures"]] == [(2, [{"company_id": 3, "count": 2}])]


def test_failures_since_a_deploy_point_at_it_within_the_first_minute() -> None:
    started = (NOW - timedelta(seconds=100)).timestamp()
    worker = RoleState("http://w", None, "worker", "0.3.0", {}, {("process_start_time_seconds", ()): started})
    retries = waiting("internal.error", 3, 11) + waiting("internal.error", 4, 12)
    found = seen(retries=retries)
    data = Snapshot(NOW, [worker], topics=found.topics, recent=found.recent, dead_letters={}, waiting=retries).to_json(
        60
    )
    assert data["failures"][0]["suspect"]["kind"] == "deploy"
    assert "worker 0.3.0 was started at 09:58:20Z" in data["attention"][0]
    assert "Roll it back. If that does not help: look up the trace id" in data["attention"][0]
    assert data["attention"][0].count("What waits for a retry then goes on by itself.") == 1


def test_where_a_deploy_is_suspected_what_to_do_is_to_go_back_first() -> None:
    crashed = [one for company in (3, 4) for one in dead("media.crashed_decoder", company, 10)]
    (group,) = seen(crashed).to_json(60)["failures"]
    assert "suggest a bad deploy" in group["suspect"]["sentence"]
    assert group["next_action"] == (
        "Roll it back, then replay them. If that does not help: keep the file for a bug report: it kills the decoder."
        " Replay after the decoder's upgrade."
    )


def a_bad_day() -> Snapshot:
    broken = Fallback(5, "connection_broken", 12, 2, "minio", "no bucket has the name ''")
    return seen(
        dead("media.corrupt", 3, 8),
        dead("storage.denied", 1, 40),
        dead("storage.denied", 2, 12),
        retries=waiting("tenant.unknown", 99, 55),
        fallbacks=[broken],
    )


def test_eighty_columns_keep_every_count_and_every_command() -> None:
    lines = shown(a_bad_day(), 80)
    assert all(len(line) <= 80 for line in lines)
    assert "tenant.unknown     -        55  in 9 s  all of company 99" in lines
    for command in ("replay --code storage.denied", "discard --code media.corrupt"):
        assert any(line.endswith(f"thumbnails dlq {command}") for line in lines)
    assert any(line.startswith("company 5") and "2 (minio)" in line for line in lines)


def test_a_pipe_gets_each_row_on_one_line() -> None:
    lines = plain(a_bad_day(), 60.0).splitlines()
    assert any(
        line.startswith("company 5") and line.endswith("connection_broken: no bucket has the name ''") for line in lines
    )
    assert any(line.startswith("! Dead letters wait in thumbnail.dlq: 52 with storage.denied") for line in lines)


def test_text_of_records_commands_no_terminal() -> None:
    evil = "x\x1b[2J"
    letters = [("0:0", Known(1, NOW.timestamp(), evil, 3, evil, evil, None))]
    found = seen(letters, retries=waiting(evil, 3, 30))
    assert "\x1b" not in "".join(shown(found, 100))
    assert "\x1b" not in str(found.to_json(60))


def test_companies_are_counted_over_both() -> None:
    found = seen(dead("source.missing", 1, 5), retries=waiting("source.missing", 1, 2))
    (group,) = found.failures
    assert group.companies == Counter({1: 7})
