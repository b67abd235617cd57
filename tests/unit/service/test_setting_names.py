"""A name that is nearly a setting's is named; those of other programs are not."""

import pytest
from pydantic_settings import BaseSettings

from service.setting_names import DECODE_NAMES, NAMES, misspelled, names_in_env_file
from service.settings import DecodeSettings, Settings


def names_of(*parts: type[BaseSettings]) -> set[str]:
    return {name.upper() for part in parts for name in part.model_fields}


def test_the_names_are_those_that_the_classes_read() -> None:
    assert names_of(DecodeSettings) == DECODE_NAMES
    assert names_of(*Settings.classes()) | {"STATUS_METRICS_URLS"} == NAMES


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("KAFKA_BOOSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
        ("DECODE_SLOT", "DECODE_SLOTS"),
        ("decode_slot", "DECODE_SLOTS"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("THUMBNAIL_FORMATS", "THUMBNAIL_FORMAT"),
        ("LOCAL_STORAGE_DIR", "LOCAL_STORAGE_URL"),
        ("WORKER_CONCURENCY", "WORKER_CONCURRENCY"),
        ("STATUS_METRIC_URLS", "STATUS_METRICS_URLS"),
    ],
)
def test_a_misspelled_setting_is_named_with_the_nearest(name: str, meant: str) -> None:
    (found,) = misspelled({name: "9"}, NAMES)
    assert (found.name, found.meant) == (name, meant)
    assert str(found) == f"{name} is no setting and has no effect: {meant} is one."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "http://proxy:3128"),
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("PATH", "/bin"),
        ("KAFKA_HOME", "/opt/kafka"),
        ("JAVA_HOME", "/opt/java"),
        ("LOG_DIR", "/var/log"),
        ("TRACE", "1"),
        ("WORKER_SERVICE_HOST", "10.0.0.1"),
        ("WORKER_SERVICE_PORT_HTTP", "8080"),
        ("WEB_PORT_8090_TCP_ADDR", "10.0.0.1"),
        ("RETRY_PORT", "tcp://10.0.0.1:8080"),
        ("OTEL_SERVICE_NAME", "thumbnails"),
        ("AWS_REGION", "eu-central-1"),
        ("POSTGRES_PASSWORD", "x"),
        ("WEB_TOKEN", "x"),
    ],
)
def test_a_name_of_another_program_is_left_alone(name: str, value: str) -> None:
    assert misspelled({name: value}, NAMES) == []


def test_no_setting_is_taken_for_another() -> None:
    assert misspelled(dict.fromkeys(NAMES, "1"), NAMES) == []


def test_lines_of_an_env_file_are_read_as_compose_reads_them() -> None:
    lines = ["# DECODE_SLOTS=1", "", "export DECODE_SLOT=2", "  KAFKA_TOPIC_PREFIX = a", "no line", "1X=2"]
    assert names_in_env_file(lines) == {"DECODE_SLOT": "2", "KAFKA_TOPIC_PREFIX": "a"}
