"""The request of an HTTP caller, as the records of media.uploaded that it becomes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import unquote

from schemas import headers as h
from schemas.cloudevents import STRUCTURED_CONTENT_TYPE, read_event, says_type
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.headers import Headers
from schemas.media_state import MEDIA_DELETED_TYPE, MediaDeletion
from schemas.producing import record_of
from streams.kafka.records import OutboundRecord

SOURCE: Final = "/thumbnail-pipeline/ingest/http"
_LINKS: Final = (h.CORRELATION_ID, h.TRACEPARENT, h.TRACESTATE)


class CheckTime(Protocol):
    """Refuses times that lie too far in the future, as the worker does."""

    def __call__(self, what: str, moment: datetime, latest: datetime) -> None:
        """Raise PermanentError event.in_future."""


def kafka_headers(http_headers: Mapping[str, str]) -> Headers:
    """Return the headers of a request, by lower-case names, as a record would have them: CloudEvents' HTTP and Kafka
    bindings differ in the prefix of attributes, and in that HTTP's values are percent-encoded. A content type counts only
    where it says that the event is structured: curl and others name one that they do not mean.
    """
    found = {}
    for name, value in http_headers.items():
        if name.startswith("ce-"):
            found[f"ce_{name[3:]}"] = unquote(value)
        elif name in _LINKS or (name == h.CONTENT_TYPE and value.lower().startswith(STRUCTURED_CONTENT_TYPE)):
            found[name] = value
    return h.from_extensions(h.with_headers((), found))


def read_request(body: bytes, headers: Headers) -> MediaUploaded | MediaDeletion:
    """Return the event of a request: a CloudEvent in binary or structured mode, or plain JSON. Raises RefusedEventError."""
    if says_type(MEDIA_DELETED_TYPE, body, headers):
        return read_event(MediaDeletion, MEDIA_DELETED_TYPE, body, headers)
    return read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, body, headers)


def uploads_record(topic: str, event: MediaUploaded | MediaDeletion, headers: Headers) -> OutboundRecord:
    """Return the record of an event: the same for the same event, whoever asks and how often."""
    record = record_of(event, source=h.get_header(headers, h.CE_SOURCE) or SOURCE)
    links = {name: value for name in _LINKS if (value := h.get_header(headers, name))}
    return OutboundRecord(
        topic, record.key, record.value, h.with_headers(record.headers, {h.CORRELATION_ID: event.event_id} | links)
    )
