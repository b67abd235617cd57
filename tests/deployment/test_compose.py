"""docker-compose.yml and what stands around it: what is handed on, what listens where, what `make up` prints at its end."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import SecretStr

from service.settings.storage import ConnectionSettings
from storage.credentials import CredentialsCipher
from tests.documents.commands import problem_of
from tests.documents.pages import blocks

ROOT: Final = Path(__file__).parents[2]
SERVICES: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS: Final = {name: service for name, service in SERVICES.items() if "build" in service}
LIGHT: Final = {name: service for name, service in OURS.items() if service["build"].get("target") == "light"}
PAGE: Final = (ROOT / "docs" / "compose.md").read_text()
AFTER_UP: Final = ROOT / "deploy" / "after-up"
BEFORE_UP: Final = ROOT / "deploy" / "before-up"
URL: Final = "http://localhost:8000/storage/sample/thumbnails/video/1/v/medium.webp"


def published() -> dict[str, str]:
    """The service of every port that this machine's programs can reach."""
    found: dict[str, str] = {}
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            address, number, _ = port.split(":")
            assert address == "127.0.0.1", f"{name} listens for other machines, too"
            found[number] = name
    return found


def commands_of_the_page() -> list[list[str]]:
    """What the page runs in a container of this project: the words after `thumbnails`, which `run` needs not say."""
    lines = [line for block in blocks(ROOT / "docs" / "compose.md") for line in block.text.splitlines()]
    found = [re.search(r"docker compose (?:exec|run)\b.* worker (?:thumbnails )?([^<)]+)", line) for line in lines]
    return [shlex.split(match[1]) for match in found if match]


def end_of_make_up(folder: Path, code: int, said: str) -> subprocess.CompletedProcess[str]:
    """What is printed when the sample's container ended with `code`; `docker` is a double that knows three commands."""
    docker = folder / "docker"
    docker.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '"compose ps --all --quiet sample") echo c0ffee ;;\n'
        f'"wait c0ffee") echo {code} ;;\n'
        f"\"compose logs --no-log-prefix --tail 1 sample\") echo '{said}' ;;\n"
        "*) exit 9 ;;\n"
        "esac\n"
    )
    docker.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run([str(AFTER_UP)], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_each_secret_is_only_where_it_is_used() -> None:
    users = {
        secret: {name for name, service in OURS.items() if secret in service.get("environment", {})}
        for secret in ("STORAGE_CREDENTIALS_KEY", "DATABASE_URL", "WEB_TOKEN", "S3_SECRET_KEY")
    }
    assert users == {
        "STORAGE_CREDENTIALS_KEY": {"worker", "sample"},
        "DATABASE_URL": {"schema", "worker", "persist", "ingest", "sample", "web"},
        "WEB_TOKEN": {"web"},
        "S3_SECRET_KEY": {"bucket"},
    }


@pytest.mark.parametrize("name", sorted(OURS))
def test_ours_write_no_root_have_no_right_and_a_bound_on_memory(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])


def test_no_service_is_without_a_bound_on_memory() -> None:
    assert [name for name, service in SERVICES.items() if "mem_limit" not in service] == []


def test_the_light_image_is_enough_for_all_but_decoders_and_storages() -> None:
    assert OURS.keys() - LIGHT.keys() == {"worker", "sample", "bucket"}
    images = {service["image"].partition(":")[0] for service in LIGHT.values()}
    assert images == {"thumbnail-pipeline-light"}


def test_images_have_the_tag_to_which_one_can_go_back() -> None:
    assert {service["image"].partition(":")[2] for service in OURS.values()} == {"${THUMBNAILS_VERSION:-latest}"}


def test_prometheus_finds_every_container_of_each_role() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (by_name,) = job["dns_sd_configs"]
    with_metrics = {
        name for name, service in OURS.items() if service["command"][0] in ("worker", "persist", "retry", "ingest")
    }
    assert (set(by_name["names"]), by_name["type"]) == (with_metrics, "A")
    assert job["relabel_configs"] == [{"source_labels": ["__meta_dns_name"], "target_label": "role"}]


def before_up(folder: Path, version: str) -> dict[str, str]:
    """Run the beginning of `make up` in the folder and return what .env holds then."""
    environment = os.environ | {"THUMBNAILS_VERSION": version}
    subprocess.run([str(BEFORE_UP)], cwd=folder, env=environment, capture_output=True, check=True)
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())


