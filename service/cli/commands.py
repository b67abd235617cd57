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
    *("publish", "backfill", "follow", "status", "dlq", "health"),
    "schemas",
)
DLQ: Final = "dlq"


class Commands(TyperGroup):
    """Typer's group of all commands. `dlq` needs Kafka's and the storages' libraries, and is loaded when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, the newcomer's first; those that _ORDER does not know come last."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; shell completion asks here, too."""
        if args[:1] == [DLQ]:
            self.load_dlq()
        return super().resolve_command(ctx, args)

    def load_dlq(self) -> None:
        """Put the commands of `dlq` in place of its line in the help text."""
        from service.cli.loading import loading

        with loading():
            from service.cli.dlq import dlq_app

        group = typer.main.get_group(dlq_app)
        group.name = DLQ
        self.commands[DLQ] = group
