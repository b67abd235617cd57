"""The demo's end on the terminal: a table, and the dead letter of what failed."""

from rich import box
from rich.console import Console
from rich.table import Table

from schemas import headers as h
from service.demo.watch import Journey, journey_code


def print_table(console: Console, journeys: list[Journey]) -> None:
    """Print one line a file. Its own columns stay whole on 80 columns; a long name is broken."""
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("file", overflow="fold")
    for name in ("thumbnail", "largest", "took", "row"):
        table.add_column(name, no_wrap=True)
    for journey in journeys:
        ready = journey.ready
        largest = max(ready.renditions, key=lambda item: item.width * item.height) if ready else None
        table.add_row(
            journey.file.path.name,
            outcome(journey),
            f"{largest.width}x{largest.height}" if largest else "",
            f"{journey.took_s:.1f} s",
            f"{journey.company} {journey.upload.media.record_key}",
        )
    console.print(table)


def outcome(journey: Journey) -> str:
    """Return what came of a file in a few words."""
    ready = journey.ready
    if ready is None:
        return journey_code(journey) or "not yet"
    if ready.degraded:
        return f"degraded: {ready.degraded_reason}"
    return "ready" if ready.frame.time_s is None else f"ready, at {ready.frame.time_s:.2f} s"


def print_dead_letters(console: Console, journeys: list[Journey]) -> None:
    """Print the dead letter of each failed file."""
    names = (h.ERROR_CODE, h.ERROR_MESSAGE, h.ERROR_STAGE, h.ATTEMPTS, h.ORIGINAL_TOPIC, h.NEXT_ACTION)
    for journey in journeys:
        if journey.dead_letter is not None:
            console.print(f"Dead letter of {journey.file.path.name}, key {journey.upload.media.record_key}:")
            for name in names:
                value = h.get_header(journey.dead_letter, name)
                console.print(f"  {name}: {value}", highlight=False, markup=False, soft_wrap=True)
