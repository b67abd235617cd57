"""Whatever stands in the topics of results, `status` and the page read what they can and never fail."""

import json

from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import write_event
from service.status.recent_results import Recent, _result
from service.web.tiles import TileReader
from streams.kafka.records import InboundRecord
from tests.doubles.any_records import examples, records
from tests.doubles.results import failed, ready

TOPICS = ["thumbnail.ready", "thumbnail.failed"]
RESULTS = st.one_of(records(TOPICS, write_event(ready())), records(TOPICS, write_event(failed())))
READER = TileReader("thumbnail.failed", {"http://files.example"})


@examples(300)
@given(found=st.lists(RESULTS, min_size=1, max_size=5))
def test_status_counts_what_is_a_result_and_leaves_out_the_rest(found: list[InboundRecord]) -> None:
    results = [_result(record.timestamp, record.value) for record in found]
    recent = Recent(tuple(result for result in results if result is not None), 60.0)
    assert recent.ready + recent.failed <= len(found)
    assert sum(row["ready"] + row["failed"] for row in recent.tenants) == len(recent.results)
    assert json.dumps([recent.tenants, recent.providers, recent.fallbacks]).encode()


@examples(400)
@given(record=RESULTS)
def test_the_page_makes_a_tile_or_none(record: InboundRecord) -> None:
    tile = READER.read(record)
    if tile is not None:
        assert len(json.dumps(tile.data, allow_nan=False).encode()) < 64_000
