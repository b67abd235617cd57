"""The status says whose storage is paused and whose dead letters wait, whatever the roles report."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from service.status.owners import owners, owners_json, paused_connections
from service.status.role_endpoints import RoleState
from service.status.snapshot import Snapshot, attention
from streams.dlq.read import ErrorGroup

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
OPEN = (("state", "open"),)


def a_worker(*paused: Any, open_breakers: int = 1) -> RoleState:
    samples: Samples = {("thumbnail_storage_breakers", OPEN): float(open_breakers)}
    health = {"ok": True, "resting": list(paused)} if paused else {"ok": True}
    return RoleState("http://w/metrics", None, "worker", "1", health, samples)


def a_rest(connection: int, *companies: int, provider: str = "minio") -> dict[str, Any]:
    return {"connection_id": connection, "provider": provider, "state": "half_open", "company_ids": list(companies)}


def said(*roles: RoleState, **more: Any) -> list[str]:
    return attention(Snapshot(NOW, roles, **more), 60.0)


def test_a_storage_that_rests_is_named_with_its_companies_and_what_to_do() -> None:
    (sentence,) = said(a_worker(a_rest(2, 5)))
    assert sentence.startswith("Storage connection 2 (minio, of company 5) is paused, because it failed repeatedly:")
    assert "`thumbnails check --tenants` says why" in sentence
    assert "other companies' go on" in sentence


def test_a_connection_is_told_once_however_many_workers_give_it_a_rest() -> None:
    sentences = said(a_worker(a_rest(10, 5)), a_worker(a_rest(10, 6), a_rest(9)))
    assert [sentence.partition(" is paused")[0] for sentence in sentences] == [
        "Storage connection 9 (minio, of a company that no worker remembers)",
        "Storage connection 10 (minio, of companies 5, 6)",
    ]
    data = Snapshot(NOW, [a_worker(a_rest(10, 5))]).to_json(60.0)
    assert data["resting"] == [{"connection_id": "10", "provider": "minio", "company_ids": [5]}]


def test_a_company_most_of_whose_uploads_fail_is_named_once_with_what_to_do() -> None:
    workers = [
        RoleState("http://w", None, "worker", "1", {"ok": True, "limited_companies": ids}, {}) for ids in ([5], [5, 3])
    ]
    (sentence,) = said(*workers)
    assert sentence.startswith("Most uploads of companies 3, 5 fail")
    assert "`thumbnails dlq list --company 3` says why" in sentence
    assert Snapshot(NOW, workers).to_json(60.0)["limited_companies"] == [3, 5]
    assert said(RoleState("http://w", None, "worker", "1", {"ok": True, "limited_companies": ["x", {}]}, {})) == []


def test_workers_that_do_not_say_which_are_counted() -> None:
    assert said(a_worker(open_breakers=2)) == [
        "Storage connections are paused, because they failed repeatedly: 2. See `thumbnails check --tenants`."
    ]
    assert said(a_worker(open_breakers=0)) == []


@pytest.mark.parametrize(
    "reported", [None, "x", [3], [{"company_ids": "abc"}], [{"connection_id": "\x1b[2J", "company_ids": [1, "x"]}]]
)
def test_what_is_none_of_our_health_does_no_harm(reported: Any) -> None:
    role = RoleState("http://w/metrics", None, "worker", "1", {"ok": True, "resting": reported}, {})
    assert "\x1b" not in "".join(connection.sentence() for connection in paused_connections([role]))


@pytest.mark.parametrize(
    ("companies", "words"),
    [
        ({3: 40}, "all of company 3"),
        ({None: 2}, "of no company that can be read"),
        ({1: 2, 3: 40, None: 1}, "of 3 companies: 3 (40), 1 (2), unknown (1)"),
        (dict.fromkeys(range(7), 1), "of 7 companies: 0 (1), 1 (1), 2 (1), 3 (1), 4 (1), …"),
    ],
)
def test_whose_letters_are_is_said_in_words(companies: dict[int | None, int], words: str) -> None:
    assert owners(companies) == words
    assert sum(row["waiting"] or 0 for row in owners_json(companies)) == sum(companies.values())


def test_a_role_that_does_not_answer_is_told_with_where_to_look() -> None:
    assert said(RoleState("http://w/metrics", "it does not answer: Connection refused")) == [
        "The role at http://w/metrics: it does not answer: Connection refused. If it runs no more, its last log line says why."
    ]


def test_what_several_roles_have_lost_is_one_sentence() -> None:
    samples: Samples = {("thumbnail_dependency_up", (("dependency", "database"),)): 0.0}
    health = {"ok": False, "dependencies": {"database": {"ok": False, "next_action": "Bring it back."}}}
    lost = [RoleState(f"http://{name}", None, name, "1", health, samples) for name in ("worker", "persist")]
    assert said(lost[0]) == ["worker at http://worker has lost database. Bring it back."]
    assert said(*lost) == ["worker at http://worker, persist at http://persist have lost database. Bring it back."]


def test_dead_letters_are_told_with_their_companies() -> None:
    group = ErrorGroup("media.corrupt", NOW, NOW, "0:1", "", 3, 2, Counter({3: 2}))
    (sentence,) = said(dead_letters={"thumbnail.dlq": [group]})
    assert sentence.startswith(
        "Dead letters wait in thumbnail.dlq: 2 with media.corrupt, all of company 3. The file is"
    )


def test_what_is_acknowledged_or_discarded_needs_no_attention_and_is_counted() -> None:
    group = ErrorGroup("media.corrupt", NOW, NOW, "0:1", "", 3, 0, acknowledged=1, discarded=2)
    found = Snapshot(NOW, [], dead_letters={"thumbnail.dlq": [group]})
    assert attention(found, 60.0) == []
    data = found.to_json(60.0)
    assert (data["ok"], data["dead_letters"][0]["acknowledged"], data["dead_letters"][0]["discarded"]) == (True, 1, 2)
