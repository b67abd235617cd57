"""Declare the closed list of log events: the name, the level and the meaning of each."""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True)
class LogEvent:
    """One log event. Repeats with the same values in the fields of `limited_by` are held back; with None each line is shown."""

    name: str
    level: Level
    meaning: str
    limited_by: tuple[str, ...] | None = None


RECORD_OUTCOMES: Final = (
    LogEvent(
        "thumbnail_ready",
        "info",
        "The thumbnails of an upload are stored and verified; the event thumbnail.ready follows.",
    ),
    LogEvent("retry_scheduled", "warning", "An attempt failed; the record goes to the retry topic `tier`."),
    LogEvent(
        "event_dead_lettered",
        "error",
        "A record becomes a dead letter. `error_code` says why; errors.md says what to do.",
    ),
    LogEvent(
        "retry_dropped", "info", "A retry, replay or repeated upload is obsolete and is dropped; `why` has the reason."
    ),
    LogEvent(
        "retry_republished", "info", "A retry is due: it goes back to the worker, or to the next retry topic, `to`."
    ),
    LogEvent(
        "retry_cancelled",
        "info",
        "A retry is due that somebody cancelled, `by` whom: the worker gives it up, and says so in `thumbnail.failed`.",
    ),
    LogEvent("objects_cleaned", "info", "Objects that no row refers to were deleted; `deleted` is their number."),
    LogEvent("tombstone_processed", "info", "A media was deleted upstream; `row_marked` says whether its row exists."),
    LogEvent(
        "tombstone_dead_lettered",
        "error",
        "A deletion could not be carried out, and becomes a dead letter. `error_code` says why; errors.md says what to do.",
    ),
    LogEvent(
        "result_persisted",
        "info",
        "A result changed no row: it is stale, or the row is gone, belongs to another company, or has so many failures of one"
        " upload that it remembers no more. Results with an effect: debug.",
    ),
    LogEvent(
        "ready_overruled",
        "warning",
        "Pictures are not shown, and are deleted: their upload was given up before they were read. The row stays failed;"
        " `next_action` says what to do.",
    ),
    LogEvent(
        "result_dead_lettered", "error", "A result cannot be written and becomes a dead letter on thumbnail.ready.dlq."
    ),
    LogEvent(
        "notification_read",
        "info",
        "A notification of a bucket is done: `outcomes` of its objects, and the `media` that it published events of.",
    ),
    LogEvent(
        "notification_dead_lettered",
        "error",
        "A notification cannot be read or placed, and becomes a dead letter. `error_code` says why; errors.md says what to do.",
    ),
)
"""Each record ends with one of these. All have topic, partition and offset, and the trace id where there is a trace."""

RECORD_STEPS: Final = (
    LogEvent(
        "storage_fallback_used",
        "warning",
        "A tenant's storage failed permanently; the thumbnails go to local storage.",
        ("connection_id", "error_code"),
    ),
    LogEvent(
        "connection_broken",
        "warning",
        "The settings of a storage connection are invalid: fix its row in storage_connections.",
        ("connection_id",),
    ),
    LogEvent(
        "staleness_check_skipped",
        "warning",
        "The database is unreachable, so a retry runs without the check whether it is obsolete.",
        (),
    ),
    LogEvent(
        "upload_has_other_pictures",
        "warning",
        "The event id of an upload came with another file before, or its file was replaced. The first result is shown.",
    ),
    LogEvent(
        "company_failure_limit_exceeded",
        "warning",
        "Only company `company_id` exceeds a DLQ_MAX limit. Work goes on: look at its dead letters.",
        ("company_id",),
    ),
    LogEvent(
        "unattributed_failure_limit_exceeded",
        "warning",
        "Many records are malformed or name an unknown company: look at their producers; `producers` has each `ce_source`.",
        (),
    ),
    LogEvent(
        "company_limited",
        "warning",
        "Most uploads of company `company_id` fail: only a few of them are tried, and the others wait in the retry topics.",
        ("company_id",),
    ),
    LogEvent(
        "notification_unmatched",
        "warning",
        "No rule of INGEST_RULES is for an object: said once of each `bucket` and first `folder`. Add a rule, or one with `skip`.",
    ),
    LogEvent("company_limit_ended", "info", "The uploads of company `company_id` are tried as they come again."),
    LogEvent("event_internal_error", "error", "A bug in the pipeline, with its traceback; the upload is retried."),
    LogEvent("cleanup_internal_error", "error", "A bug in the pipeline, with its traceback; the cleanup is retried."),
    LogEvent(
        "tombstone_internal_error", "error", "A bug in the pipeline, with its traceback; the deletion is retried."
    ),
    LogEvent(
        "broker_ack_delayed",
        "warning",
        "The cluster has not taken a record for topic `to`, or a group's offsets, yet; the role waits and tries again.",
        ("to",),
    ),
)
"""These come before one of the events above."""

