"""The closed list of what the log says of us: every event name, its level, and what it means for whoever reads it."""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True)
class LogEvent:
    """One name. `limited_by` names the fields by which repeats of it are counted and held back; None: each is shown."""

    name: str
    level: Level
    meaning: str
    limited_by: tuple[str, ...] | None = None


OF_AN_EVENT: Final = (
    LogEvent("thumbnail_ready", "info", "The thumbnails of an upload are stored and confirmed, and will be announced."),
    LogEvent("event_waits_for_retry", "warning", "An attempt failed; the record goes to retry topic `tier`."),
    LogEvent("event_given_up", "error", "A record becomes a dead letter; `error_code` says what to do: errors.md."),
    LogEvent("retry_dropped", "info", "A retry or replay that nobody needs any more; `why` says for what reason."),
    LogEvent("retry_handed_on", "info", "A retry is due, and goes back to the worker, or waits on in topic `to`."),
    LogEvent("objects_cleaned", "info", "Objects that no row shows were deleted, so many as `deleted` says."),
    LogEvent("tombstone_seen", "info", "A media was deleted upstream; `row_marked` says whether its row was there."),
    LogEvent("tombstone_given_up", "error", "A deletion could not be marked; its waiting retries find out themselves."),
    LogEvent(
        "result_persisted",
        "info",
        "A result without effect: stale, or its row is gone or another company's. Those with one: debug.",
    ),
    LogEvent("result_refused", "error", "A result cannot be written, and becomes a letter of thumbnail.ready.dlq."),
)
"""One of these ends each record's work; all have topic, partition, offset, and the trace id where there is a trace."""

IN_AN_EVENT: Final = (
    LogEvent(
        "storage_falls_back",
        "warning",
        "A tenant's storage failed for good; the thumbnails go to local storage.",
        ("connection_id", "error_code"),
    ),
    LogEvent(
        "connection_broken",
        "warning",
        "A storage connection's settings cannot be used: mend the row of storage_connections.",
        ("connection_id",),
    ),
    LogEvent(
        "row_not_asked", "warning", "Whether a retry is still wanted is not known: the database is out of reach.", ()
    ),
    LogEvent(
        "objects_left_to_cleanup",
        "warning",
        "An attempt took too long to take back what it stored, for another worker may have announced it.",
    ),
    LogEvent(
        "one_company_fails",
        "warning",
        "Company `company_id` alone fails beyond a DLQ_MAX limit. Work goes on: look at its dead letters.",
        ("company_id",),
    ),
    LogEvent(
        "records_of_no_company_fail",
        "warning",
        "So many records are malformed, or name no company that is known: look at their producer.",
        (),
    ),
    LogEvent("event_failed_unexpectedly", "error", "A bug of ours, with its trace; the upload is tried again."),
    LogEvent("cleanup_failed_unexpectedly", "error", "The same, of a cleanup."),
    LogEvent("tombstone_failed_unexpectedly", "error", "The same, of a deletion upstream."),
    LogEvent(
        "outcome_not_acknowledged",
        "warning",
        "The broker has not taken a record for topic `to` yet; the worker waits for it.",
        ("to",),
    ),
)
"""These come on the way, before one of the others."""

OF_A_ROLE: Final = (
    LogEvent("role_starts", "info", "A process began, with these settings; passwords are left out."),
    LogEvent("role_ready", "info", "Every dependency is proven, and the role works; health and metrics: `http_port`."),
    LogEvent("role_stops", "info", "It was told to stop, and finishes what it can within `within_s`."),
    LogEvent("role_stopped", "info", "Its work has ended."),
    LogEvent("role_failed", "critical", "It cannot go on; the process ends with code 1, to be started again."),
    LogEvent("role_ends_at_once", "critical", "Something hangs: the process ends; what it had is redelivered."),
    LogEvent("role_ends_without_ever_having_had_a_partition", "info", "A standby was told to stop, and had no work."),
    LogEvent("worker_stops", "critical", "The worker cannot go on, and ends with code 1; `reason` says why."),
    LogEvent(
        "group_not_left", "warning", "A stop in a rebalance could not tell the group, which waits for the session."
    ),
    LogEvent("events_handed_back", "warning", "A stop left no time for these events; others redo them."),
    LogEvent("topics_gone", "critical", "Topics are missing: `thumbnails topics create`, or mend the prefix."),
    LogEvent("dependency_failed", "error", "A dependency does not work at start; `problem` says how to mend it."),
    LogEvent("decoders_not_confined", "warning", "Decoders are not locked in: what `could` names, they could do."),
    LogEvent("landlock_missing", "warning", "Decoders are confined by seccomp alone, for the kernel is old."),
    LogEvent("unfinished_uploads_swept", "info", "Files that killed uploads had left in local storage were deleted."),
)
"""Once in the life of a process."""

OF_DEPENDENCIES: Final = (
    LogEvent("batch_persisted", "info", "A transaction is done: its results by outcome, and how long it took."),
    LogEvent("database_down", "warning", "Results wait for the database, and nothing is lost.", ()),
    LogEvent("database_back", "info", "It answers again."),
    LogEvent("kafka_out_of_reach", "warning", "A broker does not answer; the client goes on trying.", ()),
    LogEvent("commit_refused", "warning", "A rebalance took the partitions; their next owner repeats records.", ()),
    LogEvent(
        "dependency_lost", "warning", "A dependency no longer answers; `reason` says how, `next_action` what to do."
    ),
    LogEvent("dependency_back", "info", "It answers again."),
    LogEvent("observation_failed", "warning", "What a metric shows cannot be read; its last value stays.", ()),
    LogEvent("observation_works_again", "info", "It can be read again."),
    LogEvent("spans_not_sent", "warning", "The collector takes no spans; so many are `lost` by now.", ()),
    LogEvent("spans_sent_again", "info", "The collector takes spans again; so many were `lost` meanwhile."),
    LogEvent("traces_not_available", "warning", "Traces are asked for without the extra `otel`."),
)
"""Of what the roles depend on."""

OF_THE_PAGE: Final = (
    LogEvent("results_out_of_reach", "info", "The page cannot read results; it goes on trying, and says so."),
    LogEvent("topics_out_of_reach", "info", "The page cannot read the topics' state; it goes on trying."),
    LogEvent("letter_replayed_by_page", "info", "Somebody pressed the replay button; `outcome` says how it went."),
)
"""Of `thumbnails web`."""

GROUPS: Final[dict[str, tuple[LogEvent, ...]]] = {
    "How the work on a record ended": OF_AN_EVENT,
    "On the way there": IN_AN_EVENT,
    "The life of a process": OF_A_ROLE,
    "What the roles depend on": OF_DEPENDENCIES,
    "The page of thumbnails web": OF_THE_PAGE,
}
LOG_EVENTS: Final[dict[str, LogEvent]] = {event.name: event for group in GROUPS.values() for event in group}
