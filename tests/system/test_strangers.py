"""A small part of the run with generated records: each has its end, every good upload is ready, and no role ends."""

from pathlib import Path

import pytest

from tests.campaign.strangers import report
from tests.campaign.strangers.flood import SETTINGS, run_flood, set_up
from tests.campaign.strangers.judge import judge
from tests.system.stack import a_stack

RECORDS, GOOD = 1500, 30


@pytest.mark.slow
def test_generated_records_among_good_uploads_end_one_by_one_and_end_no_role(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, **SETTINGS) as stack:
        set_up(stack, GOOD)
        flood = run_flood(stack, 5, RECORDS, GOOD, most_s=150, say=print)
        verdict = judge(stack, flood)
    print(report.as_line(flood, verdict))  # noqa: T201 - the figures of the run
    assert verdict.findings == []
    assert (verdict.good_ready, len(flood.strangers), flood.refused) == (GOOD, RECORDS, {})
    text = report.as_markdown(flood, verdict)
    assert f"make strangers SEED=5 RECORDS={RECORDS} GOOD={GOOD}" in text
    assert "| worker-0 |" in text
