"""`thumbnails topics …`: make the Kafka topics, bring older ones up to date, and look at them."""

import json
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.loading import loading
from service.exits import EXIT_FAILED, EXIT_USAGE, fail

if TYPE_CHECKING:
    from service.settings import KafkaSettings

topics_app = typer.Typer(no_args_is_help=True, help="Make and look at the Kafka topics.")


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


@topics_app.command("create")
def create(
    update: Annotated[
        bool, typer.Option("--update", help="Bring the settings of topics that exist up to date, too.")
    ] = False,
    add_partitions: Annotated[
        bool, typer.Option("--add-partitions", help="With --update: add partitions where too few; keys move.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Make the topics that are missing. Safe to repeat. Example: thumbnails topics create --update --dry-run."""
    with loading():
        from service.kafka.topics import create_topics, list_topics
        from service.settings import Settings

    if add_partitions and not update:
        fail("--add-partitions needs --update.", code=EXIT_USAGE)
    settings = Settings().kafka
    made = () if dry_run else create_topics(settings, _say)
    missing = tuple(state.name for state in list_topics(settings) if state.partitions == 0) if dry_run else made
    if missing:
        _say(f"{'Would make' if dry_run else 'Made'} {', '.join(missing)}.")
    elif not update:
        _say("Every topic is there already.")
    if update and not _update(settings, missing, add_partitions=add_partitions, dry_run=dry_run):
        raise typer.Exit(EXIT_FAILED)


def _update(settings: "KafkaSettings", new: tuple[str, ...], *, add_partitions: bool, dry_run: bool) -> bool:
    """Update the topics that were there; return whether nothing is left to be done."""
    from service.kafka.topic_updates import plan_updates, update_topics
    from service.kafka.topics import list_topics

    states = [state for state in list_topics(settings) if state.name not in new]
    plan = plan_updates(states, add_partitions=add_partitions)
    done = plan if dry_run else update_topics(settings, plan)
    for change in done.changes:
        _say(f"{'Would change' if dry_run else 'Changed'} {change}")
    for effect in done.effects:
        _say(f"Note: {effect}")
    for sentence in done.left:
        _say(f"Left as it is: {sentence}")
    if not done.changes and not done.left:
        _say("Every topic has its settings already.")
    return not done.left


@topics_app.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a topic.")] = False,
) -> None:
    """Show every topic, and what is wrong with it in the cluster. Example: thumbnails topics list."""
    with loading():
        from service.cli.text_table import aligned
        from service.kafka.topic_warnings import warnings_about
        from service.kafka.topics import list_topics
        from service.settings import Settings

    states = list_topics(Settings().kafka)
    rows = [
        (
            state.name,
            str(state.topic.partitions),
            "; ".join(state.problems) or "ok",
            state.topic.value,
            state.topic.written_by,
            state.topic.read_by,
            state.topic.key,
        )
        for state in states
    ]
    heading = ("topic", "partitions", "state", "value", "written by", "read by", "key")
    if as_json:
        names = [name.replace(" ", "_") for name in heading]
        for state, row in zip(states, rows, strict=True):
            found: dict[str, object] = dict(zip(names, row, strict=True))
            found |= {"partitions": state.topic.partitions, "problems": list(state.problems)}
            sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    elif sys.stdout.isatty():
        # What is wrong stands third, where a narrow terminal still shows it; what each topic is for is in docs/topics.md.
        width = shutil.get_terminal_size().columns
        shown = next(count for count in (7, 6, 3) if count == 3 or _fits([heading, *rows], count, width))
        sys.stdout.write(aligned(heading[:shown], [row[:shown] for row in rows]))
    else:
        sys.stdout.write(aligned(heading, rows))
    sys.stdout.flush()
    for warning in warnings_about(states):
        sys.stderr.write(f"Warning: {warning}\n")
    raise typer.Exit(EXIT_FAILED if any(state.problems for state in states) else 0)


def _fits(rows: list[tuple[str, ...]], columns: int, width: int) -> bool:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:columns]
    return sum(widths) + 2 * (columns - 1) <= width
