"""Show a reconciliation: a line for each trouble and each company that is not compared, then a table; JSON for programs."""

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from service.cli.text_table import aligned, printable
from service.reconcile.fixes import FixResult
from service.reconcile.judge import Finding, Trouble
from service.reconcile.state import CompanyProgress, NotCompared, Reconciliation, Todo, TroubleCount, record_key

REPORT_S: Final = 10.0
_SAID: Final = {
    Trouble.MISSING: "rows whose objects are all missing",
    Trouble.INCOMPLETE: "rows that lack some of their objects",
    Trouble.DAMAGED: "rows with an object of another size or checksum",
    Trouble.ORPHAN: "objects that their row does not show, and never will",
    Trouble.OWNERLESS: "objects without a row",
    Trouble.AWAY: "rows that show local storage in place of the company's own",
    Trouble.STUCK: "uploads without an outcome",
    Trouble.ELSEWHERE: "rows that show objects outside of the company's folder",
}


class ReconcileView:
    """Shows one run. Lines for programs go to standard output, and sentences to standard error."""

    def __init__(self, run: Reconciliation, *, as_json: bool) -> None:
        self._run: Final = run
        self._as_json: Final = as_json
        self._reported_at = time.monotonic()

    def found(self, company: CompanyProgress, media: str, finding: Finding, result: FixResult | None) -> None:
        """Show a trouble, and what was done about it."""
        facts = {
            "company_id": company.company_id,
            "slug": company.slug,
            "media": media,
            "trouble": finding.trouble,
            "detail": finding.detail,
            "place": finding.place,
            "objects": len(finding.objects),
            "bytes": finding.size_bytes,
            "done": None if result is None else result.done,
            "why": None if result is None else result.why,
        }
        self._record(facts)

    def counted(self, company: CompanyProgress, todo: Todo, result: FixResult) -> None:
        """Show troubles that were found, and are not repaired."""
        for trouble in todo.troubles:
            facts = {
                "company_id": company.company_id,
                "slug": company.slug,
                "media": record_key(todo.kind, todo.row_id),
                "trouble": trouble,
                "done": result.done,
                "why": result.why,
            }
            self._record(facts)

    def compared(self, company: CompanyProgress, problem: NotCompared | None) -> None:
        """Show a company that is through, for programs; for people only one that is not compared."""
        facts = {
            "company_id": company.company_id,
            "slug": company.slug,
            "state": "compared" if problem is None else "failed" if problem.is_fault else "left_out",
            "media": company.media,
            "objects": company.objects,
            "bytes": company.size_bytes,
            "foreign": company.foreign,
            "reason": None if problem is None else problem.reason,
        }
        if self._as_json:
            _write_json(facts)
        elif problem is not None:
            _say(f"Company {company.company_id} ({company.slug}) is not compared: {problem.reason.rstrip('.')}.")
        self.advance()

    def advance(self) -> None:
        """Show how far the run is, every ten seconds."""
        if time.monotonic() - self._reported_at >= REPORT_S:
            self._reported_at = time.monotonic()
            self._progress("running")

    def _progress(self, state: str) -> None:
        run, current = self._run, self._run.current
        facts: dict[str, Any] = {
            "state": state,
            "companies": run.companies,
            "media": run.media + (current.media if current is not None else 0),
            "troubles": sum(count.found for count in run.counts.values()),
            "company_id": current.company_id if current is not None else None,
            "to_repair": len(current.todo) - current.done if current is not None else 0,
        }
        if self._as_json:
            _write_json(facts)
        else:
            _say("  ".join(f"{name}={'-' if fact is None else fact}" for name, fact in facts.items()))

    def show_end(self, state_file: Path) -> None:
        """Show what was found and repaired, and how to go on."""
        run = self._run
        if not run.is_through:
            self._progress("paused")
            _say(f"Paused: go on with `thumbnails reconcile --resume --state {state_file}`.")
            return
        if self._as_json:
            _write_json(self._totals())
            return
        rows = [self._row(trouble) for trouble in Trouble if trouble in run.counts]
        if rows:
            sys.stdout.write(aligned(("trouble", "found", "fixed", "left", "objects", "MB", "what", "such as"), rows))
        _say(self._summary())

    def _row(self, trouble: Trouble) -> tuple[str, ...]:
        count = self._run.counts.get(trouble, TroubleCount())
        numbers = (count.found, count.fixed, count.found - count.fixed, count.objects)
        size = f"{count.size_bytes / 1e6:.1f}"
        return trouble, *map(str, numbers), size, _SAID[trouble], ", ".join(count.examples[:2])

    def _summary(self) -> str:
        run = self._run
        left = sum(run.left.values())
        compared = f"{run.media} media of {run.companies} companies are compared"
        not_compared = f", {len(run.not_compared)} companies are not" if run.not_compared else ""
        if not run.fix:
            hint = " `thumbnails reconcile --fix` repairs what it can." if left else ""
            return f"{compared}{not_compared}; {left} troubles, nothing was changed.{hint}"
        fixed = sum(count.fixed for count in run.counts.values())
        hint = " --json says of each what keeps it." if left else ""
        return f"{compared}{not_compared}; {fixed} troubles repaired or announced, {left} left.{hint}"

    def _totals(self) -> dict[str, Any]:
        run = self._run
        return {
            "state": "done",
            "fix": run.fix,
            "companies": run.companies,
            "media": run.media,
            "troubles": {trouble: count.model_dump() for trouble, count in run.counts.items()},
            "not_compared": [one.model_dump() for one in run.not_compared],
        }

    def _record(self, facts: dict[str, Any]) -> None:
        if self._as_json:
            _write_json(facts)
        else:
            told = ("company_id", "media", "trouble", "detail", "done", "why")
            sys.stdout.write("  ".join(printable(str(facts[name])) for name in told if facts.get(name)) + "\n")


def _write_json(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _say(sentence: str) -> None:
    sys.stderr.write(f"{printable(sentence)}\n")
