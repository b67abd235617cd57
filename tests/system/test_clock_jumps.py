"""The system's clock jumps by an hour while the roles run: no retry is lost, none circles, and uploads go on.

The roles are real, and so is the broker; libfaketime gives each role a clock that a file moves.
"""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.system.platform import Upload
from tests.system.stack import Stack, a_stack_run_by
from tests.system.supervisor import Role, role_command

WAITS = Path(__file__).parents[1] / "servers/clock/waits.c"
DELAY_S = 6.0
RESTART_S = 20.0
"""The time in which a role that ended is at work again: its start, and its group's session of 6 s."""
UPLOADS = 6


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what gives a process a clock of its own: libfaketime, and the waits of glibc that it does not know."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    compiler = shutil.which("cc")
    if not found or compiler is None:
        missing("needs libfaketime and a C compiler: apt-get install libfaketime gcc libc6-dev")
    made = tmp_path_factory.mktemp("clock") / "waits.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, WAITS], check=True)
    return f"{made}:{found[0]}"


def with_own_clock(offset: Path, preloaded: str) -> Callable[[str], list[str]]:
    """Return how to run a role by a clock that is ahead of the true time by the seconds that the file says."""
    return lambda name: [
        "env",
        f"LD_PRELOAD={preloaded}",
        f"FAKETIME_TIMESTAMP_FILE={offset}",
        "FAKETIME_CACHE_DURATION=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        *role_command(name),
    ]


def without_file(stack: Stack, media_id: int) -> tuple[Upload, Path]:
    """Return an upload whose file comes later, and where it is meanwhile."""
    upload = stack.platform.upload(media_id, "image")
    path = stack.platform.storage_root / "vault" / upload.event["media"]["key"]
    hidden = path.with_suffix(".hidden")
    path.rename(hidden)
    return upload, hidden


@pytest.mark.timed
def test_retries_and_uploads_survive_a_clock_that_is_set_back_by_an_hour_and_on_again(
    kafka: str, sqlite_url: str, topic_prefix: str, tmp_path: Path, preloaded: str
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    changes = {"RETRY_DELAYS_S": f"{DELAY_S},{DELAY_S},{DELAY_S}"}
    command = with_own_clock(offset, preloaded)
    with a_stack_run_by(command, kafka, sqlite_url, topic_prefix, tmp_path, **changes) as stack:
        platform = stack.platform
        back_s = jump(stack, lambda: offset.write_text("-3600\n"), 1)
        starts = {role.name: role.starts for role in stack.supervisor.roles}
        on_s = jump(stack, lambda: offset.write_text("+0\n"), 100)
        assert all(is_live(role) for role in stack.supervisor.roles)
        stack.wait_for(lambda: not platform.problems())
        tiers = sum(len(platform.read_topic(f"thumbnail.retry.{tier}")) for tier in (1, 2, 3))
        dead = [record.value() for record in platform.read_topic("thumbnail.dlq")]
        again = {role.name: role.starts for role in stack.supervisor.roles}
    assert dead == []
    assert tiers == 2 * UPLOADS  # each waited once: none was lost, none circled
    assert starts == again == {"worker": 1, "persist": 2, "retry": 2}
    assert back_s < 2 * DELAY_S + RESTART_S
    assert on_s < 2 * DELAY_S


def is_live(role: Role) -> bool:
    """Ask the present process."""
    port = [json.loads(line)["http_port"] for line in role.log.read_text().splitlines() if '"role_ready"' in line][-1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5) as answer:
        return bool(answer.status == 200)


def jump(stack: Stack, set_clock: Callable[[], object], first: int) -> float:
    """Set the clock while retries wait; return how long they took from then on, in seconds. Later uploads work too."""
    platform, before = stack.platform, stack.platform.count_rows("ready")
    waiting = len(platform.read_topic("thumbnail.retry.1"))
    platform.add_rows(range(first, first + 2 * UPLOADS))
    uploads = [without_file(stack, number) for number in range(first, first + UPLOADS)]
    platform.publish([upload for upload, _ in uploads])
    stack.wait_for(lambda: len(platform.read_topic("thumbnail.retry.1")) == waiting + UPLOADS)
    for _, hidden in uploads:
        hidden.rename(hidden.with_suffix(".jpg"))
    set_clock()
    jumped_s = time.monotonic()
    stack.wait_for(lambda: platform.count_rows("ready") == before + UPLOADS, restart=True)
    took_s = time.monotonic() - jumped_s
    platform.publish([platform.upload(number, "image") for number in range(first + UPLOADS, first + 2 * UPLOADS)])
    stack.wait_for(lambda: platform.count_rows("ready") == before + 2 * UPLOADS, restart=True)
    return took_s
