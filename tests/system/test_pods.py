"""The roles as the manifests run them: no capability, the runtime's default system calls, a read-only root file system."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.servers import postgres as postgres_service
from tests.system.platform import a_photo
from tests.system.stack import a_stack_run_by, settings_for

POD = [sys.executable, "-m", "tests.deployment.pod"]
ROOT = Path(__file__).parents[2]
SERVICE = [sys.executable, "-m", "service"]


@pytest.fixture(autouse=True)
def _landlock() -> None:
    done = subprocess.run([*POD, "--", "true"], capture_output=True, text=True, check=False)
    if "Landlock" in done.stderr:
        missing("No Landlock, which makes the file system read-only here: Linux 5.13 or later.")


def test_a_pod_holds_what_the_manifests_promise_of_it(tmp_path: Path) -> None:
    script = f"grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; touch {tmp_path}/no; unshare --mount true"
    done = subprocess.run([*POD, "--", "bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert "Permission denied" in done.stderr
    assert "Operation not permitted" in done.stderr
    assert not (tmp_path / "no").exists()


def test_in_a_pod_every_role_works_and_decoders_are_caged(
    kafka: str, postgres_server: str, topic_prefix: str, tmp_path: Path
) -> None:
    """DECODE_CONFINEMENT is required, as ever, so that a cage which the pod forbids would stop the worker."""
    storage = tmp_path / "storage"
    storage.mkdir()

    def in_a_pod(name: str) -> list[str]:
        writable = ["--writable", str(storage)] if name == "worker" else []
        return [*POD, *writable, "--", *SERVICE, name]

    url = postgres_service.new_database(postgres_server)
    settings = os.environ | settings_for(kafka, url, topic_prefix, tmp_path)
    for job in (["topics", "create"], ["db", "upgrade"]):
        done = subprocess.run([*POD, "--", *SERVICE, *job], env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    with a_stack_run_by(in_a_pod, kafka, url, topic_prefix, tmp_path) as stack:
        platform = stack.platform
        platform.add_rows(range(1, 4))
        uploads = [platform.upload(1, "video"), platform.upload(2, "image"), platform.upload(3, "video", sound=False)]
        platform.publish(uploads)
        stack.wait_for(lambda: not platform.problems())
        (worker,) = stack.supervisor.of("worker")
        said = [json.loads(line)["event"] for line in worker.log.read_text().splitlines() if line.startswith("{")]
    assert "decoders_not_confined" not in said
    assert "landlock_missing" not in said


def test_a_pod_that_forbids_the_cage_decodes_nothing(tmp_path: Path) -> None:
    """So that the test above can fail: a profile with less than RuntimeDefault allows is noticed, and not gone around."""
    (tmp_path / "photo.jpg").write_bytes(a_photo(1))
    make = [*SERVICE, "make", str(tmp_path / "photo.jpg"), "--out", str(tmp_path / "out")]
    results = []
    for forbidden in ([], ["landlock_restrict_self"]):
        pod = [*POD, "--writable", str(tmp_path), "--without", *forbidden, "--"]
        done = subprocess.run([*pod, *make], cwd=ROOT, capture_output=True, text=True, check=False)
        results.append((done.returncode, "cannot be confined" in done.stdout + done.stderr))
    assert results == [(0, False), (1, True)]
