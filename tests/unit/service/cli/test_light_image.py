"""The image `light` of the Dockerfile: what it is for works without the packages that it leaves out."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from schemas.errors import ErrorCode, PermanentError
from service.cli.explained import EXPECTED, explain

ROOT = Path(__file__).parents[4]
ROLES_AND_JOBS = (
    "service.roles.run",
    "service.kafka.topics",
    "schemas.migrations",
    "service.web.serve",
    "service.status.command",
    "service.cli.dlq",
    "service.cli.retries",
    "service.cli.check",
    "service.roles.checks",
    "service.roles.local_files",
    "service.observability.traces",
)


def left_out() -> list[str]:
    """The packages that the Dockerfile takes out of the environment."""
    found = re.search(r"pip .*uninstall (?:--\S+ )+((?:\\\n|[^&\n])*)", (ROOT / "Dockerfile").read_text())
    assert found is not None
    return found[1].replace("\\\n", " ").split()


def in_the_light_image(program: str) -> subprocess.CompletedProcess[str]:
    """Run `program` where none of the modules of those packages can be found."""
    gone = sorted(name for name, packages in packages_distributions().items() if set(packages) & set(left_out()))
    assert {"av", "cv2", "PIL", "faust", "boto3"} <= set(gone)
    hide = (
        "import importlib.abc, sys\n"
        "class Hidden(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {gone}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
    )
    command = [sys.executable, "-c", hide + program]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_kubernetes_runs_the_other_image_where_something_is_decoded_or_stored() -> None:
    commands: dict[str, set[str]] = {}
    for path in (ROOT / "deploy" / "kubernetes").rglob("*.yaml"):
        for found in yaml.safe_load_all(path.read_text()):
            spec = found.get("spec", {}) if isinstance(found, dict) else {}
            pod = spec.get("jobTemplate", {"spec": spec})["spec"].get("template", {}).get("spec", {})
            for container in pod.get("containers", ()):
                commands.setdefault(container["image"], set()).add(container["args"][0])
    assert commands == {
        "thumbnail-pipeline": {"worker", "reconcile"},
        "thumbnail-pipeline-light": {"persist", "retry", "ingest", "web", "topics", "db"},
    }


def test_the_packages_that_are_left_out_are_packages_of_the_lock() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert set(left_out()) - locked == set()


def test_roles_and_jobs_load_without_decoders_storages_and_faust() -> None:
    done = in_the_light_image("".join(f"import {module}\n" for module in ROLES_AND_JOBS))
    assert done.returncode == 0, done.stderr


def test_a_command_that_needs_the_other_image_says_so() -> None:
    done = in_the_light_image("sys.argv = ['thumbnails', 'worker']\nfrom service.cli.main import main\nmain()")
    assert done.returncode == 1
    assert "use the other one, see docs/containers.md" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_a_job_is_one_sentence_there_too() -> None:
    done = in_the_light_image(
        "import os\nos.environ['DATABASE_URL'] = 'foo'\n"
        "sys.argv = ['thumbnails', 'db', 'upgrade']\nfrom service.cli.main import main\nmain()"
    )
    assert done.returncode != 0
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("module", "name"), EXPECTED)
def test_every_expected_error_is_a_class_of_its_module(module: str, name: str) -> None:
    assert issubclass(getattr(import_module(module), name), Exception)


def test_a_missing_module_of_our_own_is_a_bug_and_keeps_its_traceback() -> None:
    assert explain(ModuleNotFoundError("x", name="streams.nothing")) is None
    assert explain(PermanentError(ErrorCode.MEDIA_CORRUPT, "It is broken.")) == ("media.corrupt: It is broken.", 1)
