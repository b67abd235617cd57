"""SASL, TLS and mTLS to a real Apache Kafka: the whole flow, and what is said when something does not fit."""

import time
from pathlib import Path

import pytest

from tests.servers.certificates import Authority
from tests.servers.kafka.secure import PASSWORD, USER, SecureKafka
from tests.system.stack import Command, a_stack, problems_in, run_cli, settings_for

COMMANDS = (("check",), ("topics", "create"), ("topics", "list"), ("worker",), ("persist",), ("retry",))
SECONDS_TO_SAY_SO = 40.0
"""Six processes work at once on what may be two cores."""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["scram", "mtls"])
def test_uploads_become_rows_over(
    way: str, secure_kafka: SecureKafka, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = secure_kafka.scram(tmp_path) if way == "scram" else secure_kafka.mtls(tmp_path)
    plain = secure_kafka.bootstrap_servers
    with a_stack(plain, postgres_url, topic_prefix, tmp_path, **settings) as stack:
        platform = stack.platform
        platform.add_rows(range(1, 4))
        uploads = [platform.upload(number, "image", sound=number != 3) for number in range(1, 4)]
        late = platform.upload(1, "video")
        (platform.storage_root / "vault" / late.event["media"]["key"]).rename(tmp_path / "late")
        platform.publish([*uploads, late])
        stack.wait_for(lambda: platform.read_topic("thumbnail.retry.1"))
        (tmp_path / "late").rename(platform.storage_root / "vault" / late.event["media"]["key"])
        stack.wait_for(lambda: not platform.problems())
        logs = "".join(role.log.read_text() for role in stack.supervisor.roles)
    assert PASSWORD not in logs
    assert settings["KAFKA_SECURITY_PROTOCOL"] in logs


def wrong_settings(fault: str, kafka: SecureKafka, folder: Path) -> dict[str, str]:
    if fault == "password":
        return kafka.scram(folder) | {"KAFKA_SASL_PASSWORD": f"not {PASSWORD}"}
    if fault == "plain password":
        return kafka.clear() | {"KAFKA_SASL_PASSWORD": f"not {PASSWORD}"}
    if fault == "mechanism":
        return kafka.scram(folder) | {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}
    if fault == "authority":
        (folder / "other.pem").write_bytes(Authority("somebody else").pem)
        return kafka.scram(folder) | {"KAFKA_SSL_CA_FILE": str(folder / "other.pem")}
    if fault == "expired":
        return kafka.mtls(folder) | {"KAFKA_BOOTSTRAP_SERVERS": kafka.servers["EXPIRED"]}
    if fault == "name":
        return kafka.mtls(folder) | {"KAFKA_BOOTSTRAP_SERVERS": kafka.servers["OTHERNAME"]}
    if fault == "no certificate":
        return kafka.mtls(folder) | {"KAFKA_SSL_CERT_FILE": "", "KAFKA_SSL_KEY_FILE": ""}
    if fault == "foreign certificate":
        certificate, key = Authority("somebody else").issue("thumbnails")
        (folder / "foreign.pem").write_bytes(certificate)
        (folder / "foreign.key").write_bytes(key)
        foreign = {"KAFKA_SSL_CERT_FILE": folder / "foreign.pem", "KAFKA_SSL_KEY_FILE": folder / "foreign.key"}
        return kafka.mtls(folder) | {name: str(path) for name, path in foreign.items()}
    if fault == "no TLS":
        return {"KAFKA_BOOTSTRAP_SERVERS": kafka.servers["SCRAM"]}
    return kafka.mtls(folder) | {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}


SENTENCES = {
    "password": f"refuses KAFKA_SASL_USERNAME={USER} with this KAFKA_SASL_PASSWORD by SCRAM-SHA-512",
    "authority": "is from an authority that is not trusted here: set KAFKA_SSL_CA_FILE",
    "expired": "has expired: renew it on the broker",
    "name": "is for another name: set KAFKA_BOOTSTRAP_SERVERS to a name that it holds",
}
MORE_SENTENCES = {
    "plain password": f"refuses KAFKA_SASL_USERNAME={USER} with this KAFKA_SASL_PASSWORD by PLAIN",
    "mechanism": "does not offer KAFKA_SASL_MECHANISM=SCRAM-SHA-256: set one of SCRAM-SHA-512",
    "no certificate": "asks for a client certificate",
    "foreign certificate": "refuses the certificate in KAFKA_SSL_CERT_FILE",
    "no TLS": "does not speak PLAINTEXT: set KAFKA_SECURITY_PROTOCOL",
    "no TLS there": "does not speak TLS: set KAFKA_SECURITY_PROTOCOL",
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", SENTENCES)
def test_each_command_and_role_says_at_once_in_one_sentence_what_is_wrong_with_the(
    fault: str, secure_kafka: SecureKafka, sqlite_url: str, tmp_path: Path
) -> None:
    environment = settings_for("", sqlite_url, "", tmp_path) | wrong_settings(fault, secure_kafka, tmp_path)
    deadline = time.monotonic() + SECONDS_TO_SAY_SO
    begun = {command: Command(environment | {"COLUMNS": "1000"}, *command) for command in COMMANDS}
    ended = {command: begun[command].wait(deadline - time.monotonic()) for command in COMMANDS}
    for command, done in ended.items():
        out, err = done.stdout, done.stderr
        assert done.returncode == 1
        where = out if command == ("check",) else err
        about_kafka = [problem for problem in problems_in(where) if SENTENCES[fault] in problem]
        assert len(about_kafka) == 1, f"{command}: {out}{err}"
        assert "Traceback" not in err
        assert PASSWORD not in out + err


@pytest.mark.parametrize("fault", MORE_SENTENCES)
def test_a_sentence_names_the_setting_to_change_for(
    fault: str, secure_kafka: SecureKafka, sqlite_url: str, tmp_path: Path
) -> None:
    environment = settings_for("", sqlite_url, "", tmp_path) | wrong_settings(fault, secure_kafka, tmp_path)
    done = run_cli(environment | {"COLUMNS": "1000"}, "topics", "list")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert MORE_SENTENCES[fault] in done.stderr
    assert PASSWORD not in done.stderr


def test_a_name_that_need_not_be_checked_is_not(
    secure_kafka: SecureKafka, sqlite_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    lenient = wrong_settings("name", secure_kafka, tmp_path) | {"KAFKA_SSL_CHECK_HOSTNAME": "false"}
    environment = settings_for("", sqlite_url, topic_prefix, tmp_path) | lenient
    done = run_cli(environment, "topics", "create")
    assert done.returncode == 0, done.stderr
