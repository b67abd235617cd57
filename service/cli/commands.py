"""The list of commands: in the order in which somebody needs them, and each library loaded by the command that uses it."""

from typing import Any, Final

import typer
from typer.core import TyperGroup

START: Final = "First steps"
SET_UP: Final = "Set up"
RUN: Final = "Run"
WATCH: Final = "Watch and repair"
CONTRACT: Final = "The contract"

_ORDER: Final = (
    *("demo", "make", "check"),
    *("topics", "db", "company", "storage", "credentials"),
    *("worker", "persist", "retry", "web", "serve-local"),
    *("publish", "backfill", "republish", "reconcile", "follow", "status", "dlq", "retries", "health"),
    "schemas",
)
DLQ: Final = "dlq"
RETRIES: Final = "retries"
LOADED_LATE: Final = (DLQ, RETRIES)


def late_app(name: str) -> typer.Typer:
    """Return the commands of one of LOADED_LATE."""
    if name == DLQ:
        from service.cli.dlq import dlq_app

        return dlq_app
    from service.cli.retries import retries_app

    return retries_app


class Commands(TyperGroup):
    """Typer's group of all commands. LOADED_LATE need Kafka's and the storages' libraries, and are loaded when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, the newcomer's first; those that _ORDER does not know come last."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; shell completion asks here, too."""
        if args and args[0] in LOADED_LATE:
            self._load(args[0])
        return super().resolve_command(ctx, args)

    def _load(self, name: str) -> None:
        """Put the commands of a group in place of its line in the help text."""
        from service.cli.loading import loading

        with loading():
            group = typer.main.get_group(late_app(name))
        group.name = name
        self.commands[name] = group