def test_the_key_is_made_once_and_the_tag_is_that_of_the_last_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=of-somebody's-own")  # the last line without its end
    first, second = before_up(tmp_path, "1.0.0-a"), before_up(tmp_path, "1.0.0-b")
    CredentialsCipher.of(SecretStr(first["STORAGE_CREDENTIALS_KEY"])).encrypt({})
    assert second == first | {"THUMBNAILS_VERSION": "1.0.0-b"}
    assert first["LOG_LEVEL"] == "of-somebody's-own"
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_the_samples_storage_is_the_stacks_bucket() -> None:
    given = json.loads((ROOT / "deploy" / "s3" / "sample.json").read_text())
    assert [given["bucket"]] == SERVICES["bucket"]["command"]
    environment = SERVICES["s3"]["environment"]
    assert (given["access_key"], given["secret_key"]) == (
        environment["ROOT_ACCESS_KEY"],
        environment["ROOT_SECRET_KEY"],
    )
    assert given["endpoint"] == SERVICES["bucket"]["environment"]["S3_ENDPOINT_URL"] == "http://s3:9000"
    assert SERVICES["web"]["environment"]["WEB_IMAGE_ORIGINS"].endswith(":-http://localhost:9000}")


@pytest.mark.parametrize(("given", "allowed"), [("", False), ("true", True)])
def test_a_setting_that_is_handed_on_empty_is_as_not_set(
    given: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_ALLOW_HTTP", given)
    assert ConnectionSettings().storage_allow_http is allowed


@pytest.mark.parametrize("name", sorted(name for name, service in OURS.items() if "entrypoint" not in service))
def test_every_command_of_ours_is_one_that_exists(name: str) -> None:
    assert problem_of(OURS[name]["command"]) is None


def test_every_command_of_the_page_is_one_that_exists() -> None:
    commands = commands_of_the_page()
    assert {command[0] for command in commands} >= {"company", "storage", "publish", "status"}
    assert [problem for command in commands if (problem := problem_of(command))] == []


def test_the_sample_runs_once_when_its_picture_can_be_made_and_seen() -> None:
    sample = SERVICES["sample"]
    assert sample["restart"] == "no"
    healthy = {name: {"condition": "service_healthy"} for name in ("worker", "persist", "files")}
    assert sample["depends_on"] == healthy | {"bucket": {"condition": "service_completed_successfully"}}
    assert "profiles" not in sample
    assert "storage:/var/lib/thumbnails/storage" in sample["volumes"]


@pytest.mark.parametrize(("port", "service"), sorted(published().items()))
def test_every_port_stands_on_the_page(port: str, service: str) -> None:
    (row,) = re.findall(rf"^\| <?(?:http://)?localhost:{port}\b.*$", PAGE, re.MULTILINE)
    assert f"`{service}`" in row


def test_no_page_names_a_port_where_nothing_listens() -> None:
    named = set(re.findall(r"localhost:(\d+)", PAGE + AFTER_UP.read_text()))
    assert named - set(published()) == set()


def test_the_producers_page_says_where_the_stacks_kafka_is() -> None:
    assert published()["29092"] == "kafka"
    assert "localhost:29092" in (ROOT / "docs" / "producers.md").read_text()


def test_make_up_ends_with_the_picture_and_where_to_look(tmp_path: Path) -> None:
    done = end_of_make_up(tmp_path, 0, URL)
    assert (done.returncode, done.stderr) == (0, "")
    for wanted in (URL, "http://localhost:8091", "thumbnails-on-this-machine", "localhost:29092", "docs/compose.md"):
        assert wanted in done.stdout


def test_make_up_says_why_there_is_no_sample(tmp_path: Path) -> None:
    done = end_of_make_up(tmp_path, 0, "No sample is made.")
    assert done.returncode == 0
    assert "The stack is up. No sample is made.\n" in done.stdout
    assert "first upload" not in done.stdout


def test_make_up_fails_with_what_the_sample_said_when_it_has_no_picture(tmp_path: Path) -> None:
    done = end_of_make_up(tmp_path, 1, "The sample has no thumbnail after 120 s.")
    assert done.returncode == 1
    assert "The sample has no thumbnail after 120 s." in done.stderr
    assert "docker compose logs sample" in done.stderr


def test_make_down_stops_what_a_profile_has_started() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    recipe = re.search(r"^down:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert set(re.findall(r"--profile (\S+)", recipe[1])) == profiles
