"""Makes dashboards/thumbnails.json: `python deploy/grafana/dashboard.py`; with --check it only compares."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DASHBOARD: Final = Path(__file__).parent / "dashboards" / "thumbnails.json"
_PANELS_A_ROW: Final = 3
_WIDTH: Final = 24 // _PANELS_A_ROW
_HEIGHT: Final = 7


@dataclass(frozen=True)
class Panel:
    """One graph. `queries` are (PromQL, legend); `unit` is Grafana's name of it."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    hint: str = ""


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    rate = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    return tuple((f"histogram_quantile({q}, {rate})", f"{100 * q:g} %") for q in (0.5, 0.95, 0.99))


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "What users see": (
        Panel("From upload to visible", "s", _quantiles("thumbnail_upload_to_visible_seconds"), "99 % within 60 s."),
        Panel("Oldest unprocessed record", "s", (("thumbnail:lag_seconds:max", "{{topic}}"),)),
        Panel(
            "Uploads by outcome",
            "reqps",
            (
                ("sum by (status) (rate(thumbnail_generation_total[$__rate_interval]))", "{{status}}"),
                (
                    "sum by (provider) (rate(thumbnail_breaker_waiting_total[$__rate_interval]))",
                    "waits for {{provider}}",
                ),
            ),
            "A wait is not a failure: the circuit breaker of its storage is open.",
        ),
    ),
    "Failures": (
        Panel(
            "Dead letters by code",
            "reqps",
            (("sum by (code) (rate(thumbnail_dead_letters_total[$__rate_interval]))", "{{code}}"),),
        ),
        Panel("Dead letters that wait", "short", (("max(thumbnail_dead_letters_waiting)", "dead letters"),)),
        Panel("Age of the oldest dead letter", "s", (("max(thumbnail_oldest_dead_letter_age_seconds)", "age"),)),
        Panel(
            "Retries by code",
            "reqps",
            (("sum by (code) (rate(thumbnail_retries_total[$__rate_interval]))", "{{code}}"),),
        ),
        Panel("Retries that wait", "short", (("sum by (tier) (thumbnail_retries_waiting)", "tier {{tier}}"),)),
        Panel(
            "Next retry",
            "s",
            (("min by (tier) (thumbnail_next_retry_due_timestamp_seconds) - time()", "tier {{tier}}"),),
            "Below 0 it is late.",
        ),
    ),
    "Worker": (
        Panel("From upload to ready", "s", _quantiles("thumbnail_upload_to_ready_seconds")),
        Panel("Slots", "short", (("sum by (state) (thumbnail_slots)", "{{state}}"),)),
        Panel(
            "Events in flight",
            "short",
            (("sum(thumbnail_events_in_flight)", "events"), ("max(thumbnail_oldest_event_age_seconds)", "oldest, s")),
        ),
        Panel(
            "Read of the sources",
            "percentunit",
            (
                (
                    (
                        "sum by (type) (rate(thumbnail_source_bytes_read_total[$__rate_interval]))"
                        " / sum by (type) (rate(thumbnail_source_size_bytes_total[$__rate_interval]))"
                    ),
                    "{{type}}",
                ),
            ),
            "How much of their size had to be read.",
        ),
        Panel(
            "How frames were found",
            "reqps",
            (("sum by (method) (rate(thumbnail_decoder_used_total[$__rate_interval]))", "{{method}}"),),
        ),
        Panel(
            "Slot restarts",
            "short",
            (("sum by (cause) (increase(thumbnail_slot_restarts_total[$__rate_interval]))", "{{cause}}"),),
        ),
    ),
    "Storage and database": (
        Panel("Connections by breaker", "short", (("sum by (state) (thumbnail_storage_breakers)", "{{state}}"),)),
        Panel(
            "Time to store a rendition, 95 %",
            "s",
            (
                (
                    (
                        "histogram_quantile(0.95, sum by (le, provider)"
                        " (rate(thumbnail_upload_duration_seconds_bucket[$__rate_interval])))"
                    ),
                    "{{provider}}",
                ),
            ),
        ),
        Panel(
            "Fallbacks to local storage",
            "reqps",
            (
                (
                    "sum by (provider, reason) (rate(thumbnail_fallbacks_total[$__rate_interval]))",
                    "{{provider}}: {{reason}}",
                ),
            ),
        ),
        Panel("Time of a transaction", "s", _quantiles("thumbnail_persistence_batch_duration_seconds")),
        Panel(
            "Results that changed nothing",
            "reqps",
            (
                ("sum(rate(thumbnail_stale_results_total[$__rate_interval]))", "stale"),
                ("sum(rate(thumbnail_orphaned_results_total[$__rate_interval]))", "row is gone"),
                ("sum(rate(thumbnail_overruled_results_total[$__rate_interval]))", "given up before"),
                ("sum by (task_type) (rate(thumbnail_redelivered_total[$__rate_interval]))", "again: {{task_type}}"),
            ),
        ),
        Panel("Backlog", "short", (("thumbnail:lag_records:sum", "{{topic}}"),)),
    ),
    "Processes": (
        Panel(
            "Dependencies",
            "short",
            (("min by (role, dependency) (thumbnail_dependency_up)", "{{role}}: {{dependency}}"),),
        ),
        Panel(
            "Since a record was finished",
            "s",
            (("time() - max by (role) (thumbnail_last_progress_timestamp_seconds)", "{{role}}"),),
        ),
        Panel(
            "Versions",
            "short",
            (("count by (exported_role, version) (thumbnail_role_info)", "{{exported_role}} {{version}}"),),
        ),
        Panel("Memory", "bytes", (('process_resident_memory_bytes{job="thumbnails"}', "{{instance}}"),)),
        Panel(
            "Processor",
            "percentunit",
            (('rate(process_cpu_seconds_total{job="thumbnails"}[$__rate_interval])', "{{instance}}"),),
            "Of one core; decoders have their own processes.",
        ),
        Panel("Start", "dateTimeFromNow", (('process_start_time_seconds{job="thumbnails"} * 1000', "{{instance}}"),)),
    ),
}


def make_dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's format (schema version 39, Grafana 11 and later)."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append({"type": "row", "title": title, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}, "panels": []})
        y += 1
        for number, panel in enumerate(row):
            place = {"x": number % _PANELS_A_ROW * _WIDTH, "y": y + number // _PANELS_A_ROW * _HEIGHT}
            panels.append(_graph(panel, place | {"w": _WIDTH, "h": _HEIGHT}))
        y += -(-len(row) // _PANELS_A_ROW) * _HEIGHT
    for number, made in enumerate(panels, start=1):
        made["id"] = number
    return {
        "uid": "thumbnails",
        "title": "Thumbnails",
        "tags": ["thumbnails"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": [_alerts_on_the_graphs()]},
        "panels": panels,
    }


def _graph(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "exemplar": True}
        for number, (expression, legend) in enumerate(panel.queries)
    ]
    return {
        "type": "timeseries",
        "title": panel.title,
        "description": panel.hint,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": {"spanNulls": False}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "gridPos": place,
        "targets": targets,
    }


def _alerts_on_the_graphs() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "expr": 'ALERTS{alertname=~"Thumbnail.*",alertstate="firing"}',
        "titleFormat": "{{alertname}}",
    }


def main(arguments: list[str]) -> int:
    """Write the file; with --check, exit code 1 when it is stale."""
    text = json.dumps(make_dashboard(), indent=1) + "\n"
    if "--check" in arguments:
        if DASHBOARD.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write(f"{DASHBOARD.name} is stale: run `python deploy/grafana/dashboard.py`.\n")
        return 1
    DASHBOARD.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
