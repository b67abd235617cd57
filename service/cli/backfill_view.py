"""Show a backfill: a bar on a terminal, a line every ten seconds elsewhere, JSON for programs."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from schemas.events import MediaKind
from schemas.tables import companies
from service.backfill.pace import Pace
from service.backfill.state import Mode, Reason, Run
from service.cli.text_table import aligned
from service.tenants.explained import explained

REPORT_S: Final = 10.0
_KIND_NAMES: Final = {MediaKind.VIDEO: "video", MediaKind.IMAGE: "ar_content"}
_SAID: Final[Mapping[Reason, str]] = {
    Reason.NO_KEY: "video_path or image_path is empty: write the object's key there",
    Reason.BAD_KEY: "the key is not inside the company's folder, or no key at all: correct video_path or image_path",
    Reason.NO_COMPANY: "the AR content or the company of the row is missing: correct ar_content_id or company_id",
    Reason.NO_EVENT: "a value does not fit into an event: see docs/producers.md",
    Reason.COMPANY_INACTIVE: "the company is not active",
    Reason.DELETED: "a tombstone says that the media was deleted",
    Reason.DONE_BEFORE: "the row shows the outcome of this backfill",
}

stderr = Console(stderr=True, highlight=False)


class View:
    """Shows one run. Lines for programs go to standard output; the bar, and sentences, to standard error."""

    def __init__(self, run: Run, *, as_json: bool) -> None:
        self.run: Final = run
        self._as_json: Final = as_json
        self._waiting: int | None = None
        self._started_at = self._reported_at = time.monotonic()
        self._began_with: Final = run.ids_done
        self._bar = Progress(disable=True)

    @contextmanager
    def progress(self, what: str) -> Iterator[None]:
        """Provide the bar, which counts the ids that were looked at."""
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        is_shown = stderr.is_terminal and not self._as_json
        with Progress(*columns, console=stderr, transient=True, disable=not is_shown) as self._bar:
            self._bar.add_task(what, total=self.run.ids_in_all, completed=self.run.ids_done)
            yield

    def waits(self, waiting: int) -> int:
        """Note how many records wait for the workers, and return it."""
        self._waiting = waiting
        self.advance()
        return waiting

    def advance(self) -> None:
        """Show how far the run is."""
        waiting = "" if self._waiting is None else f" {self.run.sent}, {self._waiting} waiting"
        for task in self._bar.tasks:
            what = task.description.partition(" ")[0]
            self._bar.update(task.id, completed=self.run.ids_done, description=f"{what}{waiting}")
        if (self._as_json or not stderr.is_terminal) and time.monotonic() - self._reported_at >= REPORT_S:
            self._reported_at = time.monotonic()
            self._report("running")

    def _report(self, state: str) -> None:
        run = self.run
        facts: dict[str, Any] = {
            "state": state,
            "run": run.name,
            "sent": run.sent,
            "waiting": self._waiting,
            "ids_done": run.ids_done,
            "ids_in_all": run.ids_in_all,
            "left_s": self._left_s(),
        }
        if self._as_json:
            _write_json(facts | ({} if state == "running" else {"left_out": self._left_out()}))
        else:
            sys.stdout.write(
                "  ".join(f"{name}={'-' if fact is None else fact}" for name, fact in facts.items()) + "\n"
            )
            sys.stdout.flush()

    def _left_s(self) -> int | None:
        """Return the seconds that are left, by the measured pace; None before anything was measured."""
        run, done = self.run, self.run.ids_done - self._began_with
        elapsed_s = time.monotonic() - self._started_at
        return round(elapsed_s / done * (run.ids_in_all - run.ids_done)) if done > 0 else None

    def show_end(self, state_file: Path, *, is_through: bool) -> None:
        """Show what was sent and what was left out, and how to go on."""
        self._report("done" if is_through else "paused")
        self._show_left_out()
        if is_through and not self.run.sent:
            self._explain_nothing()
        if not is_through:
            _say(
                f"Paused after {self.run.sent} events: go on with `thumbnails backfill --resume --state {state_file}`."
            )

    def show_counts(
        self, engine: sa.Engine, counts: Counter[tuple[int, MediaKind]], pace: Pace, renditions: int
    ) -> None:
        """Show what would be sent: by company and kind, how long that takes at least, and what it asks of the storages."""
        total, slugs = counts.total(), _slugs(engine, {company_id for company_id, _ in counts})
        rows = [
            (company_id, slugs.get(company_id, "?"), _KIND_NAMES[kind], count)
            for (company_id, kind), count in sorted(counts.items())
        ]
        settings = self.run.choice.settings
        summary = {"events": total, "at_least_s": round(total / pace.per_s, 1), "objects_written": total * renditions}
        if self._as_json:
            for row in rows:
                _write_json(dict(zip(("company_id", "slug", "kind", "events"), row, strict=True)))
            _write_json(
                {
                    "state": "dry_run",
                    **summary,
                    **({} if settings is None else {"settings": settings}),
                    "left_out": self._left_out(),
                }
            )
            return
        if rows:
            sys.stdout.write(aligned(("company", "slug", "kind", "events"), [tuple(map(str, row)) for row in rows]))
        _say(
            f"{total} events would be sent, in {summary['at_least_s']:g} s at least by --rate {pace.per_s:g}: workers that"
            f" take longer decide, as --max-waiting {pace.max_waiting} keeps the rest back. Each reads its source, and"
            f" writes {renditions} objects: {summary['objects_written']} in all."
        )
        if settings is not None:
            _say(
                f"These rows were made with other settings than {settings}, which the THUMBNAIL_* and FRAME_* of this command"
                " mean: the workers must have the same, or the rows are found again."
            )
        self._show_left_out()
        if not rows:
            self._explain_nothing()

    def _left_out(self) -> dict[str, Any]:
        return {str(reason): found.model_dump() for reason, found in self.run.left_out.items()}

    def _show_left_out(self) -> None:
        if self._as_json:
            return
        for reason, found in self.run.left_out.items():
            more = ", …" if found.rows > len(found.examples) else ""
            _say(f"Left out: {found.rows} rows ({', '.join(found.examples)}{more}): {_SAID[reason]}.")

    def _explain_nothing(self) -> None:
        if self.run.choice.mode is Mode.MISSING and not self._as_json:
            _say("No other row lacks a thumbnail. --failed announces the rows that failed, --all every row.")


def _slugs(engine: sa.Engine, ids: set[int]) -> dict[int, str]:
    with explained(), engine.connect() as connection:
        found = connection.execute(sa.select(companies.c.id, companies.c.slug))
        return {row.id: row.slug for row in found if row.id in ids}


def _write_json(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
