"""Check that Kafka answers, and that its topics are as they must be."""

from schemas.topics import MEDIA_NOTIFICATIONS
from service.check_result import CheckResult
from service.kafka.connection import KafkaUnreachableError
from service.kafka.security import KafkaFilesError
from service.kafka.topic_warnings import warnings_about
from service.kafka.topics import TopicState, list_topics
from service.settings import KafkaSettings


def check_kafka(
    settings: KafkaSettings, *, with_notifications: bool = False, waits_for_start: bool = True
) -> CheckResult:
    """Check that a broker answers and that every topic has the required partitions and settings.

    The topic of notifications stops only whoever reads it. Settings that a topic should have are warnings, for topics
    that an earlier release made have none of them. Unless it `waits_for_start`, a port where nothing listens is said at once.
    """
    name = f"Kafka at {settings.kafka_bootstrap_servers}"
    try:
        states = list_topics(settings, waits_for_start=waits_for_start)
    except (KafkaUnreachableError, KafkaFilesError) as exc:
        return CheckResult(name, str(exc))
    needed = [state for state in states if with_notifications or not _is_optional(state)]
    problems = [f"{state.name}: {problem}" for state in needed for problem in state.problems]
    warnings = warnings_about(states)
    return CheckResult(name, f"{'; '.join(problems)}." if problems else None, warnings)


def _is_optional(state: TopicState) -> bool:
    return state.topic is MEDIA_NOTIFICATIONS
