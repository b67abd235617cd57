"""A role or a command loads no libraries of another's: each process that starts pays for them in time and memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer import Context
from typer.main import get_group

from service.cli import commands
from service.cli.main import app

ROOT = Path(__file__).parents[4]
KAFKA = frozenset({"confluent_kafka"})
DATABASE = frozenset({"sqlalchemy", "alembic", "psycopg"})
STORAGES = frozenset({"botocore", "boto3", "minio", "yadisk", "requests", "httpx"})
DECODERS = frozenset({"PIL", "numpy", "cv2", "av"})
FAUST = frozenset({"faust", "aiokafka"})
SETTINGS = frozenset({"pydantic"})
WEB = frozenset({"starlette", "uvicorn"})


def loaded_by(statement: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after it."""
    program = f"{statement}\nimport sys\nprint(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "others"),
    [
        ("import service.roles.run", FAUST | STORAGES | DECODERS | {"starlette", "alembic"}),
        ("import service.kafka.topics", FAUST | STORAGES | DECODERS | DATABASE | WEB),
        ("import schemas.migrations", FAUST | STORAGES | DECODERS | KAFKA | SETTINGS | WEB),
        ("import service.roles.worker", {"starlette", "cv2", "av", "alembic"}),
        ("import service.roles.local_files", FAUST | DECODERS | KAFKA | DATABASE | {"botocore", "yadisk", "httpx"}),
        ("import service.cli.main", FAUST | STORAGES | DECODERS | KAFKA | DATABASE | SETTINGS | WEB),
    ],
    ids=["persist and retry", "topics", "db upgrade", "worker", "serve-local", "command line"],
)
def test_what_a_role_or_a_command_has_no_use_for_is_not_loaded(statement: str, others: frozenset[str]) -> None:
    assert loaded_by(statement) & others == set()


def test_health_answers_without_any_library_but_the_command_line_s() -> None:
    ask = "import sys\nsys.argv = ['thumbnails', 'health', '--port', '1']\nfrom service.cli.main import main"
    loaded = loaded_by(f"{ask}\ntry:\n    main()\nexcept SystemExit as end:\n    assert end.code == 1")
    assert "typer" in loaded
    # Typer itself reads options with Pydantic.
    assert loaded & (FAUST | STORAGES | DECODERS | KAFKA | DATABASE | WEB) == set()


def test_the_help_text_loads_no_library_either() -> None:
    ask = "import contextlib, io, sys\nsys.argv = ['thumbnails', '--help']\nfrom service.cli.main import main"
    ended = "with contextlib.redirect_stdout(io.StringIO()):\n    try:\n        main()\n    except SystemExit:\n        pass"
    loaded = loaded_by(f"{ask}\n{ended}")
    assert loaded & (FAUST | STORAGES | DECODERS | KAFKA | DATABASE | WEB) == set()


def test_the_newcomers_commands_come_first() -> None:
    group = get_group(app)
    names = group.list_commands(Context(group))
    shown = [name for name in names if not group.commands[name].hidden]
    assert shown[:3] == ["demo", "make", "check"]
    assert set(shown) <= set(commands._ORDER), "a command that has no place yet stands last"
