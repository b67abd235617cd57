"""`thumbnails storage add` on a terminal asks for what is missing, and shows no secret."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from schemas.migrations import upgrade
from service.tenants.provider_options import ask_for_missing

SECRET = "s3cr3t-value"  # noqa: S105 - it is looked for in what is shown
KEY = Fernet.generate_key()


def answered(arguments: list[str], answers: dict[str, str], environment: dict[str, str]) -> tuple[str, int]:
    """What a terminal shows while somebody types the answer to each question, and the exit code."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "service", "storage", "add", *arguments]
    with subprocess.Popen(
        command, env=os.environ | environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown, waiting = "", dict(answers)
        while True:
            try:
                shown += os.read(ours, 4096).decode()
            except OSError:  # Linux: the last one that had the terminal open has closed it
                break
            for question in [question for question in waiting if f"{question}: " in shown]:
                os.write(ours, f"{waiting.pop(question)}\n".encode())
    os.close(ours)
    return shown, process.returncode


def test_a_terminal_is_asked_for_what_the_options_leave_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    upgrade(url)
    answers = {"Endpoint, a URL (empty: Amazon S3)": "", "Bucket": "media", "Access key": "AKIA1"}
    answers |= {"Secret key (not shown)": SECRET}
    environment = {"DATABASE_URL": url, "STORAGE_CREDENTIALS_KEY": KEY.decode()}
    shown, code = answered(["Theirs", "s3", "--no-test"], answers, environment)
    assert code == 0, shown
    assert "Storage connection 1 is added" in shown
    assert "AKIA1" in shown
    assert SECRET not in shown
    with sa.create_engine(url).connect() as connection:
        stored = json.loads(connection.execute(sa.text("SELECT credentials FROM storage_connections")).scalar_one())
    found = json.loads(Fernet(KEY).decrypt(stored["encrypted"]))
    assert found == {"bucket": "media", "access_key": "AKIA1", "secret_key": SECRET}


@pytest.mark.parametrize(
    ("provider", "given", "asked"),
    [
        ("minio", {}, ["Endpoint", "Bucket", "Access key", "Secret key"]),
        ("minio", {"bucket": "b"}, ["Access key", "Secret key"]),
        ("minio", {"bucket": "b", "access_key": "a"}, ["Secret key"]),
        ("yandex_disk", {}, ["OAuth token"]),
    ],
)
def test_only_what_is_missing_is_asked_for_and_secrets_are_hidden(
    provider: str, given: dict[str, str], asked: list[str]
) -> None:
    questions: dict[str, bool] = {}

    def ask(question: str, is_secret: bool) -> str:
        questions[question.partition(",")[0].partition(" (")[0]] = is_secret
        return " typed "

    fields = ask_for_missing(provider, given, ask)
    assert list(questions) == asked
    assert [name for name, is_secret in questions.items() if is_secret] == asked[-1:]
    assert set(fields.values()) == {*given.values(), "typed"}
