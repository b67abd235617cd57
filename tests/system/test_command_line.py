"""The command line as a stranger uses it: every snippet of the README, errors in one sentence, exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from PIL import Image

from tests.system.platform import a_clip, a_photo
from tests.system.snippets import ROOT, run_shell, snippets_of
from tests.system.stack import run_cli, settings_for
from tests.system.supervisor import no_decoder_is_orphaned

SNIPPETS = snippets_of("README.md", "sh")


def snippet_with(text: str) -> str:
    (found,) = [snippet for snippet in SNIPPETS if text in snippet]
    return found


@pytest.fixture
def media(tmp_path: Path) -> Path:
    for name, content in (("clip.mp4", a_clip(1)), ("holiday.mp4", a_clip(2)), ("photo.jpg", a_photo(3))):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_the_readme_has_no_snippet_that_no_test_knows() -> None:
    known = ["make demo", "thumbnails make", "thumbnails topics create", "thumbnails publish"]
    assert all(any(text in snippet for text in known) for snippet in SNIPPETS)
    assert len(SNIPPETS) == len(known)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["own media", "given files"])
def test_the_demo_ends_with_a_contact_sheet_and_nothing_left(media: Path, temporary_files: Path, number: int) -> None:
    command = snippet_with("make demo").splitlines()[number].partition("#")[0]
    arguments = re.sub(r'make demo( FILES="(.*)")?', r"\2", command.strip())
    done = run_shell(f"thumbnails demo {arguments} --out sheet", media)

    assert done.returncode == 0, done.stdout + done.stderr
    page = (media / "sheet" / "contact-sheet.html").read_text()
    assert page.count("<article") == (10, 2)[number]
    assert page.count('class="ready') == (9, 2)[number]
    assert page.count("data:image/webp;base64,") == (27, 6)[number]
    assert page.count("<details><summary>") == (10, 2)[number]
    if number == 0:
        assert "error-code: media.corrupt" in done.stdout
        assert "next-action: " in done.stdout
    assert list(temporary_files.iterdir()) == []
    assert no_decoder_is_orphaned()


@pytest.mark.slow
@pytest.mark.parametrize("wait_for", ["Making", "Starting", "Running", "published"])
def test_ctrl_c_at_any_moment_leaves_nothing(tmp_path: Path, temporary_files: Path, wait_for: str) -> None:
    command = [sys.executable, "-m", "service", "demo", "--out", str(tmp_path / "sheet")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    demo = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        # A shell starts what it puts in the background with SIGINT ignored, and the tests may run there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert demo.stdout is not None
    with demo.stdout:
        for line in demo.stdout:
            if wait_for in line:
                break
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 130
    assert list(temporary_files.iterdir()) == []
    assert no_decoder_is_orphaned()


def test_thumbnails_are_made_without_kafka(media: Path) -> None:
    done = run_shell(snippet_with("thumbnails make"), media)
    assert done.returncode == 0, done.stderr
    assert len(list((media / "thumbs").iterdir())) == 6
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["status"], report["kind"], report["error"]) == ("ready", "video", None)
    assert [item["name"] for item in report["renditions"]] == ["small", "medium", "large"]
    assert all((media / item["path"]).stat().st_size == item["bytes"] for item in report["renditions"])


def test_make_tells_each_failure_and_ends_with_exit_code_1(media: Path) -> None:
    (media / "notes.mp4").write_text("dear diary")
    done = run_shell("thumbnails make clip.mp4 notes.mp4 nowhere.png --out thumbs --json", media)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [(report["status"], (report["error"] or {}).get("code")) for report in reports] == [
        ("ready", None),
        ("failed", "media.unsupported"),
        ("failed", "source.unreadable"),
    ]


def test_ctrl_c_leaves_whole_thumbnails_only(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(a_clip(1))
    out = tmp_path / "thumbs"
    command = [sys.executable, "-u", "-m", "service", "make", *["clip.mp4"] * 400, "--out", str(out)]
    make = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert make.stdout is not None
    with make.stdout:
        assert make.stdout.readline().startswith("ready")
        make.send_signal(signal.SIGINT)
        assert make.wait(60) == 130
    made = list(out.iterdir())
    assert 3 <= len(made) < 3 * 400
    for path in made:
        assert not path.name.startswith(".")
        with Image.open(path) as picture:
            picture.load()
    assert no_decoder_is_orphaned()


def test_an_installation_without_a_company_is_told_the_next_step_and_is_no_failure(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = settings_for(kafka, f"sqlite:///{tmp_path / 'x.db'}", topic_prefix, tmp_path)
    hint = "hint    No company exists, so that no upload can work: `thumbnails company add NAME`."
    script = "thumbnails topics create\nthumbnails db upgrade\n"
    empty = run_shell(f"{script}thumbnails check", tmp_path, settings)
    assert empty.returncode == 0, empty.stdout + empty.stderr
    assert empty.stdout.splitlines()[-1] == hint
    with_one = run_shell("thumbnails company add Acme\nthumbnails check", tmp_path, settings)
    assert with_one.returncode == 0
    assert "hint" not in with_one.stdout


@pytest.mark.parametrize(
    "target", ["demo", "dist", "test", "coverage", "check", "bench", "lock", "up", "clean", "help"]
)
def test_every_target_of_the_makefile_is_there(target: str) -> None:
    assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False).returncode == 0


BROKEN = {
    "no broker": (["worker"], {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}, 1, "No Kafka broker answers at 127.0.0.1:9"),
    "no topics": (["retry"], {}, 1, "run `thumbnails topics create`"),
    "no schema": (["check"], {}, 1, "run `thumbnails db upgrade`"),
    "a wrong setting": (["check"], {"DECODE_SLOTS": "many"}, 2, "DECODE_SLOTS"),
    "wrong delays": (["check"], {"RETRY_DELAYS_S": "1,2,3,4"}, 2, "RETRY_DELAYS_S"),
    "neither file nor event": (["publish"], {}, 2, "Give either files or --event JSON."),
    "no JSON": (["publish", "--event", "{"], {}, 1, "event.malformed"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said_in_one_sentence_without_a_traceback(
    kafka: str, topic_prefix: str, tmp_path: Path, name: str
) -> None:
    arguments, changes, code, sentence = BROKEN[name]
    settings = settings_for(kafka, f"sqlite:///{tmp_path / 'x.db'}", topic_prefix, tmp_path)
    done = run_cli(settings | changes, *arguments)
    assert done.returncode == code
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_password_is_never_printed(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    settings = settings_for(kafka, "postgresql://someone:hunter2@127.0.0.1:1/x", topic_prefix, tmp_path)
    for command in ("persist", "check", "worker"):
        done = run_cli(settings, command)
        assert done.returncode == 1
        assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.slow
def test_the_demo_leaves_a_given_cluster_as_it_was(kafka: str, media: Path) -> None:
    def topics() -> set[str]:
        listed = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics
        return {name for name in listed if name.startswith("demo-")}

    done = run_shell("thumbnails demo photo.jpg --out sheet", media, {"KAFKA_BOOTSTRAP_SERVERS": kafka})
    assert done.returncode == 0, done.stdout + done.stderr
    assert topics() == set()
