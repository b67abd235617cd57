"""The command line: `thumbnails --help` is its manual."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import typer

from service.cli.commands import LINES, Commands
from service.cli.plain_values import read_plain_values
from service.cli.rich_help import load_help_printer
from service.cli.standard_streams import end_without_a_reader, flush_streams, prepare_streams
from service.cli.version import version
from service.exits import fail
from service.kafka.client_id import name_process

_HELP_OPTIONS: Final = ["-h", "--help"]

app = typer.Typer(
    name="thumbnails",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": _HELP_OPTIONS},
    help="Thumbnails for every upload: media.uploaded on Kafka in, thumbnail.ready out, no event lost.\n\n"
    "Settings come from the environment: see docs/configuration.md. Exit codes: 0 done, 1 something failed, 2 wrong use.",
)
app.callback()(version)


def main() -> None:
    """Run the command line; errors that are expected become one sentence."""
    prepare_streams()
    read_plain_values()
    if sys.argv[1:2] and sys.argv[1] in {line.name for line in LINES}:
        name_process(sys.argv[1])
    if not sys.argv[1:] or set(_HELP_OPTIONS) & set(sys.argv):
        load_help_printer()
    try:
        app(prog_name="thumbnails")
    except BrokenPipeError:
        end_without_a_reader()
    except Exception as exc:
        from service.cli.explained import explain  # looks up classes of every library

        explained = explain(exc)
        if explained is None:
            raise
        fail(*explained)
    finally:
        _warn_of_misspellings(sys.argv[1:2])
        problem = flush_streams()
        if problem is not None:
            fail(problem)


def _warn_of_misspellings(command: Sequence[str]) -> None:
    """Say at the end, where it is seen, which names of settings are wrong: only of commands that have read settings."""
    if not {"service.settings", "service.setting_names"} & sys.modules.keys() or command in (
        ["worker"],
        ["persist"],
        ["retry"],
        ["ingest"],
    ):  # roles log it
        return
    from service.setting_names import NAMES, misspelled, names_in_env_file

    for found in misspelled(os.environ, NAMES):
        sys.stderr.write(f"Warning: {found}\n")
    if command == ["check"]:
        with suppress(OSError):  # most folders have none
            lines = Path(".env").read_text(encoding="utf-8", errors="replace").splitlines()
            for found in misspelled(names_in_env_file(lines), NAMES):
                sys.stderr.write(f"Warning: .env: {found}\n")


def all_commands() -> Commands:
    """Return the command line with every command loaded, and so with every library: for what goes through all of them."""
    group = typer.main.get_command(app)
    if not isinstance(group, Commands):
        raise TypeError("the command line is no group")
    group.load_all()
    return group
