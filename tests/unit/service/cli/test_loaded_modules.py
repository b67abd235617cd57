"""A role or a command loads no libraries of another's: each process that starts pays for them in time and memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer import Context
from typer.main import get_group

from service.cli import commands
from service.cli.main import all_commands, app
from service.setting_names import DECODE_NAMES

ROOT = Path(__file__).parents[4]
KAFKA = frozenset({"confluent_kafka"})
DATABASE = frozenset({"sqlalchemy", "alembic", "psycopg"})
STORAGES = frozenset({"botocore", "boto3", "minio", "yadisk", "requests", "httpx", "azure", "google"})
DECODERS = frozenset({"PIL", "numpy", "cv2", "av"})
FAUST = frozenset({"faust", "aiokafka"})
SETTINGS = frozenset({"pydantic"})
WEB = frozenset({"starlette", "uvicorn"})


def modules_loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after it."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def loaded_by(statement: str) -> set[str]:
    """The packages that a fresh interpreter has loaded after it."""
    return {name for name in modules_loaded_by(statement) if "." not in name}


@pytest.mark.parametrize(
    ("statement", "others"),
    [
        ("import service.roles.run", FAUST | STORAGES | DECODERS | {"starlette", "alembic"}),
        ("import service.kafka.topics", FAUST | STORAGES | DECODERS | DATABASE | WEB),
        ("import schemas.migrations", FAUST | STORAGES | DECODERS | KAFKA | SETTINGS | WEB),
        ("import service.roles.worker", {"starlette", "cv2", "av", "alembic", "azure", "google"}),
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


HELP_ASKED = """
import contextlib, io, sys
sys.argv = ["thumbnails", *{arguments}, "--help"]
from service.cli.main import main
with contextlib.redirect_stdout(io.StringIO()) as said:
    try:
        main()
    except SystemExit as end:
        assert end.code == 0
assert "Usage" in said.getvalue()
"""


@pytest.mark.parametrize("line", commands.LINES, ids=lambda line: str(line.name))
def test_the_help_of_a_command_loads_nothing_that_only_its_work_needs(line: commands.Line) -> None:
    loaded = loaded_by(HELP_ASKED.format(arguments=[line.name]))
    others = {"asyncio", "urllib3", "prometheus_client", "structlog"}
    assert loaded & (STORAGES | DECODERS | WEB | FAUST | KAFKA | DATABASE | SETTINGS | others) == set()


def test_no_command_is_loaded_for_the_list_of_all() -> None:
    loaded = modules_loaded_by(HELP_ASKED.format(arguments=[]))
    ours = {name for name in loaded if name.startswith(("service", "schemas", "streams", "storage", "processors"))}
    shared = {"commands", "main", "plain_values", "rich_help", "standard_streams", "version"}
    expected = {"service", "service.cli", "service.exits", "service.kafka", "service.kafka.client_id"}
    assert ours == expected | {f"service.cli.{name}" for name in shared}


def test_help_is_printed_without_what_prints_markdown_and_tracebacks() -> None:
    loaded = modules_loaded_by(HELP_ASKED.format(arguments=["make"]))
    assert "typer.rich_utils" in loaded
    assert {name for name in loaded if name.startswith(("markdown_it", "pygments", "rich.markdown"))} == set()


def test_rich_prints_markdown_and_tracebacks_after_a_help_text_all_the_same() -> None:
    show = "import rich.markdown, rich.traceback\nassert rich.markdown.Markdown('*a*').markup == '*a*'"
    assert "pygments" in loaded_by(f"{HELP_ASKED.format(arguments=[])}\n{show}\nrich.traceback.install()")


def test_the_list_of_commands_says_of_each_what_it_says_of_itself() -> None:
    group = all_commands()
    own = {name: " ".join((command.help or "").split("\n\n")[0].split()) for name, command in group.commands.items()}
    assert {line.name: line.summary for line in commands.LINES} == own
    assert {line.name: line.panel for line in commands.LINES} == {
        name: getattr(command, "rich_help_panel", None) for name, command in group.commands.items()
    }


def test_the_newcomers_commands_come_first() -> None:
    group = get_group(app)
    shown = [name for name in group.list_commands(Context(group)) if not group.commands[name].hidden]
    assert shown[:3] == ["demo", "make", "check"]
    assert "sample" not in shown


def test_make_loads_no_decoder_no_settings_and_no_printer_into_its_own_process(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "red.png")
    arguments = ["make", str(tmp_path / "red.png"), "--out", str(tmp_path / "out"), "--json"]
    program = f"import os, sys\nsys.argv = ['thumbnails', *{arguments}]\nfrom service.cli.main import main\n"
    not_set = f"for name in {sorted(DECODE_NAMES)}:\n    os.environ.pop(name, None)\n"
    run = "sys.stdout = sys.stderr\ntry:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\nsys.stdout = sys.__stdout__"
    loaded = loaded_by(f"{program}{not_set}{run}")
    assert "asyncio" in loaded
    assert (
        loaded & (FAUST | STORAGES | DECODERS | KAFKA | DATABASE | SETTINGS | WEB | {"rich", "prometheus_client"})
        == set()
    )
    assert min(path.name for path in (tmp_path / "out").iterdir()) == "red-large.webp"
