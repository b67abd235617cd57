"""The drill's report over made-up outcomes: it says what was seen, and what was not."""

from dataclasses import replace
from typing import Any

from tests.campaign.drill.drill import Outcome, Result
from tests.campaign.drill.faults import FAULTS, Fault
from tests.campaign.drill.looks import PageFailure, PageView, Status
from tests.campaign.drill.report import as_line, as_markdown
from tests.campaign.drill.watch import AlertWatch, Seen

KAFKA: Fault = next(fault for fault in FAULTS if fault.name == "broker-down")


def an_outcome(**changes: Any) -> Outcome:
    seen = Seen("ThumbnailKafkaDown", {"alertname": "ThumbnailKafkaDown", "instance": "worker-0"}, 4.0, 10.4)
    seen = replace(
        seen, summary="worker-0 gets no answer.", description="Wait.", runbook="docs/runbooks.md#thumbnailkafkadown"
    )
    down = {"ok": False, "problem": "No broker answers."}
    roles = [{"role": "worker", "url": "http://w", "problem": None, "health": {"dependencies": {"kafka": down}}}]
    status = Status("2 things need attention", {"attention": ["No | broker <here>."], "roles": roles}, 1, 2.0)
    entry = PageFailure(
        "media.corrupt", "media.corrupt 3 dead letters", "thumbnails dlq discard --code media.corrupt", True
    )
    page = PageView("Kafka is away since 10:00:00", ["No broker answers."], "ready 3", "3 shown, 0 failed", [entry])
    outcome = Outcome(KAFKA, [seen], 20.0, status, 10.5, page, "drill-broker-down.png", {"Acme": (8, 2)}, 12.0, 31.0)
    outcome = replace(outcome, done_by_page=["thumbnails dlq discard --yes"], empty_s=40.0)
    return replace(outcome, **changes)


def a_page(*outcomes: Outcome) -> str:
    return as_markdown(Result(10.0, list(outcomes), 100, 0, total_s=90.0), "images", 40.0)


def test_the_table_says_which_alert_fired_how_soon_and_what_was_said() -> None:
    (row,) = [line for line in a_page(an_outcome()).splitlines() if line.startswith("| [Broker down]")]
    assert row == (
        "| [Broker down](#broker-down) | [ThumbnailKafkaDown](runbooks.md#thumbnailkafkadown) | 10 s | 64 to 104 s |"
        " No \\| broker &lt;here>. | Kafka is away since 10:00:00 | 12 s | 31 s | 40 s |"
    )


def test_a_section_has_the_alerts_text_the_status_the_health_and_the_picture() -> None:
    text = a_page(an_outcome())
    assert "> **worker-0 gets no answer.** Wait. [ThumbnailKafkaDown](runbooks.md#thumbnailkafkadown)" in text
    assert "```console\n2 things need attention\n```" in text
    assert "worker at http://w: kafka: No broker answers." in text
    assert "](images/drill-broker-down.png)" in text
    assert "Acme: 2 of 8" in text
    assert "> media.corrupt 3 dead letters" in text
    assert "Then what the page says: `thumbnails dlq discard --yes`." in text
    assert "all was well by the page, 40 s after it" in text


def test_a_fault_without_an_alert_has_its_row_all_the_same() -> None:
    storm = next(fault for fault in FAULTS if not fault.alerts)
    text = a_page(an_outcome(fault=storm, alerts=[]))
    assert f"| [{storm.title}](#{storm.title.lower().replace(' ', '-')}) | none is waited for | - | - |" in text
    assert "None fired." in text


def test_an_alert_that_did_not_fire_and_a_fault_that_did_not_end_are_told() -> None:
    done = an_outcome(
        alerts=[], caught_up_s=None, quiet_s=None, empty_s=None, problems=["ThumbnailKafkaDown did not fire"]
    )
    text = a_page(done)
    assert "| not fired | - |" in text
    assert "| never | never | never |" in text
    assert "- broker-down: ThumbnailKafkaDown did not fire" in text
    assert "0 of 1 expected alerts fired, 1 finding." in as_line(Result(10.0, [done]))


class Scripted:
    """Alerts as Prometheus gives them, one answer a look."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    def alerts(self) -> list[dict[str, Any]]:
        texts = {"summary": "s", "description": "d", "runbook_url": "r"}
        alert = {"labels": {"alertname": "A"}, "activeAt": "1970-01-01T00:16:41Z", "annotations": texts}
        return [alert | {"state": state} for state in [self.states.pop(0)] if state]


def test_an_alert_is_noted_once_it_fires_with_the_time_from_which_it_was_true() -> None:
    watch = AlertWatch(Scripted("", "pending", "firing", "firing"), began=1000.0)
    for fired in (0, 0, 1, 1):
        watch.look()
        assert len(watch.fired()) == fired
    first = watch.first("A")
    assert first is not None
    assert (first.true_s, first.summary) == (1.0, "s")
    assert watch.first("B") is None