PROCESS_EVENTS: Final = (
    LogEvent("role_starting", "info", "A process starts with these settings; passwords are left out."),
    LogEvent(
        "setting_unknown", "warning", "The variable `name` is no setting, but nearly one: `meant` is the setting."
    ),
    LogEvent(
        "role_ready", "info", "Every dependency answers and the role works; health and metrics are on `http_port`."
    ),
    LogEvent("role_stopping", "info", "The process got a stop signal and finishes what it can within `within_s`."),
    LogEvent("role_stopped", "info", "The role has finished its work."),
    LogEvent("role_failed", "critical", "The role cannot go on; the process ends with code 1 and must be restarted."),
    LogEvent(
        "role_exit_forced",
        "critical",
        "Something hangs, or would: the process ends now, and Kafka redelivers its records.",
    ),
    LogEvent(
        "standby_stopped_idle", "info", "A standby worker got a stop signal before it was ever assigned a partition."
    ),
    LogEvent("worker_failed", "critical", "The worker cannot go on and ends with code 1; `reason` says why."),
    LogEvent(
        "group_leave_failed",
        "warning",
        "A consumer stopped during a rebalance without leaving its group; the group waits for the session timeout.",
    ),
    LogEvent(
        "events_left_uncommitted",
        "warning",
        "The stop timeout passed before these events were done; other workers repeat them.",
    ),
    LogEvent(
        "batch_unreadable",
        "critical",
        "A batch in Kafka is damaged; it names topic, partition and offset, and the runbooks say how to go past it.",
    ),
    LogEvent(
        "records_removed_unread",
        "error",
        "Records from `from_offset` to before `to_offset` were removed before `group` read them, `records` at most: runbooks.md.",
    ),
    LogEvent(
        "group_offsets_missing",
        "warning",
        "A group without offsets in a topic reads it from its beginning: its first start, or its offsets have expired.",
    ),
    LogEvent("topics_missing", "critical", "Topics are missing: run `thumbnails topics create`, or fix the prefix."),
    LogEvent("dependency_failed", "error", "A dependency does not work at start; `problem` says how to fix it."),
    LogEvent(
        "decoders_not_confined", "warning", "Decoders run without a complete sandbox; `could` lists what they could do."
    ),
    LogEvent("landlock_missing", "warning", "The kernel has no Landlock, so seccomp alone confines the decoders."),
    LogEvent(
        "unfinished_uploads_deleted", "info", "Partial files of interrupted uploads were deleted from local storage."
    ),
)
"""Once in the life of a process."""

DEPENDENCY_EVENTS: Final = (
    LogEvent("batch_persisted", "info", "A transaction is committed: its results by outcome, and its duration."),
    LogEvent("database_down", "warning", "The database is down. Results wait, and none is lost.", ()),
    LogEvent("database_recovered", "info", "The dependency answers again."),
    LogEvent("kafka_unreachable", "warning", "A broker does not answer; the client keeps trying.", ()),
    LogEvent(
        "commit_failed",
        "warning",
        "A rebalance revoked the partitions before the commit; their next owner repeats the records.",
        (),
    ),
    LogEvent(
        "dependency_lost",
        "warning",
        "A dependency no longer answers; `reason` has the error, `next_action` says what to do.",
    ),
    LogEvent("dependency_recovered", "info", "The dependency answers again."),
    LogEvent("observation_failed", "warning", "What a metric shows cannot be read; its last value stays.", ()),
    LogEvent(
        "cancellations_unread",
        "warning",
        "The marks of cancelled retries cannot be read: retries go on, and one that was cancelled may be tried again.",
        (),
    ),
    LogEvent("observation_works_again", "info", "It can be read again."),
    LogEvent("span_export_failed", "warning", "The collector refuses spans; `lost` counts those lost so far.", ()),
    LogEvent("span_export_recovered", "info", "The collector accepts spans again; `lost` counts those lost meanwhile."),
    LogEvent(
        "tokens_unreadable", "warning", "The file of tokens has changed and cannot be used; those that it had stay."
    ),
    LogEvent("tracing_unavailable", "warning", "Tracing is configured, but the extra `otel` is not installed."),
)
"""Events about dependencies."""

REQUEST_EVENTS: Final = (
    LogEvent("request_taken", "info", "A request is published and acknowledged; `events` has ids and keys."),
    LogEvent(
        "request_refused", "warning", "A request was answered with an error; `error_code` says why.", ("error_code",)
    ),
    LogEvent(
        "ingest_internal_error",
        "error",
        "A bug in the pipeline, with its traceback; the request was answered with 500.",
    ),
    LogEvent("ingest_listening", "info", "Requests are answered on `ingest_port`."),
)
"""Of `thumbnails ingest http`."""

WEB_EVENTS: Final = (
    LogEvent("results_unreachable", "info", "The page cannot read results; it shows that and keeps trying."),
    LogEvent(
        "company_names_unknown",
        "info",
        "The database does not answer, so the page shows companies by their ids; it tries again.",
    ),
    LogEvent("dead_letter_replayed", "info", "A visitor pressed the replay button; `outcome` is the result."),
)
"""Of `thumbnails web`."""

GROUPS: Final[dict[str, tuple[LogEvent, ...]]] = {
    "Outcome of a record": RECORD_OUTCOMES,
    "While a record is processed": RECORD_STEPS,
    "Process life cycle": PROCESS_EVENTS,
    "Dependencies": DEPENDENCY_EVENTS,
    "Requests to `thumbnails ingest http`": REQUEST_EVENTS,
    "The web page": WEB_EVENTS,
}
LOG_EVENTS: Final[dict[str, LogEvent]] = {event.name: event for group in GROUPS.values() for event in group}
