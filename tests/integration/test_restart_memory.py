"""What a worker that starts learns from the topics about the one before it: whose dead letters they were, and who else there is."""

from datetime import timedelta

import pytest
from confluent_kafka import Producer

from schemas.cloudevents import write_event
from schemas.errors import ErrorCode
from service.dead_letters import recent_owners
from service.kafka.clients import producer_config
from service.kafka.topics import create_topics
from service.settings import Settings
from service.status.recent_results import recent_companies
from service.status.snapshot import now
from streams.failures.guard import SEEN_FOR_S
from tests.doubles.letters import dead_letter_record
from tests.doubles.pipeline import NOW
from tests.doubles.results import ready


@pytest.fixture
def settings(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("KAFKA_REPLICATION_FACTOR", "1")
    return Settings()


def test_letters_are_counted_by_owner_and_companies_with_thumbnails_of_late_are_known(settings: Settings) -> None:
    create_topics(settings.kafka)
    prefix, at = settings.kafka.kafka_topic_prefix, now()
    producer = Producer(producer_config(settings.kafka))
    old_s = (at - NOW).total_seconds()  # the doubles' dead letters failed at NOW
    for code, company, age_s in (
        *[(ErrorCode.STORAGE_BAD_KEY, 2, 5.0)] * 3,
        (ErrorCode.MEDIA_CORRUPT, 1, 5.0),
        (ErrorCode.TENANT_UNKNOWN, 77, 5.0),
        (ErrorCode.EVENT_MALFORMED, 1, 5.0),
        (ErrorCode.MEDIA_CORRUPT, 1, 9000.0),
    ):
        dead_letter = dead_letter_record(code=code, company=company, age_s=age_s - old_s)
        producer.produce(
            f"{prefix}thumbnail.dlq", dead_letter.value, dead_letter.key, headers=list(dead_letter.headers)
        )
    for company, age_s in ((1, 60.0), (3, SEEN_FOR_S + 3600), (4, 0.0)):
        written_at = int((at - timedelta(seconds=age_s)).timestamp() * 1000)
        value = write_event(ready(1, company_id=company))
        producer.produce(f"{prefix}thumbnail.ready", value, f"video:{company}", partition=company, timestamp=written_at)
    producer.produce(f"{prefix}thumbnail.ready", b"not JSON")
    assert producer.flush(10) == 0

    assert recent_owners(settings, 300) == {2: 3, 1: 1, None: 2}
    assert recent_companies(settings, SEEN_FOR_S) == {1, 4}


def test_results_that_cannot_be_read_keep_no_worker_from_starting(settings: Settings) -> None:
    assert recent_companies(settings, SEEN_FOR_S) == set()
