"""`thumbnails topics …`: make the Kafka topics, bring older ones up to date, and look at them."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.cli.loading import loading
from service.exits import EXIT_FAILED, EXIT_USAGE, fail

if TYPE_CHECKING:
    from service.settings import KafkaSettings

topics_app = typer.Typer(no_args_is_help=True, help="Make and look at the Kafka topics.")


def _say(sentence: str) -> None:
    Console().print(sentence, highlight=False, markup=False, soft_wrap=True)


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
def show() -> None:
    """Show every topic, and what is wrong with it in the cluster. Example: thumbnails topics list."""
    with loading():
        from rich.table import Table

        from service.kafka.topic_warnings import warnings_about
        from service.kafka.topics import list_topics
        from service.settings import Settings

    table = Table("topic", "partitions", "key", "value", "written by", "read by", "state")
    states = list_topics(Settings().kafka)
    for state in states:
        topic = state.topic
        problems = "; ".join(state.problems) or "ok"
        table.add_row(
            state.name, str(topic.partitions), topic.key, topic.value, topic.written_by, topic.read_by, problems
        )
    Console().print(table)
    for warning in warnings_about(states):
        _say(f"Warning: {warning}")
    raise typer.Exit(EXIT_FAILED if any(state.problems for state in states) else 0)
