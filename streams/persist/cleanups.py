"""The cleanups that a batch asks for: each once, and after the grace time."""

from datetime import datetime

from schemas.topics import Topics
from streams.kafka.records import OutboundRecord
from streams.persist.batch import Written
from streams.persist.reading import Deletion
from streams.rows.versions import version_of
from streams.thumbnails.cleanup_requests import cleanup_request, deletion_cleanup, needs_cleanup
from streams.thumbnails.grace import Grace


def cleanups_of(
    written: Written, deletions: list[Deletion], topics: Topics, grace: Grace, now: datetime
) -> list[OutboundRecord]:
    """Return the records that ask for them: to thumbnail.cleanup, or to the topic where they wait."""
    requests = [*_of_results(written, topics, now), *_of_deletions(deletions, topics, now)]
    return [grace.waiting(request, topics, now) for request in requests]


def _of_results(written: Written, topics: Topics, now: datetime) -> list[OutboundRecord]:
    """Return one request for each media, folder and outcome, however often the batch has it."""
    wanted = {
        (item.result.company_id, item.result.media.record_key, version_of(item.result), outcome): item
        for item, outcome in written.outcomes
        if needs_cleanup(item.result, outcome, item.record.headers)
    }
    return [
        cleanup_request(topics.cleanup, item.result, outcome, item.record.headers, now)
        for (*_, outcome), item in wanted.items()
    ]


def _of_deletions(deletions: list[Deletion], topics: Topics, now: datetime) -> list[OutboundRecord]:
    """Return a request for each media whose company is known: without it, nobody knows in which storage its pictures are."""
    wanted = {one.event.event_id: one for one in deletions if one.event.company_id is not None}
    return [deletion_cleanup(topics.cleanup, one.event, one.record.headers, now) for one in wanted.values()]
