"""The findings of the last run, as a text file for node exporter."""

from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import generate_latest

from schemas.reconcile_metrics import ReconcileMetrics
from service.reconcile.judge import Trouble
from service.reconcile.state import Reconciliation, TroubleCount
from service.whole_files import write_whole


def write_metrics(run: Reconciliation, path: Path) -> None:
    """Replace the file with the metrics of a run that is through. Raises OSError."""
    metrics, now = ReconcileMetrics(), datetime.now(UTC)
    for trouble in Trouble:
        count = run.counts.get(trouble, TroubleCount())
        metrics.troubles.labels(trouble, "fixed").set(count.fixed)
        metrics.troubles.labels(trouble, "left").set(count.found - count.fixed)
    failed = sum(one.is_fault for one in run.not_compared)
    states = {"compared": run.companies, "left_out": len(run.not_compared) - failed, "failed": failed}
    for state, companies in states.items():
        metrics.companies.labels(state).set(companies)
    metrics.media.set(run.media)
    metrics.duration_seconds.set((now - run.started_at).total_seconds())
    metrics.finished_timestamp_seconds.set(now.timestamp())
    write_whole(path, generate_latest(metrics.registry).decode())
