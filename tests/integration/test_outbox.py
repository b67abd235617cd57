"""The outbox of docs/upstreams.md: its SQL runs, and its rows are events, as each of Connect's converters writes them."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.database import create_engine_for
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.faults import RefusedEventError
from schemas.headers import Headers
from schemas.migrations import upgrade
from tests.system.snippets import snippets_of

Row = dict[str, Any]


@pytest.fixture
def row(postgres_url: str) -> Row:
    """What the page inserts, after its indexes were made."""
    upgrade(postgres_url)
    engine = create_engine_for(postgres_url)
    with engine.begin() as connection:
        for script in snippets_of("docs/upstreams.md", "sql"):
            connection.exec_driver_sql(script)
        found = connection.execute(sa.text("SELECT * FROM media_outbox")).mappings().one()
    engine.dispose()
    return dict(found)


def sent(row: Row, value: bytes) -> tuple[bytes, Headers]:
    """The record that the outbox router makes of a row, with the placement of the page."""
    return value, (("id", str(row["id"]).encode()), ("ce_type", row["type"].encode()))


def test_the_three_converters_that_the_page_allows_are_read(row: Row) -> None:
    payload = json.dumps(row["payload"])
    expanded, text, escaped = payload.encode(), payload.encode(), json.dumps(payload).encode()
    for value in (expanded, text, escaped):
        body, headers = sent(row, value)
        event = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, body, headers)
        assert event.event_id == str(row["id"])
        assert event.media.record_key == row["aggregateid"]
        assert h.get_header(headers, h.CE_TYPE) == MEDIA_UPLOADED_TYPE


def test_connects_default_is_answered_with_the_setting(row: Row) -> None:
    envelope = {"schema": {"type": "string", "optional": False}, "payload": json.dumps(row["payload"])}
    body, headers = sent(row, json.dumps(envelope).encode())
    with pytest.raises(RefusedEventError, match=r"schemas\.enable=false"):
        read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, body, headers)
