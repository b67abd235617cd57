"""Declare every metric of every role: its name, labels, buckets and help text."""

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Role = Literal["worker", "persist", "retry", "ingest"]

_TASK_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LATENCY_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_BATCH_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

_WORKER: Final[tuple[Role, ...]] = ("worker",)
_PERSIST: Final[tuple[Role, ...]] = ("persist",)
_RETRY: Final[tuple[Role, ...]] = ("retry",)
_INGEST: Final[tuple[Role, ...]] = ("ingest",)
_CONSUMERS: Final[tuple[Role, ...]] = ("worker", "persist", "ingest")
ALL_ROLES: Final[tuple[Role, ...]] = ("worker", "persist", "retry", "ingest")


class Metrics:
    """The metrics of one process. Labels are bounded: never the id of a company or a media.

    With `role`, only what that role sets is exported, because an unset gauge would read 0. Without it, all are exported.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, role: Role | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.roles: Final[dict[str, tuple[Role, ...]]] = {}
        """The roles that export each metric, by its exported name without a histogram's suffixes."""
        self._role: Final = role
        self._declare_platform_metrics()
        self._declare_outcomes()
        self._declare_worker_metrics()
        self._declare_storage_metrics()
        self._declare_consumer_metrics()
        self._declare_retry_metrics()
        self._declare_ingest_metrics()
        self._declare_process_metrics()

    def _declare_platform_metrics(self) -> None:
        """Declare the six metrics that the platform's dashboards use; their names never change."""
        self.generation_total = self._counter(
            "thumbnail_generation_total", "Uploads by outcome.", _WORKER, "type", "status"
        )
        self.generation_duration_seconds = self._histogram(
            "thumbnail_generation_duration_seconds",
            "Time from receiving an upload to its outcome.",
            _WORKER,
            _TASK_SECONDS,
            "type",
        )
        self.upload_total = self._counter("thumbnail_upload_total", "Renditions stored.", _WORKER, "provider", "status")
        self.upload_duration_seconds = self._histogram(
            "thumbnail_upload_duration_seconds",
            "Time to store and verify one rendition.",
            _WORKER,
            _TASK_SECONDS,
            "provider",
        )
        self.task_execution_total = self._counter(
            "thumbnail_task_execution_total", "Records handled, by role.", ALL_ROLES, "task_type", "status"
        )
        self.task_execution_duration_seconds = self._histogram(
            "thumbnail_task_execution_duration_seconds",
            "Time to handle one record, by role.",
            ALL_ROLES,
            _TASK_SECONDS,
            "task_type",
        )

    def _declare_outcomes(self) -> None:
        self.redelivered_total = self._counter(
            "thumbnail_redelivered_total",
            "Records delivered again after their event was counted; no other event counter includes them.",
            ALL_ROLES,
            "task_type",
        )
        self.retries_total = self._counter("thumbnail_retries_total", "Events sent to a retry topic.", _WORKER, "code")
        self.key_mismatches_total = self._counter(
            "thumbnail_key_mismatches_total",
            "Uploads whose record has another key than their media, or none: they keep no order among themselves.",
            _WORKER,
        )
        self.breaker_waiting_total = self._counter(
            "thumbnail_breaker_waiting_total",
            "Events sent to a retry topic because the circuit breaker of their storage is open. They use up no attempt.",
            _WORKER,
            "provider",
        )
        self.stale_retries_total = self._counter(
            "thumbnail_stale_retries_total",
            "Retries and replays dropped before decoding, because their row no longer needs them.",
            _WORKER,
            "reason",
        )
        self.dead_letters_total = self._counter(
            "thumbnail_dead_letters_total", "Records sent to a dead letter topic.", _CONSUMERS, "code"
        )
        self.dead_letter_write_failures_total = self._counter(
            "thumbnail_dead_letter_write_failures_total",
            "Dead letters that the broker did not accept. The process then ends, and Kafka redelivers the records.",
            _CONSUMERS,
        )

    def _declare_worker_metrics(self) -> None:
        self.events_in_flight = self._gauge(
            "thumbnail_events_in_flight", "Events received and not yet finished.", _WORKER
        )
        self.oldest_event_age_seconds = self._gauge(
            "thumbnail_oldest_event_age_seconds", "Age of the oldest event in flight.", _WORKER
        )
        self.upload_to_ready_seconds = self._histogram(
            "thumbnail_upload_to_ready_seconds",
            "Time from the upload's occurred_at to thumbnail.ready, without those of a backfill.",
            _WORKER,
            _LATENCY_SECONDS,
        )
        self.fallbacks_total = self._counter(
            "thumbnail_fallbacks_total",
            "Uploads whose thumbnails were stored in local storage instead of the tenant's.",
            _WORKER,
            "provider",
            "reason",
        )
        self.source_bytes_read_total = self._counter(
            "thumbnail_source_bytes_read_total", "Bytes read from sources.", _WORKER, "type"
        )
        self.source_size_bytes_total = self._counter(
            "thumbnail_source_size_bytes_total", "Total size in bytes of the sources that were read.", _WORKER, "type"
        )
        self.decoder_used_total = self._counter(
            "thumbnail_decoder_used_total", "Decoded sources, by the method that selected the frame.", _WORKER, "method"
        )
        self.slots = self._gauge("thumbnail_slots", "Decode slots by state: idle or busy.", _WORKER, "state")
        self.decoders_confined = self._gauge(
            "thumbnail_decoders_confined", "1 while every decoder is sandboxed, 0 when one is not.", _WORKER
        )
        self.slot_restarts_total = self._counter(
            "thumbnail_slot_restarts_total", "Decode slots restarted.", _WORKER, "cause"
        )
        self.companies_limited = self._gauge(
            "thumbnail_companies_limited",
            "Companies of whose uploads only a few are tried, because most of them fail; /health/ready names them.",
            _WORKER,
        )
        self.cleaned_objects_total = self._counter(
            "thumbnail_cleaned_objects_total", "Objects deleted because no row refers to them.", _WORKER, "reason"
        )

    def _declare_storage_metrics(self) -> None:
        self.breakers = self._gauge(
            "thumbnail_storage_breakers", "Storage connections by the state of their circuit breaker.", _WORKER, "state"
        )
        self.breaker_opened_total = self._counter(
            "thumbnail_storage_breaker_opened_total",
            "Times that the circuit breaker of a storage connection opened.",
            _WORKER,
            "provider",
        )
        self.open_providers = self._gauge(
            "thumbnail_storage_providers_open", "Storage connections that are open.", _WORKER
        )

    def _declare_consumer_metrics(self) -> None:
        self.upload_to_visible_seconds = self._histogram(
            "thumbnail_upload_to_visible_seconds",
            "Time from the upload's occurred_at to its committed row, without those of a backfill.",
            _PERSIST,
            _LATENCY_SECONDS,
        )
        self.persistence_batch_size = self._histogram(
            "thumbnail_persistence_batch_size", "Records in one transaction.", _PERSIST, _BATCH_SIZES
        )
        self.persistence_batch_duration_seconds = self._histogram(
            "thumbnail_persistence_batch_duration_seconds", "Duration of one transaction.", _PERSIST, _TASK_SECONDS
        )
        self.stale_results_total = self._counter(
            "thumbnail_stale_results_total", "Results of uploads that a newer upload has replaced.", _PERSIST
        )
        self.stale_first_attempts_total = self._counter(
            "thumbnail_stale_first_attempts_total",
            "Results of first attempts that were stale when they came. Clocks of upload services may differ.",
            _PERSIST,
        )
        self.orphaned_results_total = self._counter(
            "thumbnail_orphaned_results_total", "Results whose row no longer exists.", _PERSIST
        )
        self.overruled_results_total = self._counter(
            "thumbnail_overruled_results_total",
            "Pictures that are not shown because their upload had been given up before they were read.",
            _PERSIST,
        )
        self.states_total = self._counter(
            "thumbnail_states_total",
            "Records written to thumbnail.state, by what they say: ready, failed or deleted. Repeats count.",
            _PERSIST,
            "status",
        )
        self.state_duration_seconds = self._histogram(
            "thumbnail_state_duration_seconds",
            "Time to read the rows of a batch once more and to have their states acknowledged, the wait for other roles included.",
            _PERSIST,
            _TASK_SECONDS,
        )
        self.consumer_lag_records = self._gauge(
            "thumbnail_consumer_lag_records",
            "Records not yet processed in the partitions assigned to this process.",
            _CONSUMERS,
            "topic",
        )
        self.consumer_lag_seconds = self._gauge(
            "thumbnail_consumer_lag_seconds",
            "Age of the oldest unprocessed record in the partitions assigned to this process; 0 when there is none.",
            _CONSUMERS,
            "topic",
        )

        self.removed_unread_total = self._counter(
            "thumbnail_removed_unread_total",
            "Records that retention or a person removed before this role read them, at most: the range may hold markers of"
            " transactions.",
            ALL_ROLES,
            "topic",
        )

    def _declare_retry_metrics(self) -> None:
        self.retry_lateness_seconds = self._histogram(
            "thumbnail_retry_lateness_seconds",
            "Delay between a retry's due time and its republishing.",
            _RETRY,
            _TASK_SECONDS,
        )
        self.retries_waiting = self._gauge(
            "thumbnail_retries_waiting", "Retries waiting in the partitions assigned to this process.", _RETRY, "tier"
        )
        self.cleanups_waiting = self._gauge(
            "thumbnail_cleanups_waiting",
            "Cleanups of replaced and deleted thumbnails that wait for REPLACED_KEEP_S in the partitions assigned to this process.",
            _RETRY,
        )
        self.next_retry_due_timestamp_seconds = self._gauge(
            "thumbnail_next_retry_due_timestamp_seconds",
            "Unix time when the next retry of a tier is due; absent when none waits.",
            _RETRY,
            "tier",
        )
        self.dead_letters_waiting = self._gauge(
            "thumbnail_dead_letters_waiting",
            "Dead letters that nobody has replayed, acknowledged or given up. Every retry process reports the total of the installation.",
            _RETRY,
        )
        self.oldest_dead_letter_age_seconds = self._gauge(
            "thumbnail_oldest_dead_letter_age_seconds",
            "Age of the oldest waiting dead letter; 0 when there is none.",
            _RETRY,
        )

    def _declare_ingest_metrics(self) -> None:
        self.notifications_total = self._counter(
            "thumbnail_notifications_total",
            "Changes of objects that notifications of buckets were about, by what became of them: uploaded, deleted, skipped (a rule"
            " or the kind of event says so), unmatched (no rule is for them) or no_row (removed, and no row has the path).",
            _INGEST,
            "outcome",
        )
        self.ingest_requests_total = self._counter(
            "thumbnail_ingest_requests_total",
            "Requests to `thumbnails ingest http` by their answer: uploaded, deleted, checked or skipped (hooks that announce nothing),"
            " refused, unauthorized, busy (too many wait) or unavailable (Kafka or a row is not there).",
            _INGEST,
            "outcome",
        )

    def _declare_process_metrics(self) -> None:
        self.dependency_up = self._gauge(
            "thumbnail_dependency_up",
            "1 while a dependency of this process (kafka, database or local_storage) answers, else 0.",
            ALL_ROLES,
            "dependency",
        )
        self.last_progress_timestamp_seconds = self._gauge(
            "thumbnail_last_progress_timestamp_seconds",
            "Unix time when a record was last finished; before the first one, the start time of the process.",
            ALL_ROLES,
        )
        self.role_info = self._gauge(
            "thumbnail_role_info", "Always 1; the labels have the role and the version.", ALL_ROLES, "role", "version"
        )

    def _counter(self, name: str, meaning: str, by: tuple[Role, ...], *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry_for(name, by))

    def _gauge(self, name: str, meaning: str, by: tuple[Role, ...], *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self._registry_for(name, by))

    def _histogram(
        self, name: str, meaning: str, by: tuple[Role, ...], buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(name, meaning, labels, buckets=buckets, registry=self._registry_for(name, by))

    def _registry_for(self, name: str, by: tuple[Role, ...]) -> CollectorRegistry | None:
        self.roles[name] = by
        return self.registry if self._role is None or self._role in by else None
