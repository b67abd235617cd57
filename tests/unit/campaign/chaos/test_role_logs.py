"""What a campaign reads of the ends of roles from their logs."""

import json
from pathlib import Path

from tests.campaign.chaos.role_logs import check_starts, count_ends, ends_in

LINES = [
    "Traceback (most recent call last):",
    "7",
    json.dumps({"event": "role_starting"}),
    json.dumps({"event": "dependency_lost", "dependency": "database", "reason": "It is away."}),
    json.dumps({"event": "dependency_failed", "dependency": "Database at postgresql://h/p", "problem": "It is away."}),
    json.dumps({"event": "dependency_failed", "dependency": "Kafka at h:9092", "problem": "No broker answers."}),
    json.dumps({"event": "role_failed", "reason": "The clock was set back."}),
    json.dumps({"event": "role_failed", "reason": "The clock was set back."}),
]


def test_the_ends_of_roles_are_counted_and_only_a_start_without_broker_may_fail(tmp_path: Path) -> None:
    log = tmp_path / "persist-0.log"
    log.write_text("\n".join(LINES))
    ends = list(ends_in("persist", log))
    assert count_ends(ends) == {
        "persist: The clock was set back.": 2,
        "persist: Database at postgresql://h/p: It is away.": 1,
        "persist: Kafka at h:9092: No broker answers.": 1,
    }
    (finding,) = check_starts(ends)
    assert finding.kind == "bad start"
    assert "Database at" in finding.what
