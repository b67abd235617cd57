"""The list of commands: in the order in which somebody needs them; each is loaded when it is called, with the libraries it uses."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

START: Final = "First steps"
SET_UP: Final = "Set up"
RUN: Final = "Run"
WATCH: Final = "Watch and repair"
CONTRACT: Final = "The contract"


@dataclass(frozen=True)
class Line:
    """A command's line in the help text, and where the command is: its function, or the Typer app of a group.

    `summary` is the first paragraph of its own help text: a test compares them.
    """

    name: str
    panel: str | None
    module: str
    attribute: str
    summary: str

    def as_command(self) -> TyperCommand:
        """Return what stands in the help text for the command, which is not loaded."""
        return TyperCommand(self.name, help=self.summary, rich_help_panel=self.panel, hidden=self.panel is None)

    def load(self) -> Any:
        """Return the command itself."""
        found = getattr(import_module(self.module), self.attribute)
        if isinstance(found, typer.Typer):
            command = typer.main.get_group(found)
            command.name, command.rich_help_panel = self.name, self.panel
            return command
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(self.name, rich_help_panel=self.panel, hidden=self.panel is None)(found)
        return typer.main.get_command(alone)


LINES: Final = (
    Line(
        "demo",
        START,
        "service.cli.demo",
        "demo",
        "Watch files travel through the whole pipeline. Example: thumbnails demo holiday.mp4 photo.jpg --keep.",
    ),
    Line(
        "make",
        START,
        "service.cli.make.command",
        "make",
        "Make thumbnails of local files, without Kafka. Example: thumbnails make holiday/ --out thumbs --sheet thumbs.html.",
    ),
    Line(
        "check",
        START,
        "service.cli.check",
        "check",
        "Prove every dependency by using it. Example: thumbnails check --tenants.",
    ),
    Line("topics", SET_UP, "service.cli.topics", "topics_app", "Make and look at the Kafka topics."),
    Line("db", SET_UP, "service.cli.db", "db_app", "Prepare the database."),
    Line("company", SET_UP, "service.cli.company", "company_app", "Add, list, show and change companies."),
    Line(
        "storage",
        SET_UP,
        "service.cli.storage",
        "storage_app",
        "Add, list, test, change and remove storage connections: see docs/storage.md.",
    ),
    Line(
        "credentials",
        SET_UP,
        "service.cli.credentials",
        "credentials_app",
        "Encrypt the credentials of storage connections.",
    ),
    Line(
        "worker",
        RUN,
        "service.cli.roles",
        "worker",
        "Run the worker: uploads in, stored thumbnails out. Example: WORKER_CONCURRENCY=8 thumbnails worker.",
    ),
    Line(
        "persist",
        RUN,
        "service.cli.roles",
        "persist",
        "Run the persist role: results into the database. Example: DATABASE_URL=postgresql+psycopg://… thumbnails persist.",
    ),
    Line(
        "retry",
        RUN,
        "service.cli.roles",
        "retry",
        "Run the retry role: failed events come back when they are due. Example: thumbnails retry.",
    ),
    Line(
        "ingest",
        RUN,
        "service.cli.ingest",
        "ingest_app",
        "Make uploads of what others announce: see docs/upstreams.md.",
    ),
    Line(
        "web",
        RUN,
        "service.web.command",
        "web",
        "Show the newest thumbnails and failures on a web page. Example: thumbnails web --port 8090.",
    ),
    Line(
        "serve-local",
        RUN,
        "service.cli.serve_local",
        "serve_local",
        "Serve local storage, read-only, where LOCAL_STORAGE_URL says. Example: thumbnails serve-local.",
    ),
    Line(
        "publish",
        WATCH,
        "service.cli.publish",
        "publish",
        "Upload files as a company would, or publish one event. Example: thumbnails publish clip.mp4 --wait 60.",
    ),
    Line(
        "backfill",
        WATCH,
        "service.cli.backfill",
        "backfill",
        "Announce rows that have no thumbnail. Example: thumbnails backfill --company acme --dry-run.",
    ),
    Line(
        "republish",
        WATCH,
        "service.cli.republish",
        "republish",
        "Write thumbnail.state again from the database. Example: thumbnails republish --company acme --dry-run.",
    ),
    Line(
        "reconcile",
        WATCH,
        "service.cli.reconcile",
        "reconcile",
        "Compare rows with stored objects. Example: thumbnails reconcile --company acme, then with --fix.",
    ),
    Line(
        "follow",
        WATCH,
        "service.cli.follow",
        "follow",
        "Follow one upload; exit code 0 when it is ready, 1 when not. Example: thumbnails follow video:42 --timeout 60.",
    ),
    Line(
        "status",
        WATCH,
        "service.status.command",
        "status",
        "Watch the installation; with --once exit code 1 when something needs attention. Example: thumbnails status --once --json.",
    ),
    Line(
        "dlq",
        WATCH,
        "service.cli.dlq",
        "dlq_app",
        "Look at records that were given up, and replay them: see docs/dead-letters.md.",
    ),
    Line(
        "retries",
        WATCH,
        "service.cli.retries",
        "retries_app",
        "Look at records that wait for another attempt, and cancel them: see docs/dead-letters.md.",
    ),
    Line(
        "health",
        WATCH,
        "service.roles.health.command",
        "health",
        "Ask a role on this host whether it makes progress; exit code 1 when not. Example: thumbnails health --port 8080.",
    ),
    Line(
        "schemas",
        CONTRACT,
        "service.cli.schemas",
        "schemas_app",
        "The contract with producers and consumers, as files.",
    ),
    Line(
        "sample",
        None,
        "service.cli.demo",
        "sample",
        "Give an installation without companies a company `sample` with one small video, and print its thumbnail's URL.",
    ),
)
"""What has no panel is not shown."""


class Commands(TyperGroup):
    """Typer's group of all commands, each of them a line of the help text until it is called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._unloaded: Final = {line.name: line for line in LINES}
        self.commands = {line.name: line.as_command() for line in LINES}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is called; shell completion asks here, too."""
        if args:
            self._load(args[0])
        return super().resolve_command(ctx, args)

    def load_all(self) -> None:
        """Load every command, for what goes through all of them."""
        for line in LINES:
            self._load(line.name)

    def _load(self, name: str) -> None:
        line = self._unloaded.pop(name, None)
        if line is not None:
            from service.cli.loading import loading

            with loading():
                self.commands[name] = line.load()
