"""The ids, folder names, times and headers that are written by hand for speed are those of the standard library."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas import headers as h
from schemas.cloudevents import CE_SOURCE, context_headers, read_event, write_event
from schemas.events import THUMBNAIL_READY_TYPE, MediaKind, ThumbnailReady, name_uuid, upload_version
from schemas.faults import RefusedEventError
from tests.doubles.results import a_media, ready

MOMENTS = [
    *(datetime(year, 3, 4, 5, 6, 7, 8, tzinfo=UTC) for year in (1, 45, 999, 2026, 9999)),
    datetime(2026, 11, 23, 18, 9, tzinfo=UTC),
    datetime(2026, 11, 23, 1, 9, 0, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30))),
]


@pytest.mark.parametrize("name", ["", "7:video:42:upload-1", "ünï 🎞", "x" * 500])
def test_a_name_has_the_id_that_uuid5_gives_it(name: str) -> None:
    for namespace in (uuid.NAMESPACE_URL, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)):
        assert name_uuid(namespace, name) == str(uuid.uuid5(namespace, name))


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_times_are_written_as_strftime_does(moment: datetime) -> None:
    in_utc = moment.astimezone(UTC)
    assert upload_version(moment, "a").partition("-")[0] == f"{in_utc:%Y%m%dT%H%M%S.%fZ}"
    assert h.format_time(moment) == in_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_the_context_is_what_with_headers_makes_of_it() -> None:
    subject, moment = "video:1\n \N{BOM}é" + "x" * 2000, MOMENTS[-1]
    assert context_headers(
        event_type="a.b.v1", event_id="e" * 2000, occurred_at=moment, subject=subject
    ) == h.with_headers(
        (),
        {
            h.CE_SPECVERSION: "1.0",
            h.CE_ID: "e" * 2000,
            h.CE_SOURCE: CE_SOURCE,
            h.CE_TYPE: "a.b.v1",
            h.CE_TIME: h.format_time(moment),
            h.CE_SUBJECT: subject,
            h.CONTENT_TYPE: "application/json",
        },
    )


def test_an_event_is_the_json_that_its_model_writes() -> None:
    event = ready(1, a_media(1, MediaKind.VIDEO), thumbnail_url="http://é/🎞")
    assert write_event(event) == event.model_dump_json().encode()


@pytest.mark.parametrize("time", ["1764547200", "2026-", "-2026", "1e9", " 2026 ", "1_764_547_200"])
def test_a_number_is_still_no_time(time: str) -> None:
    value = write_event(ready(1, a_media(1, MediaKind.VIDEO))).replace(b'"2026-11-23T12:00:01Z"', f'"{time}"'.encode())
    assert time.encode() in value
    with pytest.raises(RefusedEventError):
        read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, value, ())


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (((h.EXTENSIONS[h.TRACEPARENT], b"00-" + b"a" * 32 + b"-b-01"),), "a" * 32),
        (((h.TRACEPARENT, b"no"), (h.EXTENSIONS[h.TRACEPARENT], b"00-" + b"a" * 32 + b"-b-01")), None),
        (((h.TRACEPARENT, None), (h.EXTENSIONS[h.TRACEPARENT], b"00-" + b"a" * 32 + b"-b-01")), None),
        ((), None),
    ],
)
def test_the_trace_is_the_headers_own_before_the_extensions(headers: h.Headers, found: str | None) -> None:
    assert h.trace_id(headers) == found == h.trace_id(h.from_extensions(headers))
