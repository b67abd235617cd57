"""Declare the metrics of `thumbnails reconcile`, which ends long before anybody could scrape it: it writes them to a file."""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge


class ReconcileMetrics:
    """The metrics of the last run. Labels are bounded: never the id of a company or a media."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.troubles: Final = self._gauge(
            "thumbnail_reconcile_troubles",
            "Media with this trouble at the last run, by whether it is repaired (state: fixed, left).",
            "trouble",
            "state",
        )
        self.companies: Final = self._gauge(
            "thumbnail_reconcile_companies", "Companies of the last run (state: compared, left_out, failed).", "state"
        )
        self.media: Final = self._gauge("thumbnail_reconcile_media", "Media that the last run compared.")
        self.duration_seconds: Final = self._gauge("thumbnail_reconcile_duration_seconds", "Time of the last run.")
        self.finished_timestamp_seconds: Final = self._gauge(
            "thumbnail_reconcile_finished_timestamp_seconds", "Unix time at which the last run was through."
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)
