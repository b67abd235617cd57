"""A worker whose Kafka client lacks a codec says so before it takes a record."""

import json
from typing import Any, NoReturn

import aiokafka.codec  # type: ignore[import-untyped] # it has no stubs
import pytest

from service.check_result import CheckResult
from service.kafka.codecs import NAME, check_codecs
from service.roles.worker import run_worker_role
from service.settings import Settings


def refuse(*_: Any, **__: Any) -> NoReturn:
    raise ValueError("this build has no zlib")


def test_every_codec_is_read() -> None:
    assert check_codecs().problem is None


def test_without_cramjam_the_check_names_the_codecs_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    problem = check_codecs().problem
    assert problem is not None
    assert problem.startswith("aiokafka cannot read snappy, lz4, zstd (UnsupportedCodecError: ")
    assert problem.endswith("install the package cramjam, in the version of requirements.lock.")


def test_a_codec_that_fails_in_use_is_found_though_its_library_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gzip.GzipFile", refuse)
    problem = check_codecs().problem
    assert problem is not None
    assert problem.startswith("aiokafka cannot read gzip (this build has no zlib), ")
    assert "cramjam" not in problem


def test_a_worker_without_a_codec_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    monkeypatch.setattr("service.roles.worker.check_kafka", lambda _: CheckResult("Kafka", None))
    monkeypatch.setenv("HTTP_PORT", "0")
    assert run_worker_role(Settings()) == 1
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (problem,) = [line["problem"] for line in said if line.get("dependency") == NAME]
    assert problem.startswith("aiokafka cannot read snappy, lz4, zstd")
