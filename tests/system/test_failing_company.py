"""One company's uploads are broken in bulk: another's are ready beside them, and each broken one ends as a dead letter."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.system.stack import Stack, a_stack, run_cli
from tests.system.tenants import Tenant, add_rows, add_tenant, problems_of, upload_for
from tests.system.test_tenants import local_tenant, readiness, scraped, worker_port

BROKEN, SOUND = range(1000, 1035), range(5000, 5010)
MOST_IN_A_ROW = 13
SETTINGS = {
    "DLQ_MIN_EVENTS": "10",
    "DLQ_MAX_CONSECUTIVE": str(MOST_IN_A_ROW),
    "DLQ_COMPANY_PER_MINUTE": "1200",
    "WORKER_CONCURRENCY": "4",
    "DECODE_SLOTS": "2",
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_company_broken_in_bulk_waits_for_its_turns_and_the_others_uploads_are_ready_meanwhile(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    """A fresh installation: nobody's upload has ever ended, and the broken ones come first."""
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, **SETTINGS) as stack:
        broken, sound = a_tenant(stack, 2, "globex", BROKEN), a_tenant(stack, 3, "initech", SOUND)
        bad = [upload_for(stack.platform, broken, media_id) for media_id in BROKEN]
        for upload in bad:
            broken.store.put(upload.event["media"]["key"], b"\xff\xd8\xff\xe0 no picture")
        stack.platform.publish(bad)
        stack.wait_for(lambda: len(dead_letters(stack)) > MOST_IN_A_ROW)
        stack.platform.publish([upload_for(stack.platform, sound, media_id) for media_id in SOUND])

        stack.wait_for(lambda: problems_of(stack.platform, sound) == [])
        ended_meanwhile = len(dead_letters(stack))
        health, gauge = readiness(stack), scraped(stack)["thumbnail_companies_limited"]
        status = run_cli(
            stack.environment, "status", "--once", "--json", "--metrics", f"127.0.0.1:{worker_port(stack)}"
        )
        stack.wait_for(lambda: len(dead_letters(stack)) >= len(bad), 120)
        found = dead_letters(stack)
        log = stack.supervisor.of("worker")[0].log.read_text()
    assert ended_meanwhile < len(bad), "the other company waited for the broken uploads"
    assert (health["ok"], health["limited_companies"], gauge) == (True, [2], 1)
    said = json.loads(status.stdout)
    assert said["limited_companies"] == [2]
    assert any(sentence.startswith("Most uploads of company 2 fail") for sentence in said["attention"])
    assert Counter(found) == Counter((upload.record_key, "media.corrupt") for upload in bad)
    assert log.count('"company_limited"') == 1


def a_tenant(stack: Stack, number: int, slug: str, media_ids: range) -> Tenant:
    tenant = local_tenant(stack, number, slug)
    add_tenant(stack.platform, tenant)
    add_rows(stack.platform, tenant, media_ids)
    return tenant


def dead_letters(stack: Stack) -> list[tuple[str, str]]:
    """The key and the code of each."""
    found = stack.platform.read_topic("thumbnail.dlq")
    return [(record.key().decode(), dict(record.headers())["error-code"].decode()) for record in found]
