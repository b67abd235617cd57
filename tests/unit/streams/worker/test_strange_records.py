"""Every shape that is refused is answered with all its faults; every other one is read."""

import json

import pytest

from schemas.cloudevents import read_event
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.rejected import MEDIA_REJECTED_TYPE, MediaRejected
from streams.kafka.records import InboundRecord
from tests.doubles.pipeline import NOW, a_flow
from tests.doubles.strange_records import SHAPES, Shape
from tests.unit.schemas.test_faults import SOUND
from tests.unit.streams.worker.test_handler import handle


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_is_read_or_answered_with_all_its_faults(shape: Shape) -> None:
    key, value, named = shape.make(json.loads(json.dumps(SOUND)))
    headers = tuple(named.items())
    if not shape.is_refused:
        assert read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, value, headers).event_id == "e-1"
        return
    record = InboundRecord("p.media.uploaded", 2, 77, int(NOW.timestamp() * 1000), key, value, headers)
    _, answer = handle(a_flow(), record).records
    rejected = read_event(MediaRejected, MEDIA_REJECTED_TYPE, answer.value, answer.headers)
    assert (answer.topic, answer.key, rejected.error.code) == ("p.thumbnail.failed", key, shape.ends)
    assert len(rejected.faults) == len(shape.faults)
    for words, fault in zip(shape.faults, rejected.faults, strict=True):
        assert words in fault.message
        assert fault.message in rejected.error.message


def test_there_are_49_shapes() -> None:
    assert len({shape.name for shape in SHAPES}) == 49
    assert sum(shape.is_refused for shape in SHAPES) == 28
