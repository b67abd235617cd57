"""AWS_MSK_IAM to a real Apache Kafka, whose validator takes tokens as Amazon's does: both clients log in, and stay."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from service.demo.broker import NoKafkaError
from service.demo.processes import free_port
from service.kafka.connection import KafkaUnreachableError, connect
from service.kafka.security import faust_credentials
from service.kafka.topics import create_topics
from service.settings import KafkaSettings
from tests.conftest import missing
from tests.integration.test_worker_group import a_worker, is_divided, until
from tests.servers.kafka import apache
from tests.servers.kafka.apache import ApacheKafka

VALIDATOR: Final = Path(apache.__file__).with_name("MskTokens.java")
_OAUTH: Final = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"


class MskKafka(ApacheKafka):
    """A broker with a listener for such tokens; it closes connections whose token has expired, as Amazon's do."""

    def __init__(self, javac: str, classes: Path) -> None:
        jars = apache._classpath(apache.fetch_jars())
        subprocess.run([javac, "-cp", jars, "-d", str(classes), str(VALIDATOR)], check=True, timeout=120)
        self.server = f"127.0.0.1:{free_port()}"
        super().__init__()
        self._java[self._java.index("-cp") + 1] += f":{classes}"

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        settings["listeners"] += f",MSK://{self.server}"
        settings["advertised.listeners"] += f",MSK://{self.server}"
        settings["listener.security.protocol.map"] += ",MSK:SASL_PLAINTEXT"
        return settings | {
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.name.msk.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.msk.oauthbearer.sasl.jaas.config": _OAUTH,
            "listener.name.msk.oauthbearer.sasl.server.callback.handler.class": "MskTokens",
            "listener.name.msk.oauthbearer.connections.max.reauth.ms": "3600000",
        }


@pytest.fixture(scope="module")
def msk_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MskKafka]:
    javac = shutil.which("javac")
    if javac is None:
        missing("The validator of MSK's tokens is compiled: install a JDK 17.")
    try:
        broker = MskKafka(javac, tmp_path_factory.mktemp("classes"))
        broker.start()
    except NoKafkaError as exc:
        missing(str(exc))
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def settings(msk_kafka: MskKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "m4rked-aws-s3cret")
    return KafkaSettings(
        kafka_bootstrap_servers=msk_kafka.server,
        kafka_topic_prefix=topic_prefix,
        kafka_replication_factor=1,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="AWS_MSK_IAM",
        kafka_aws_region="eu-central-1",
    )


def test_both_clients_log_in_with_signed_tokens(settings: KafkaSettings) -> None:
    create_topics(settings)
    connect(settings)

    async def scenario() -> None:
        async with a_worker(settings, credentials=faust_credentials(settings)) as worker:
            await until(lambda: is_divided([worker]))

    asyncio.run(scenario())


def test_a_token_for_another_region_is_refused_in_one_sentence(settings: KafkaSettings) -> None:
    elsewhere = settings.model_copy(update={"kafka_aws_region": "eu-west-1"})
    with pytest.raises(KafkaUnreachableError, match=r"refuses the token .* KAFKA_AWS_REGION=eu-west-1"):
        connect(elsewhere)
