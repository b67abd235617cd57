"""The closed vocabulary of metrics: every name, label and bucket of every role stands here and nowhere else."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_TASK_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LATENCY_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_BATCH_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """All metrics of one process. Labels are bounded: never a company's or a media's id."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._declare_the_platforms()
        self._declare_the_workers()
        self._declare_the_storages()
        self._declare_the_consumers()

    def _declare_the_platforms(self) -> None:
        """The six names that the platform's dashboards were built on; they never change."""
        registry = self.registry
        self.generation_total = Counter(
            "thumbnail_generation_total", "Uploads by outcome.", ["type", "status"], registry=registry
        )
        self.generation_duration_seconds = Histogram(
            "thumbnail_generation_duration_seconds",
            "Time from taking an upload to its outcome.",
            ["type"],
            buckets=_TASK_SECONDS,
            registry=registry,
        )
        self.upload_total = Counter(
            "thumbnail_upload_total", "Renditions put into storage.", ["provider", "status"], registry=registry
        )
        self.upload_duration_seconds = Histogram(
            "thumbnail_upload_duration_seconds",
            "Time to store one rendition and have it confirmed.",
            ["provider"],
            buckets=_TASK_SECONDS,
            registry=registry,
        )
        self.task_execution_total = Counter(
            "thumbnail_task_execution_total", "Records handled, by role.", ["task_type", "status"], registry=registry
        )
        self.task_execution_duration_seconds = Histogram(
            "thumbnail_task_execution_duration_seconds",
            "Time to handle one record, by role.",
            ["task_type"],
            buckets=_TASK_SECONDS,
            registry=registry,
        )

    def _declare_the_storages(self) -> None:
        registry = self.registry
        self.breakers = Gauge(
            "thumbnail_storage_breakers",
            "Storage connections by the state of their breaker.",
            ["state"],
            registry=registry,
        )
        self.breaker_opened_total = Counter(
            "thumbnail_storage_breaker_opened_total",
            "How often a storage connection was given a rest.",
            ["provider"],
            registry=registry,
        )
        self.open_providers = Gauge(
            "thumbnail_storage_providers_open", "Storage connections that are open.", registry=registry
        )

    def _declare_the_workers(self) -> None:
        registry = self.registry
        self.events_in_flight = Gauge("thumbnail_events_in_flight", "Events taken and not yet done.", registry=registry)
        self.oldest_event_age_seconds = Gauge(
            "thumbnail_oldest_event_age_seconds", "Age of the oldest event in flight.", registry=registry
        )
        self.upload_to_ready_seconds = Histogram(
            "thumbnail_upload_to_ready_seconds",
            "From the upload's own time to thumbnail.ready.",
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self.retries_total = Counter(
            "thumbnail_retries_total", "Events sent to a retry topic.", ["code"], registry=registry
        )
        self.stale_retries_total = Counter(
            "thumbnail_stale_retries_total",
            "Retries and replays dropped without being decoded, for the row needs them no more.",
            ["reason"],
            registry=registry,
        )
        self.dead_letters_total = Counter(
            "thumbnail_dead_letters_total", "Records sent to a dead letter topic.", ["code"], registry=registry
        )
        self.fallbacks_total = Counter(
            "thumbnail_fallbacks_total",
            "Uploads whose thumbnails went to local storage instead.",
            ["provider", "reason"],
            registry=registry,
        )
        self.source_bytes_read_total = Counter(
            "thumbnail_source_bytes_read_total", "Bytes read from sources.", ["type"], registry=registry
        )
        self.decoder_used_total = Counter(
            "thumbnail_decoder_used_total", "How the frame was found.", ["method"], registry=registry
        )
        self.slot_restarts_total = Counter(
            "thumbnail_slot_restarts_total", "Decode slots started anew.", ["cause"], registry=registry
        )
        self.cleaned_objects_total = Counter(
            "thumbnail_cleaned_objects_total",
            "Objects deleted because no row shows them.",
            ["reason"],
            registry=registry,
        )

    def _declare_the_consumers(self) -> None:
        registry = self.registry
        self.upload_to_visible_seconds = Histogram(
            "thumbnail_upload_to_visible_seconds",
            "From the upload's own time to its committed row.",
            buckets=_LATENCY_SECONDS,
            registry=registry,
        )
        self.persistence_batch_size = Histogram(
            "thumbnail_persistence_batch_size", "Records in one transaction.", buckets=_BATCH_SIZES, registry=registry
        )
        self.persistence_batch_duration_seconds = Histogram(
            "thumbnail_persistence_batch_duration_seconds",
            "Time of one transaction.",
            buckets=_TASK_SECONDS,
            registry=registry,
        )
        self.stale_results_total = Counter(
            "thumbnail_stale_results_total", "Results of an upload that a newer one has replaced.", registry=registry
        )
        self.orphaned_results_total = Counter(
            "thumbnail_orphaned_results_total", "Results whose row is gone.", registry=registry
        )
        self.retry_lateness_seconds = Histogram(
            "thumbnail_retry_lateness_seconds",
            "How long after its due time a retry was republished.",
            buckets=_TASK_SECONDS,
            registry=registry,
        )
