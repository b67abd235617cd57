"""Check that the commands and options in code blocks exist."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from service.cli.main import all_commands


def command_lines(script: str) -> Iterator[list[str]]:
    """Arguments of each `thumbnails …` in a shell script, without what a pipe, a comment or a substitution adds."""
    joined = script.replace("\\\n", " ")
    for found in re.finditer(
        r"(?:^|[$(|]|&& )\s*thumbnails +((?:'[^']*'|\"[^\"]*\"|[^\n|()#&;'\"])*)", joined, re.MULTILINE
    ):
        yield shlex.split(found[1])


def problem_of(arguments: list[str]) -> str | None:
    """What the command line would say of these arguments' names, as a sentence."""
    command: Any = all_commands()
    path = ["thumbnails"]
    rest = list(arguments)
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("-"):
            return None if rest else f"{' '.join(path)} needs a command"
        name = rest.pop(0)
        if name not in command.commands:
            return f"{' '.join(path)} has no command {name}"
        command = command.commands[name]
        path.append(name)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known | {"--help"}]
    return f"{' '.join(path)} has no {', '.join(unknown)}" if unknown else None
