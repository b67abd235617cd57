"""A page that must not or cannot be served is refused in one sentence, before anything is read."""

import socket
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from service.cli.main import app


@pytest.fixture
def taken_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (("--host", "0.0.0.0"), {}, "WEB_TOKEN"),  # noqa: S104 - what the test is about
        (("--host", "0.0.0.0"), {"WEB_TOKEN": "short"}, "at least 16"),  # noqa: S104
        (("--host", "192.0.2.1"), {"WEB_TOKEN": "correct-horse-battery"}, "Cannot listen on 192.0.2.1"),
        (("--port", "{taken}"), {}, "Cannot listen"),
        ((), {"WEB_IMAGE_ORIGINS": "https://s3.example/bucket"}, "scheme and host alone"),
    ],
)
def test_it_is_refused_in_one_sentence(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    sentence: str,
    taken_port: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, ["web", *(argument.format(taken=taken_port) for argument in arguments)])
    assert (done.exit_code, len(done.stderr.splitlines()), done.stdout) == (2, 1, "")
    assert sentence in done.stderr
    assert environment.get("WEB_TOKEN", "short token") not in done.stderr


def test_without_the_extra_one_sentence_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    done = CliRunner().invoke(app, ["web"])
    assert done.exit_code == 2
    assert done.stderr == "The page needs the extra `web`: pip install 'thumbnail-pipeline[web]'.\n"
